package batch_test

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/retry"
)

var (
	steerFor  = flag.Duration("steer.for", 4*time.Second, "how long TestSteerAtRandom pauses, resumes, cancels and retries")
	steerSeed = flag.Uint64("steer.seed", 0, "of its choices; 0 = a new one, printed")
)

type steerArgs struct {
	Slot int `json:"slot"`
}

func (steerArgs) Kind() string { return "steer" }

const (
	steerRuns = 10
	steerRows = 20_000
)

// Ten runs are steered at random while they work and fail. Afterwards each row was counted exactly once, and the ledger
// and River agree on every run.
//
//	go test ./batch -run SteerAtRandom -steer.for 60s -v
func TestSteerAtRandom(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	s := *steerSeed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-steer.seed %d", s)
	random := rand.New(rand.NewPCG(s, 1))
	var failing atomic.Bool
	failing.Store(true)
	var chunks atomic.Int64
	e := testengine.Start(t, "", func(workers *river.Workers) {
		river.AddWorker(workers, batch.Each(batch.EachOpts[steerArgs, int64]{
			Query:   `SELECT id FROM public.steered WHERE slot = @slot`,
			Params:  func(a steerArgs) pgx.NamedArgs { return pgx.NamedArgs{"slot": a.Slot} },
			OrderBy: []string{"id"},
			Size:    25,
			Do: func(ctx context.Context, tx pgx.Tx, c *batch.Chunk[int64]) error {
				if _, err := tx.Exec(ctx, `UPDATE public.steered SET n = n + 1 WHERE id = ANY($1)`, c.Rows); err != nil {
					return err
				}
				if failing.Load() && chunks.Add(1)%97 == 0 {
					return errors.New("bad luck")
				}
				return nil
			},
			Attempt: batch.AttemptOpts{Retry: retry.Policy{MaxAttempts: 2, Backoff: retry.Constant, Delay: 20 * time.Millisecond}},
		}))
	})
	if _, err := e.Pool.Exec(ctx, `CREATE TABLE public.steered (id bigint PRIMARY KEY, slot int NOT NULL, n int NOT NULL DEFAULT 0)`); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Pool.Exec(ctx, `INSERT INTO public.steered SELECT i, i % $1 FROM generate_series(1, $2::int) i`, steerRuns, steerRuns*steerRows); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Pool.Exec(ctx, `CREATE INDEX ON public.steered (slot, id)`); err != nil {
		t.Fatal(err)
	}
	ids := make([]int64, steerRuns)
	for slot := range ids {
		started, err := e.Ledger.Start(ctx, steerArgs{Slot: slot}, batch.StartOpts{})
		if err != nil {
			t.Fatal(err)
		}
		ids[slot] = started.ID
	}

	done := map[string]int{}
	actions := map[string]func(int64) error{
		"pause":  func(id int64) error { return e.Ledger.Pause(ctx, id) },
		"resume": func(id int64) error { return e.Ledger.Resume(ctx, id) },
		"cancel": func(id int64) error { return e.Ledger.Cancel(ctx, id) },
		"retry":  func(id int64) error { _, err := e.Ledger.Retry(ctx, id, batch.RetryOpts{}); return err },
	}
	names := []string{"pause", "pause", "resume", "resume", "cancel", "retry", "retry"}
	end := time.NewTimer(*steerFor)
	for stop := false; !stop; {
		name := names[random.IntN(len(names))]
		var refused *batch.StateError
		if err := actions[name](ids[random.IntN(len(ids))]); err == nil {
			done[name]++
		} else if !errors.As(err, &refused) {
			t.Fatalf("%s: %v", name, err)
		}
		agree(t, e)
		select {
		case <-end.C:
			stop = true
		case <-time.After(time.Duration(random.IntN(20)) * time.Millisecond):
		}
	}
	t.Logf("done: %v", done)

	failing.Store(false)
	for slot, id := range ids {
		finish(t, e, id, slot)
	}
	counts := map[int]int{}
	rows, err := e.Pool.Query(ctx, `SELECT n, count(*)::int FROM public.steered GROUP BY n`)
	if err != nil {
		t.Fatal(err)
	}
	var n, c int
	if _, err := pgx.ForEachRow(rows, []any{&n, &c}, func() error { counts[n] = c; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int]int{1: steerRuns * steerRows}, counts); diff != "" {
		t.Errorf("how often rows were counted: %s", diff)
	}
}

// agree holds every run against its River row in one snapshot: they change in one transaction, so there is no moment at
// which they may differ, but for a run that has ended well: River hears of it a moment later.
func agree(t *testing.T, e *testengine.Engine) {
	t.Helper()
	rows, err := e.Pool.Query(context.Background(), `
		SELECT r.id || ': run ' || r.status || ', job ' || j.state FROM tidemill.run r JOIN tidemill.river_job j USING (id)
		 WHERE NOT CASE j.state
			WHEN 'available' THEN r.status IN ('enqueued', 'retrying') WHEN 'running' THEN r.status = coalesce(r.outcome, 'running')
			WHEN 'scheduled' THEN r.status IN ('paused', 'enqueued') WHEN 'retryable' THEN r.status = 'retrying'
			WHEN 'completed' THEN r.status = 'succeeded' WHEN 'discarded' THEN r.status = 'failed'
			WHEN 'cancelled' THEN r.status = 'cancelled' ELSE false END`)
	if err != nil {
		t.Fatal(err)
	}
	differ, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(differ) > 0 {
		t.Fatalf("ledger and River differ: %v", differ)
	}
}

// finish brings a run to its end from wherever it was left, and holds ledger and River against each other.
func finish(t *testing.T, e *testengine.Engine, id int64, slot int) {
	t.Helper()
	ctx := context.Background()
	// What is on its way settles first: an intent is seen at the next chunk.
	info := e.WaitStatus(t, id, batch.Paused, batch.Succeeded, batch.Cancelled, batch.Failed, batch.Running, batch.Enqueued, batch.Retrying)
	for info.Status != batch.Succeeded {
		var err error
		switch info.Status {
		case batch.Paused, batch.Pausing:
			err = e.Ledger.Resume(ctx, id)
		case batch.Cancelled, batch.Failed:
			_, err = e.Ledger.Retry(ctx, id, batch.RetryOpts{})
		}
		var moved *batch.StateError // it went on between the look and the call
		if err != nil && !errors.As(err, &moved) {
			t.Fatal(err)
		}
		info = e.WaitStatus(t, id, batch.Succeeded, batch.Paused, batch.Cancelled, batch.Failed)
	}
	if info.Counters.Read != steerRows || info.Counters.Processed != steerRows || info.Done != steerRows {
		t.Errorf("slot %d: %+v", slot, info)
	}
	var state string
	var intents int
	err := e.Pool.QueryRow(ctx, `SELECT state, (SELECT count(*) FROM tidemill.run_intent WHERE run = $1) FROM tidemill.river_job WHERE id = $1`, id).
		Scan(&state, &intents)
	if err != nil {
		t.Fatal(err)
	}
	if state != "completed" || intents != 0 {
		t.Errorf("slot %d: river_job is %s, %d intents are left", slot, state, intents)
	}
}
