package retention_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/retention"
)

// deletes traces how many rows each statement deleted.
type deletes struct {
	mu   sync.Mutex
	rows []int64
}

func (d *deletes) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (d *deletes) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if !data.CommandTag.Delete() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows = append(d.rows, data.CommandTag.RowsAffected())
}

func (d *deletes) most() (most, sum int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.rows {
		most, sum = max(most, n), sum+n
	}
	return most, sum
}

func TestBacklogGoesInBoundedStatements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var trace deletes
	b.conn.Tracer = &trace
	// Jobs that are kept are between those that go; half of all ended in the same instant.
	b.exec(`
		INSERT INTO tidemill.river_job (kind, args, max_attempts, queue, state, metadata, finalized_at)
		SELECT 'k', '{}', 1, 'default', 'completed', CASE WHEN n % 5 = 0 THEN '{"tidemill": {"job": "kept"}}' ELSE '{}' END::jsonb,
			now() - interval '3 days' + greatest(n - 31250, 0) * interval '1 ms'
		FROM generate_series(1, 62500) n`)
	b.run(1, "a", 2*day, 2500)
	b.exec(`INSERT INTO tidemill.run (id, job, kind, trigger, status, enqueued_at, finished_at)
		SELECT n, CASE WHEN n % 5 = 0 THEN 'kept' ELSE 'a' END, 'k', 'test', 'failed', now() - interval '3 days', now() - interval '2 days'
		FROM generate_series(2, 12500) n`)
	limits := retention.Limits{Succeeded: day, Failed: day, Cancelled: day, Runs: day, Rejects: day}
	s := b.sweeper(retention.Opts{Limits: limits, Jobs: map[string]retention.Limits{"kept": forever()}})

	want := retention.Deleted{Jobs: 50_000, Runs: 10_000, Rejects: 2500}
	if diff := cmp.Diff(want, b.sweep(s)); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	if most, sum := trace.most(); most > 1000 || sum != want.Jobs+want.Runs+want.Rejects {
		t.Errorf("one statement deleted %d rows, and all %d", most, sum)
	}
	if left := len(b.ids("SELECT id FROM tidemill.river_job")) + len(b.ids("SELECT id FROM tidemill.run")); left != 12_500+2500 {
		t.Errorf("%d rows are left, want those that are kept, 15000", left)
	}
}

// What ends later, or is written late, or was locked, is found by a later sweep.
func TestLaterSweepsFindTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := forever()
	limits.Succeeded, limits.Runs = day, day
	s := b.sweeper(retention.Opts{Limits: limits})

	locked := b.job("completed", "", day+30*time.Minute)
	b.run(1, "a", 2*day, 0)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), "SELECT FROM tidemill.river_job, tidemill.run FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	b.job("completed", "", 2*day)
	if diff := cmp.Diff(retention.Deleted{Jobs: 1}, b.sweep(s)); diff != "" {
		t.Errorf("beside rows that somebody holds (-want +got):\n%s", diff)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.job("completed", "", day+10*time.Minute)
	if diff := cmp.Diff(retention.Deleted{Jobs: 2, Runs: 1}, b.sweep(s)); diff != "" {
		t.Errorf("after they were let go (-want +got):\n%s", diff)
	}
	if left := b.ids("SELECT id FROM tidemill.river_job"); len(left) > 0 {
		t.Errorf("jobs %v are left (%d was locked)", left, locked)
	}
}

// Two sweepers that take turns as often as they can never disturb each other or anybody else.
func TestTwoSweepers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := forever()
	limits.Succeeded = 0
	const jobs = 5000
	b.exec(`INSERT INTO tidemill.river_job (kind, args, max_attempts, queue, state, finalized_at)
		SELECT 'k', '{}', 1, 'default', 'completed', now() - interval '1 hour' FROM generate_series(1, $1)`, jobs)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wait sync.WaitGroup
	var told atomic.Int64
	for range 2 {
		s := b.sweeper(retention.Opts{Limits: limits, Every: 5 * time.Millisecond, Batch: 100, OnSwept: func(d retention.Deleted) { told.Add(d.Jobs) }})
		wait.Go(func() { s.Run(ctx) })
	}
	for left := jobs; left > 0 || told.Load() < jobs; {
		if ctx.Err() != nil {
			t.Fatalf("%d jobs are left, and %d were told of", left, told.Load())
		}
		if err := b.pool.QueryRow(t.Context(), "SELECT count(*) FROM tidemill.river_job").Scan(&left); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wait.Wait()
	if got := told.Load(); got != jobs {
		t.Errorf("told of %d deleted jobs, want %d", got, jobs)
	}
	// Both have ended their sessions: nobody holds the lock.
	if got := b.takeOver(b.sweeper(retention.Opts{Limits: limits})); got != (retention.Deleted{}) {
		t.Errorf("%+v is deleted where nothing was left", got)
	}
}

// One step that fails does not keep the others from their work.
func TestOneStepFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := retention.Limits{Succeeded: day, Failed: day, Cancelled: day, Runs: day, Rejects: day}
	b.job("completed", "", 2*day)
	b.run(1_000_000, "a", 2*day, 1)
	b.exec(`
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
		CREATE TRIGGER refuse BEFORE DELETE ON tidemill.river_job EXECUTE FUNCTION refuse()`)
	deleted, err := b.sweeper(retention.Opts{Limits: limits}).Sweep(t.Context())
	if err == nil || !strings.Contains(err.Error(), "delete completed jobs: ERROR: refused") {
		t.Errorf("error is %v", err)
	}
	if diff := cmp.Diff(retention.Deleted{Runs: 1, Rejects: 1}, deleted); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
}
