package tidemill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers"
)

const skewYAML = `
queues: {default: 20}
drain_timeout: 1s
retry: {delay: 20s, backoff: constant, jitter: 0%}
jobs:
  hook: {kind: http, url: "${HOOK}", secret: "a secret that is raw"}
  own: {kind: skew_own, retry: {delay: 20s}}
  dump: {kind: export, table: public.dumped, expire: 1h}
  tick: {kind: skew_tell, schedule: {every: 1h}}
storage: {url: "${STORAGE}"}
`

// due20 is what every retry and snooze of the test asks for.
const due20 = 20 * time.Second

type skewNextArgs struct{}

func (skewNextArgs) Kind() string { return "skew_next" }

// skewNextWorker is a user's whose retries go by a policy.
type skewNextWorker struct {
	river.WorkerDefaults[skewNextArgs]
}

func (*skewNextWorker) Work(context.Context, *river.Job[skewNextArgs]) error { return errors.New("no") }
func (*skewNextWorker) NextRetry(job *river.Job[skewNextArgs]) time.Time {
	return retry.Policy{Delay: due20, Backoff: retry.Constant, Jitter: -1}.Next(job.JobRow)
}

type skewChunkArgs struct {
	Stay bool `json:"stay"`
}

func (skewChunkArgs) Kind() string { return "skew_chunk" }

type skewChunkWorker struct {
	river.WorkerDefaults[skewChunkArgs]
	batch.Chunked
}

