package chaos

import (
	"context"
	"flag"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var held = flag.Duration("chaos.hold", 45*time.Second, "how long TestHeldRows holds what keeps ends of jobs from being stored; an orphan is given back after 30 to 35 s")

// holder keeps the end of a running job from being stored until it is released.
type holder struct {
	name string
	// rest tells that the ends of the other jobs are stored meanwhile.
	rest bool
	hold func(t *testing.T, b *jobBundle, job int64) (release func())
}

var holders = []holder{
	{"row lock", true, func(t *testing.T, b *jobBundle, job int64) func() {
		return b.holdBy(t, `UPDATE tidemill.river_job SET priority = priority WHERE id = `+strconv.FormatInt(job, 10))
	}},
	{"open cancel", true, func(t *testing.T, b *jobBundle, job int64) func() {
		return b.holdBy(t, `SELECT tidemill.cancel(`+strconv.FormatInt(job, 10)+`)`)
	}},
	{"prepared transaction", true, func(t *testing.T, b *jobBundle, job int64) func() {
		release := b.holdBy(t, `UPDATE tidemill.river_job SET priority = priority WHERE id = `+strconv.FormatInt(job, 10), `PREPARE TRANSACTION 'held'`)
		release() // the session: the lock is nobody's now
		return func() { b.exec(t, `ROLLBACK PREPARED 'held'`) }
	}},
	{"vacuum full", false, func(t *testing.T, b *jobBundle, _ int64) func() {
		// It waits for a reader, and everybody else for it.
		release := b.holdBy(t, `SELECT FROM tidemill.river_job`)
		vacuumed := make(chan error, 1)
		go func() {
			_, err := b.pool.Exec(context.Background(), `VACUUM FULL tidemill.river_job`)
			vacuumed <- err
		}()
		b.until(t, 1, 30*time.Second, `SELECT count(*) FROM pg_locks WHERE relation = 'tidemill.river_job'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted`)
		return func() {
			release()
			if err := <-vacuumed; err != nil {
				t.Errorf("vacuum: %v", err)
			}
		}
	}},
}

// holdBy runs the statements in a transaction that stays open until release.
func (b *jobBundle) holdBy(t *testing.T, statements ...string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	release = func() { _ = conn.Close(context.Background()) }
	t.Cleanup(release)
	for _, sql := range append([]string{"BEGIN"}, statements...) {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return release
}

func (b *jobBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := b.pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// A hundred jobs of one insert each end while the end of one job that ends beside them cannot be stored, for longer than it
// takes to think that they never ran. None of them may run again, and those that nothing holds end at once.
//
//	go test ./internal/chaos -run HeldRows -chaos.hold 150s -timeout 30m -v
func TestHeldRows(t *testing.T) {
	t.Parallel()

	for _, h := range holders {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			const jobs = 100
			b := setupJobsAt(t, startServerWith(t, map[string]string{"max_prepared_transactions": "10"}))
			workers := []*worker{b.startWorker(t), b.startWorker(t)}
			for _, w := range workers {
				b.until(t, 1, 30*time.Second, livingWorker, w.cmd.Process.Pid)
			}
			result, err := b.client.Insert(context.Background(), holdArgs{Round: 1}, nil)
			if err != nil {
				t.Fatal(err)
			}
			b.until(t, 1, 30*time.Second, `SELECT count(*) FROM public.started`)
			b.insert(t, jobs, stepArgs{Least: 3000, Most: 5000})
			b.until(t, jobs+1, 30*time.Second, `SELECT count(*) FROM tidemill.river_job WHERE attempted_at IS NOT NULL`)

			began := time.Now()
			release := h.hold(t, b, result.Job.ID)
			b.exec(t, `INSERT INTO public.released VALUES (1)`)
			b.until(t, jobs+1, 30*time.Second, `SELECT count(DISTINCT job) FROM public.ended`)
			if h.rest {
				b.untilAtLeast(t, jobs, 15*time.Second, "jobs that nothing holds are not stored as completed", `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed'`)
			}
			pause(*held - time.Since(began))
			release()
			took := b.until(t, jobs+1, time.Minute, `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed'`)

			inserts := b.count(t, `SELECT count(*) FROM public.ended WHERE job <> $1`, result.Job.ID)
			same := b.count(t, `SELECT count(*) FROM public.ended WHERE job = $1`, result.Job.ID)
			t.Logf("%s for %s: %d inserts by %d jobs, %d by the job that it held; all were stored %s after it",
				h.name, *held, inserts, jobs, same, took.Round(10*time.Millisecond))
			if inserts != jobs || same != 1 {
				t.Errorf("%d jobs made %d inserts, the held one %d", jobs, inserts, same)
			}
			if n := b.count(t, `SELECT count(*) FROM tidemill.river_job WHERE attempt <> 1 OR errors IS NOT NULL`); n > 0 {
				t.Errorf("%d jobs failed or were tried again", n)
			}
			for _, w := range workers {
				b.until(t, 1, 30*time.Second, livingWorker, w.cmd.Process.Pid)
			}
		})
	}
}

// untilAtLeast waits for a count, and continues without it after the limit.
func (b *jobBundle) untilAtLeast(t *testing.T, want int, limit time.Duration, complaint, query string, args ...any) {
	t.Helper()
	for began := time.Now(); ; pause(20 * time.Millisecond) {
		n := b.count(t, query, args...)
		if n >= want {
			return
		}
		if time.Since(began) > limit {
			t.Errorf("after %s %d of %d %s", limit, want-n, want, complaint)
			return
		}
	}
}
