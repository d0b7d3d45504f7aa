package metrics

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/migrations"
)

// explain returns the plan of a statement under the settings of a refresh.
func explain(t *testing.T, tx pgx.Tx, query string, args ...any) string {
	t.Helper()
	rows, err := tx.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "+migrations.Schema{}.SQL(query), args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// containsLine reports whether a line of text has all parts.
func containsLine(text string, parts ...string) bool {
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			return true
		}
	}
	return false
}

// A refresh never scans the table, whether or not the statistics are up to date, and reads no more than its bound.
func TestPlans(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{})
	exec(t, b.pool, fill, 50_000, []string{"default", "low", "mail"})

	check := func(t *testing.T, plan string) {
		t.Helper()
		scans := 0
		for line := range strings.Lines(plan) {
			if !strings.Contains(line, "river_job") || !strings.Contains(line, "Scan") {
				continue
			}
			scans++
			if !strings.Contains(line, "Index Only Scan using river_job_prioritized_fetching_index") {
				t.Errorf("not from the index alone: %s", strings.TrimSpace(line))
			}
		}
		if scans == 0 {
			t.Error("no scan of river_job found")
		}
		if t.Failed() {
			t.Log(plan)
		}
	}
	all := func(t *testing.T) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), settings); err != nil {
				return err
			}
			check(t, explain(t, tx, queueJobs, "low", jobLimit+1))
			check(t, explain(t, tx, waitingQueues))
			bounded := explain(t, tx, queueJobs, "low", 11)
			check(t, bounded)
			if !strings.Contains(bounded, "actual rows=11 loops=5") {
				t.Errorf("the count is not bounded:\n%s", bounded)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	exec(t, b.pool, `DELETE FROM pg_statistic WHERE starelid = 'tidemill.river_job'::regclass`)
	all(t)
	exec(t, b.pool, `VACUUM ANALYZE tidemill.river_job`)
	all(t)
}

// BenchmarkRefresh reads 50,000 jobs in three queues.
func BenchmarkRefresh(b *testing.B) {
	s := setup(b, Opts{})
	if _, err := s.pool.Exec(b.Context(), fill, 50_000, []string{"default", "low", "mail"}); err != nil {
		b.Fatal(err)
	}
	if _, err := s.pool.Exec(b.Context(), `VACUUM ANALYZE tidemill.river_job`); err != nil {
		b.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(b.Context(), connConfig(b, s.url, "bench"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	for b.Loop() {
		if _, err := s.metrics.read(b.Context(), conn); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScrapeState shows that a scrape does not touch the database.
func BenchmarkScrapeState(b *testing.B) {
	reg, m := newMetrics(b, Opts{})
	st := &state{readAt: time.Now()}
	for _, name := range []string{"critical", "default", "low", "mail"} {
		st.queues = append(st.queues, queueState{name: name, counts: []stateCount{{"available", 1}, {"running", 2}}})
	}
	m.cluster.latest.Store(m.cluster.snapshot(st, time.Hour))
	for b.Loop() {
		if _, err := reg.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