func (w *skewChunkWorker) Work(ctx context.Context, job *river.Job[skewChunkArgs]) error {
	opts := batch.AttemptOpts{Retry: retry.Policy{Delay: due20, Backoff: retry.Constant, Jitter: -1}}
	return w.Attempt(ctx, job.JobRow, opts, func(ctx context.Context, run *batch.Run) error {
		if !job.Args.Stay {
			return errors.New("no")
		}
		for {
			if err := run.Chunk(ctx, func(context.Context, pgx.Tx) (batch.Step, error) { return batch.Step{}, nil }); err != nil {
				return err
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
}
func (w *skewChunkWorker) NextRetry(job *river.Job[skewChunkArgs]) time.Time {
	return w.RetryAt(job.JobRow)
}

// skewWorker works the kinds that need nothing else.
type skewWorker[T river.JobArgs] struct {
	river.WorkerDefaults[T]
	work func(context.Context, *rivertype.JobRow) error
}

func (w *skewWorker[T]) Work(ctx context.Context, job *river.Job[T]) error {
	return w.work(ctx, job.JobRow)
}

type (
	skewFailArgs   struct{}
	skewOwnArgs    struct{}
	skewSnoozeArgs struct{}
	skewStayArgs   struct{}
	skewTellArgs   struct{}
)

func (skewFailArgs) Kind() string   { return "skew_fail" }
func (skewOwnArgs) Kind() string    { return "skew_own" }
func (skewSnoozeArgs) Kind() string { return "skew_snooze" }
func (skewStayArgs) Kind() string   { return "skew_stay" }
func (skewTellArgs) Kind() string   { return "skew_tell" }

func addSkewWorkers(to *river.Workers) {
	no := func(context.Context, *rivertype.JobRow) error { return errors.New("no") }
	river.AddWorker(to, &skewWorker[skewFailArgs]{work: no})
	river.AddWorker(to, &skewWorker[skewOwnArgs]{work: no})
	river.AddWorker(to, &skewWorker[skewSnoozeArgs]{work: func(context.Context, *rivertype.JobRow) error { return river.JobSnooze(due20) }})
	river.AddWorker(to, &skewWorker[skewStayArgs]{work: func(ctx context.Context, _ *rivertype.JobRow) error { <-ctx.Done(); return ctx.Err() }})
	river.AddWorker(to, &skewWorker[skewTellArgs]{work: func(context.Context, *rivertype.JobRow) error { return nil }})
	river.AddWorker(to, &skewNextWorker{})
	river.AddWorker(to, &skewChunkWorker{})
}

// skewBundle is a worker whose clock differs from its database's.
type skewBundle struct {
	app   *App
	hooks chan http.Header
	stop  func()
	ended chan error
}

func setupSkewed(t *testing.T, ahead time.Duration, log slog.Handler) *skewBundle {
	t.Helper()
	b := &skewBundle{hooks: make(chan http.Header, 1), ended: make(chan error, 1)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { b.hooks <- r.Header }))
	t.Cleanup(server.Close)
	values := map[string]string{"DATABASE_URL": testdb.Skewed(t, ahead), "HOOK": server.URL, "STORAGE": "file://" + t.TempDir()}
	cfg, err := config.Parse("tidemill.yaml", []byte("database: {url: \"${DATABASE_URL}\"}\nmetrics: {listen: \"127.0.0.1:0\"}\n"+skewYAML), &config.Opts{Kinds: workers.Configs(),
		Lookup: func(name string) (string, bool) { value, ok := values[name]; return value, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	if b.app, err = New(t.Context(), cfg, &Opts{Logger: slog.New(log)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.app.Close)
	addSkewWorkers(b.app.Workers)
	if _, err := b.app.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.app.Pool.Exec(t.Context(), `CREATE TABLE public.dumped (id bigint PRIMARY KEY); INSERT INTO public.dumped VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go func() { b.ended <- b.app.Run(ctx, nil) }()
	t.Cleanup(stop)
	return b
}

// insert inserts a River job through the application's client.
func (b *skewBundle) insert(t *testing.T, args river.JobArgs, opts *river.InsertOpts) int64 {
	t.Helper()
	inserted, err := b.app.Client.Insert(t.Context(), args, opts)
	if err != nil {
		t.Fatal(err)
	}
	return inserted.Job.ID
}

// skewRow is what became of a job; its times are seconds before (or, negative, after) the database's present.
type skewRow struct {
	State                         string
	Created, Scheduled, Attempted float64
	Retry                         float64 // from its attempt to when it is due
	Failed                        float64 // from the attempt to what its error says
}

func (b *skewBundle) wait(t *testing.T, id int64, states ...string) skewRow {
	t.Helper()
	var r skewRow
	deadline := time.After(30 * time.Second)
	for {
		err := b.app.Pool.QueryRow(t.Context(), `
			SELECT state, extract(epoch FROM clock_timestamp() - created_at), extract(epoch FROM clock_timestamp() - scheduled_at),
			       coalesce(extract(epoch FROM clock_timestamp() - attempted_at), 0), coalesce(extract(epoch FROM scheduled_at - attempted_at), 0),
			       coalesce(extract(epoch FROM (errors[1]->>'at')::timestamptz - attempted_at), 0)
			  FROM tidemill.river_job WHERE id = $1`, id).Scan(&r.State, &r.Created, &r.Scheduled, &r.Attempted, &r.Retry, &r.Failed)
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range states {
			if r.State == state {
				return r
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Errorf("the job is %+v, wanted %v", r, states)
			return r
		}
	}
}

func within(t *testing.T, what string, got, from, to float64) {
	t.Helper()
	if got < from || got > to {
		t.Errorf("%s: %.3f s, want %.0f to %.0f", what, got, from, to)
	} else {
		t.Logf("%s: %.3f s", what, got)
	}
}

// A worker whose clock is an hour off does all at its time by the database's clock: what is due, what is tried again, what is
// put off, what is given back and what is signed.
func TestWorkerGoesByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"worker an hour slow": time.Hour, "worker an hour fast": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupSkewed(t, ahead, slog.DiscardHandler)
			var due time.Time
			if err := b.app.Pool.QueryRow(t.Context(), `SELECT clock_timestamp() + interval '8 s'`).Scan(&due); err != nil {
				t.Fatal(err)
			}
			// What is asked for first takes longest.
			scheduled := b.insert(t, skewTellArgs{}, &river.InsertOpts{ScheduledAt: due})
			insert := map[string]int64{
				"retry by the default policy": b.insert(t, skewFailArgs{}, nil),
				"retry by the worker's":       b.insert(t, skewNextArgs{}, nil),
				"snooze":                      b.insert(t, skewSnoozeArgs{}, nil),
			}
			started, err := b.app.Start(t.Context(), "own", nil)
			if err != nil {
				t.Fatal(err)
			}
			insert["retry by the job's own policy"] = started.ID
			for name, args := range map[string]skewChunkArgs{"retry of a run": {}, "run": {Stay: true}} {
				run, err := b.startRun(t, args)
				if err != nil {
					t.Fatal(err)
				}
				insert[name] = run
			}
			stay := map[string]int64{"job": b.insert(t, skewStayArgs{}, nil), "run": insert["run"]}
			delete(insert, "run")

			for what, id := range insert {
				row := b.wait(t, id, "retryable", "scheduled")
				within(t, what, row.Retry, 19, 22)
				if row.State == "retryable" {
					within(t, what+": its error's time", row.Failed, -2, 2)
				}
			}
			b.inserts(t)
			b.unknown(t)
			b.signs(t)
			b.exports(t)

			row := b.wait(t, scheduled, "completed")
			within(t, "scheduled job: late", row.Scheduled-row.Attempted, 0, 7)

			for _, id := range stay {
				b.wait(t, id, "running")
			}
			b.stop()
			if err := <-b.ended; err != nil {
				t.Errorf("run: %v", err)
			}
			for what, id := range stay {
				row := b.wait(t, id, "available", "scheduled")
				within(t, "drained "+what+" ("+row.State+"): due since", row.Scheduled, -1, 30)
			}
		})
	}
}

func (b *skewBundle) startRun(t *testing.T, args skewChunkArgs) (id int64, err error) {
	t.Helper()
	err = pgx.BeginFunc(t.Context(), b.app.Pool, func(tx pgx.Tx) error {
		started, err := b.app.Ledger.StartTx(t.Context(), tx, args, batch.StartOpts{Job: "chunk"})
		if err == nil {
			id = started.ID
		}
		return err
	})
	return id, err
}

// inserts looks at what an application inserts in each of River's ways: at once due, and found at once.
func (b *skewBundle) inserts(t *testing.T) {
	t.Helper()
	var newest int64
	last := func() int64 {
		if err := b.app.Pool.QueryRow(t.Context(), `SELECT max(id) FROM tidemill.river_job WHERE kind = 'skew_tell'`).Scan(&newest); err != nil {
			t.Fatal(err)
		}
		return newest
	}
	many := []river.InsertManyParams{{Args: skewTellArgs{}}}
	for what, insert := range map[string]func() error{
		"Insert": func() error { _, err := b.app.Client.Insert(t.Context(), skewTellArgs{}, nil); return err },
		"InsertTx": func() error {
			return pgx.BeginFunc(t.Context(), b.app.Pool, func(tx pgx.Tx) error {
				_, err := b.app.Client.InsertTx(t.Context(), tx, skewTellArgs{}, nil)
				return err
			})
		},
		"InsertMany":     func() error { _, err := b.app.Client.InsertMany(t.Context(), many); return err },
		"InsertManyFast": func() error { _, err := b.app.Client.InsertManyFast(t.Context(), many); return err },
		"InsertManyFastTx": func() error {
			return pgx.BeginFunc(t.Context(), b.app.Pool, func(tx pgx.Tx) error {
				_, err := b.app.Client.InsertManyFastTx(t.Context(), tx, many)
				return err
			})
		},
	} {
		if err := insert(); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var row skewRow
		err := b.app.Pool.QueryRow(t.Context(), `SELECT extract(epoch FROM clock_timestamp() - created_at), extract(epoch FROM clock_timestamp() - scheduled_at)
			FROM tidemill.river_job WHERE id = $1`, last()).Scan(&row.Created, &row.Scheduled)
		if err != nil {
			t.Fatal(err)
		}
		within(t, what+": created ago", row.Created, 0, 5)
		within(t, what+": due since", row.Scheduled, 0, 5)
	}
	b.wait(t, newest, "completed")
}

// unknown gives the worker jobs that its configuration does not know: each waits until nobody has known it for 10 minutes, however
// old it is and whatever this machine's clock says.
func (b *skewBundle) unknown(t *testing.T) {
	t.Helper()
	for age, want := range map[string]string{"0 min": "waits", "9 min": "waits", "11 min": "waits"} {
		var id int64
		err := b.app.Pool.QueryRow(t.Context(), fmt.Sprintf(`INSERT INTO tidemill.river_job (kind, args, max_attempts, created_at)
			VALUES ('tidemill.http', '{"job": "later"}', 5, now() - interval '%s') RETURNING id`, age)).Scan(&id)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.waitLooked(t, id); got != want {
			t.Errorf("unknown job of %s: %s, want %s", age, got, want)
		}
	}
}

// waitLooked waits until a worker has looked at a job that it does not know, and says what it made of it.
func (b *skewBundle) waitLooked(t *testing.T, id int64) (got string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		err := b.app.Pool.QueryRow(t.Context(), `SELECT CASE WHEN state = 'cancelled' THEN 'cancelled' WHEN metadata ? 'snoozes' THEN 'waits' ELSE '' END
			FROM tidemill.river_job WHERE id = $1`, id).Scan(&got)
		if err != nil {
			t.Fatal(err)
		}
		if got != "" {
			return got
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			return "nobody looked"
		}
	}
}

// exports looks at until when the file of an export is promised.
func (b *skewBundle) exports(t *testing.T) {
	t.Helper()
	started, err := b.app.Start(t.Context(), "dump", nil)
	if err != nil {
		t.Fatal(err)
	}
	waitStatus(t, b.app, started.ID, batch.Succeeded)
	var left float64
	err = b.app.Pool.QueryRow(t.Context(), `SELECT extract(epoch FROM (result->>'expires_at')::timestamptz - clock_timestamp()) FROM tidemill.run WHERE id = $1`,
		started.ID).Scan(&left)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "export: expires in", left, 3570, 3601)
}

// signs looks at the time of a signed request.
func (b *skewBundle) signs(t *testing.T) {
	t.Helper()
	if _, err := b.app.Start(t.Context(), "hook", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case header := <-b.hooks:
		signed, err := strconv.ParseInt(header.Get("Webhook-Timestamp"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		var age float64
		if err := b.app.Pool.QueryRow(t.Context(), `SELECT extract(epoch FROM clock_timestamp() - to_timestamp($1))`, signed).Scan(&age); err != nil {
			t.Fatal(err)
		}
		within(t, "signature: age", age, -1, 10)
	case <-time.After(30 * time.Second):
		t.Error("no request came")
	}
}
