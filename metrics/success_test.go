package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/session"
)

// addRuns adds n runs of a job, newer than those there are, that ended some time ago.
func (b *bundle) addRuns(t *testing.T, job, status string, n int, ago time.Duration) {
	t.Helper()
	exec(t, b.pool, `INSERT INTO tidemill.run (id, job, kind, trigger, status, finished_at)
		SELECT coalesce((SELECT max(id) FROM tidemill.run), 0) + i, $1, 'k', 'go', $2, now() - $4::interval FROM generate_series(1, $3::int) i`, job, status, n, ago)
}

func (b *bundle) addJob(t *testing.T, name string) {
	t.Helper()
	exec(t, b.pool, `INSERT INTO tidemill.job (name, kind, args, args_nested, queue, priority, max_attempts, is_unique) VALUES ($1, 'k', '{}', false, 'default', 1, 1, false)`, name)
}

func TestLastSuccess(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{})
	keeper := session.NewKeeper(connConfig(t, b.url, "reporter"), nil)
	defer keeper.Close()
	r := b.metrics.newReporter(keeper)
	ages := func() map[string]time.Duration {
		t.Helper()
		if err := r.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := map[string]time.Duration{}
		for job, at := range r.successes {
			if !at.IsZero() {
				all[job] = time.Since(at)
			}
		}
		return all
	}
	near := cmp.Comparer(func(x, y time.Duration) bool { return (x - y).Abs() < time.Minute })

	for _, job := range []string{"good", "mixed", "rejects", "never", "new"} {
		b.addJob(t, job)
	}
	b.addRuns(t, "good", "failed", 1, 4*time.Hour)
	b.addRuns(t, "good", "succeeded", 3, 3*time.Hour)
	b.addRuns(t, "mixed", "succeeded", 1, 5*time.Hour)
	b.addRuns(t, "mixed", "failed", lookBack-1, 4*time.Hour)
	b.addRuns(t, "rejects", "succeeded_with_rejects", 1, 6*time.Hour)
	b.addRuns(t, "never", "failed", 2, time.Hour)
	b.addRuns(t, "of no configured job", "succeeded", 2, time.Hour)
	want := map[string]time.Duration{"good": 3 * time.Hour, "mixed": 5 * time.Hour, "rejects": 6 * time.Hour}
	if diff := cmp.Diff(want, ages(), near); diff != "" {
		t.Error(diff)
	}
	shown := gather(t, b.reg, "job_last_success")
	if len(shown) != 3 || shown[`job_last_success_timestamp_seconds{job="good"}`] < float64(time.Now().Add(-181*time.Minute).Unix()) {
		t.Errorf("shown: %v", shown)
	}

	// What lies too far back by now is remembered, and what is configured no more is forgotten.
	b.addRuns(t, "mixed", "failed", 50, time.Minute)
	b.addRuns(t, "good", "succeeded", 1, time.Hour)
	exec(t, b.pool, `DELETE FROM tidemill.job WHERE name = 'rejects'`)
	want = map[string]time.Duration{"good": time.Hour, "mixed": 5 * time.Hour}
	if diff := cmp.Diff(want, ages(), near); diff != "" {
		t.Error(diff)
	}

	// Another reporter cannot know it.
	r.successes = nil
	if diff := cmp.Diff(map[string]time.Duration{"good": time.Hour}, ages(), near); diff != "" {
		t.Error(diff)
	}
}

// The ledger is not read further than the first success, nor further than the limit.
func TestLastSuccessIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{})
	b.addJob(t, "good")
	b.addRuns(t, "good", "succeeded", 2000, time.Hour)
	b.addRuns(t, "good", "failed", 2, time.Hour)
	readRows := func(want string) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), settings); err != nil {
				return err
			}
			plan := explain(t, tx, lastSuccesses, maxNames, lookBack)
			if !containsLine(plan, "using run_job_idx", want) || containsLine(plan, "Seq Scan on run") {
				t.Errorf("the plan should read %q through run_job_idx:\n%s", want, plan)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.addRuns(t, "another", "succeeded", 1000, time.Hour)
	exec(t, b.pool, `ANALYZE tidemill.run`)
	readRows("actual rows=3 loops=1")
	b.addRuns(t, "good", "failed", 500, time.Hour)
	readRows("actual rows=100 loops=1")
}
