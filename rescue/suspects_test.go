package rescue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/rescue"
)

// sweeper runs a process that only looks after the others.
func (b *bundle) sweeper(t *testing.T) {
	t.Helper()
	opts := b.quick(t)
	opts.DeadAfter, opts.DeadAfterLostSession = time.Hour, time.Hour // the others are made up, and never beat
	process, err := rescue.Register(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- process.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// fetch is what River's fetch does, by a process of that id.
func (b *bundle) fetch(t *testing.T, process string, n int) []int64 {
	t.Helper()
	rows, err := b.pool.Query(context.Background(), `UPDATE tidemill.river_job SET state = 'running', attempt = attempt + 1, attempted_at = now(),
		attempted_by = array_append(attempted_by, $1) WHERE id = ANY (ARRAY(SELECT id FROM tidemill.river_job
			WHERE state = 'available' AND scheduled_at <= now() ORDER BY priority, scheduled_at, id LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING id`, process, n)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func (b *bundle) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := b.pool.Exec(context.Background(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) states(t *testing.T) map[string]int {
	t.Helper()
	rows, err := b.pool.Query(context.Background(), `SELECT state::text, count(*)::int FROM tidemill.river_job GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]int{}
	var state string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&state, &n}, func() error { states[state] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return states
}

// Three processes take twenty jobs and one that kills its process. Only that one is given up, whatever it was fetched beside,
// and all others end.
func TestOnlyThePoisonIsGivenUp(t *testing.T) {
	t.Parallel()

	const rounds, innocent = 20, 20
	b := setup(t)
	b.sweeper(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range rounds {
		b.exec(t, `DELETE FROM tidemill.river_job`)
		b.exec(t, `DELETE FROM tidemill.suspect`)
		b.exec(t, `INSERT INTO tidemill.river_job (kind, args, priority) SELECT 'wait', '{}', 1 + i % 2 FROM generate_series(1, $1) i`, innocent+1)
		var poison int64
		if err := b.pool.QueryRow(context.Background(), `SELECT id FROM tidemill.river_job ORDER BY id OFFSET $1 LIMIT 1`, random.IntN(innocent+1)).Scan(&poison); err != nil {
			t.Fatal(err)
		}
		running := map[string][]int64{} // by process
		var ids [3]string
		deaths := 0
		deadline := time.Now().Add(time.Minute)
		for b.states(t)["completed"] < innocent || b.states(t)["discarded"] < 1 {
			for slot := range 3 {
				id := ids[slot]
				if id == "" {
					id = fmt.Sprintf("worker-%d-%d-%d", round, slot, deaths)
					ids[slot] = id
					b.exec(t, `INSERT INTO tidemill.process (id, host, pid, version, queues, config) VALUES ($1, '', 1, '', '{"default": 9}', '')`, id)
				}
				running[id] = append(running[id], b.fetch(t, id, random.IntN(10))...)
				if slices.Contains(running[id], poison) {
					deaths++
					b.exec(t, `UPDATE tidemill.process SET fenced_at = now() WHERE id = $1`, id)
					delete(running, id)
					ids[slot] = ""
					continue
				}
				// Some of what runs ends.
				var still []int64
				for _, job := range running[id] {
					if random.IntN(3) > 0 {
						still = append(still, job)
						continue
					}
					b.exec(t, `UPDATE tidemill.river_job SET state = 'completed', finalized_at = now() WHERE id = $1`, job)
				}
				running[id] = still
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: %v after %d deaths", round, b.states(t), deaths)
			}
		}
		if diff := cmp.Diff(map[string]int{"completed": innocent, "discarded": 1}, b.states(t)); diff != "" {
			t.Fatalf("round %d: %s", round, diff)
		}
		var state string
		if err := b.pool.QueryRow(context.Background(), `SELECT state::text FROM tidemill.river_job WHERE id = $1`, poison).Scan(&state); err != nil || state != "discarded" {
			t.Fatalf("round %d: the poison is %s, %v", round, state, err)
		}
		if deaths != 5 {
			t.Errorf("round %d: %d deaths", round, deaths)
		}
	}
}

// A suspect that waits does not come due by itself, not even when nobody looked for long, and one that no worker takes does
// not keep the others from their turn.
func TestSuspectsWait(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t)
	var ids []int64
	for n := range 3 {
		ids = append(ids, b.insert(t, n))
	}
	b.exec(t, `INSERT INTO tidemill.suspect (job, place, times, due_at, ran)
		SELECT id, jsonb_build_object('errors', 0, 'seq', NULL, 'snoozes', NULL), 2, scheduled_at, '1s' FROM tidemill.river_job`)
	b.exec(t, `UPDATE tidemill.river_job SET scheduled_at = now() - interval '1 minute'`) // as after hours
	b.exec(t, `UPDATE tidemill.river_job SET queue = 'nobody' WHERE id = $1`, ids[0])
	b.sweeper(t)
	if got := b.fetch(t, "x", 10); len(got) > 1 {
		t.Errorf("%d suspects at once", len(got))
	} else if len(got) == 1 && got[0] == ids[0] {
		t.Error("one of a queue that nobody works")
	}
	// Whichever had its turn ends; then it is the other's.
	b.exec(t, `INSERT INTO tidemill.process (id, host, pid, version, queues, config) VALUES ('x', '', 1, '', '{}', '')`)
	ended := map[int64]bool{}
	deadline := time.Now().Add(20 * time.Second)
	for len(ended) < 2 && time.Now().Before(deadline) {
		b.fetch(t, "x", 10)
		var id int64
		err := b.pool.QueryRow(ctx, `UPDATE tidemill.river_job SET state = 'completed', finalized_at = now() WHERE state = 'running' RETURNING id`).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		ended[id] = true
	}
	if diff := cmp.Diff(map[int64]bool{ids[1]: true, ids[2]: true}, ended); diff != "" {
		t.Error(diff)
	}
}

// What a process gives back in good order does not count against a job.
func TestGoodOrderIsNoDeath(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t)
	id := b.insert(t, 1)
	for range 6 {
		process, err := rescue.Register(ctx, b.quick(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := b.fetch(t, process.ID(), 1); len(got) != 1 || got[0] != id {
			t.Fatalf("fetched %v", got)
		}
		if err := process.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	b.sweeper(t)
	b.die(t, id)
	if j := b.job(t, id); j.State != "available" || j.Attempt != 0 {
		t.Errorf("%+v", j)
	}
	var suspects int
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM tidemill.suspect`).Scan(&suspects); err != nil || suspects != 0 {
		t.Errorf("%d suspects, %v", suspects, err)
	}
}

// A job that got on after its process was taken for dead is no suspect any more, and does not wait for the hour that suspects
// are held for.
func TestClearedSuspectsAreDue(t *testing.T) {
	t.Parallel()

	b := setup(t)
	id := b.insert(t, 1)
	b.exec(t, `INSERT INTO tidemill.suspect (job, place, times, due_at, ran)
		SELECT id, jsonb_build_object('errors', 0, 'seq', 3, 'snoozes', NULL), 2, scheduled_at, '1s' FROM tidemill.river_job`)
	b.exec(t, `UPDATE tidemill.river_job SET scheduled_at = now() + interval '1 hour'`)
	b.sweeper(t)
	for waits := true; waits; {
		err := b.pool.QueryRow(context.Background(), `SELECT scheduled_at > now() OR EXISTS (SELECT FROM tidemill.suspect) FROM tidemill.river_job WHERE id = $1`, id).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
}
