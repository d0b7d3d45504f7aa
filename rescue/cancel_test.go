package rescue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/riverqueue/river"
)

// stubbornWorker fails when its context ends, or, if it ignores that, when it is released.
type stubbornWorker struct {
	river.WorkerDefaults[waitArgs]
	began   chan int64
	ignores bool
	release chan struct{}
}

func (w *stubbornWorker) Work(ctx context.Context, job *river.Job[waitArgs]) error {
	w.began <- job.ID
	<-w.release
	if !w.ignores {
		<-ctx.Done()
	}
	return errors.New("failed")
}

// NextRetry is far away: the job waits.
func (*stubbornWorker) NextRetry(*river.Job[waitArgs]) time.Time { return time.Now().Add(time.Hour) }

// A cancellation is a request of its own: it takes no row that the worker needs, reaches the worker also if the
// notification is lost, and holds for an attempt that has failed meanwhile.
func TestCancelOfARunningJob(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	deaf := func(c *river.Config) { c.PollOnly = true }
	tests := []struct {
		name      string
		configure func(*river.Config)
		ignores   bool // its context
		want      string
	}{
		{"notified", func(*river.Config) {}, false, "cancelled"},
		{"not notified", deaf, false, "cancelled"},
		{"ignored, and then it fails", deaf, true, "cancelled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := &stubbornWorker{began: make(chan int64, 10), ignores: tt.ignores, release: make(chan struct{})}
			opts := b.quick(t)
			opts.SilentAfter = time.Minute // that is not what this is about
			b.joinWith(t, opts, func(workers *river.Workers) { river.AddWorker(workers, w) }, tt.configure).beat(t)
			id := b.insert(t, 1)
			<-w.began
			tx, err := b.pool.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, `SELECT tidemill.cancel($1)`, id); err != nil {
				t.Fatal(err)
			}
			// The row is free, and nobody hears of what is not committed.
			if _, err := b.pool.Exec(ctx, `SELECT FROM tidemill.river_job WHERE id = $1 FOR UPDATE NOWAIT`, id); err != nil {
				t.Error(err)
			}
			if j := b.job(t, id); j.State != "running" {
				t.Fatalf("%+v", j)
			}
			if err := tx.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			close(w.release)
			began := time.Now()
			b.waitState(t, id, tt.want)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("cancelled after %s", took)
			}
			// What was asked for is forgotten: the job can be retried.
			for n := 1; n > 0; {
				if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM tidemill.run_intent`).Scan(&n); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A request for what has ended, was retried or is gone is forgotten, and touches nothing.
func TestStaleCancels(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t)
	gone, waiting, again := b.insert(t, 1), b.insert(t, 2), b.insert(t, 3)
	for _, sql := range []string{
		`INSERT INTO tidemill.run_intent (run, intent) SELECT id, 'cancel' FROM tidemill.river_job`,
		// It was asked for during an attempt before this one.
		`UPDATE tidemill.river_job SET state = 'running', attempt = 2, attempted_at = clock_timestamp() + interval '1 minute' WHERE args->>'n' = '3'`,
		`DELETE FROM tidemill.river_job WHERE args->>'n' = '1'`,
		`SELECT tidemill.settle_cancels()`,
	} {
		b.exec(t, sql)
	}
	var left int
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM tidemill.run_intent`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d requests are left, of jobs %d, %d and %d: %v", left, gone, waiting, again, err)
	}
	if state := jobState(t, b, again); state != "running" {
		t.Errorf("the retried job is %s", state)
	}
	if state := jobState(t, b, waiting); state != "cancelled" {
		t.Errorf("the waiting job is %s", state)
	}
}

func jobState(t *testing.T, b *bundle, id int64) (state string) {
	t.Helper()
	if err := b.pool.QueryRow(context.Background(), `SELECT state FROM tidemill.river_job WHERE id = $1`, id).Scan(&state); err != nil {
		t.Fatal(err)
	}
	return state
}
