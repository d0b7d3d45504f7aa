package metrics

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/session"
)

func kill(t *testing.T, b *bundle, name string) {
	t.Helper()
	var killed int
	err := b.pool.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()`, name).
		Scan(&killed)
	if err != nil || killed != 1 {
		t.Fatalf("%d sessions of %s ended (%v), want 1", killed, name, err)
	}
}

func refreshErrors(t *testing.T, b *bundle) float64 {
	return gather(t, b.reg, "metrics_refresh_errors_total")["metrics_refresh_errors_total"]
}

// second returns another process on the database of b.
func (b *bundle) second(t *testing.T, opts Opts) *bundle {
	t.Helper()
	other := &bundle{url: b.url, pool: b.pool}
	other.reg, other.metrics = newMetrics(t, opts)
	return other
}

func TestOneReporter(t *testing.T) {
	t.Parallel()
	first := setup(t, Opts{Interval: 400 * time.Millisecond})
	second := first.second(t, Opts{Interval: 20 * time.Millisecond})

	report(t, first.metrics, connConfig(t, first.url, "first"))
	eventually(t, "the first reports", func() bool { return reports(t, first) })
	report(t, second.metrics, connConfig(t, first.url, "second"))
	eventually(t, "the second has tried", func() bool { return tried(t, first, "second") })
	refreshes := stamps{}
	eventually(t, "the first has refreshed twice more", func() bool {
		if reports(t, second) {
			t.Fatal("both report")
		}
		return refreshes.see(t, first) >= 3
	})

	kill(t, first, "first")
	eventually(t, "the second took over", func() bool { return reports(t, second) })
	eventually(t, "the first fell silent", func() bool { return !reports(t, first) })
	if got := refreshErrors(t, first); got != 1 {
		t.Errorf("%v errors counted by the first, want 1", got)
	}
	// The first comes back as a candidate.
	eventually(t, "the first is connected again", func() bool { return tried(t, first, "first") })
	if reports(t, first) || !reports(t, second) {
		t.Error("the first took the lock back from a living reporter")
	}
}

// The reporter's session is killed: what it knew is gone at once, and another tells within 15 s although it reads no more
// often than that.
func TestKilledReporterIsReplaced(t *testing.T) {
	t.Parallel()
	first := setup(t, Opts{})
	second := first.second(t, Opts{})
	report(t, first.metrics, connConfig(t, first.url, "first"))
	eventually(t, "the first reports", func() bool { return reports(t, first) && elected(t, first) })
	report(t, second.metrics, connConfig(t, first.url, "second"))
	eventually(t, "the second has tried", func() bool { return tried(t, first, "second") })

	killed := time.Now()
	kill(t, first, "first")
	eventually(t, "the first fell silent", func() bool { return !reports(t, first) })
	if took := time.Since(killed); took > 2*time.Second {
		t.Errorf("the first told what it no longer knew for %s", took)
	}
	if got := gather(t, first.reg, "jobs{", "queue_", "processes", "metrics_refresh_d"); len(got.positive()) != 0 {
		t.Errorf("frozen: %v", got)
	}
	eventually(t, "the second took over", func() bool { return reports(t, second) })
	if took := time.Since(killed); took > 15*time.Second {
		t.Errorf("nobody told for %s", took)
	}
	if elected(t, first) || !elected(t, second) {
		t.Error("metrics_reporter does not say who reports")
	}
}

func elected(t *testing.T, b *bundle) bool {
	return gather(t, b.reg, "metrics_reporter")["metrics_reporter"] == 1
}

// A session that bears a process's name ends with that process, wherever the name comes from.
func TestSessionName(t *testing.T) {
	t.Parallel()
	var name atomic.Value
	name.Store("")
	b := setup(t, Opts{Interval: 20 * time.Millisecond, SessionName: func() string { return name.Load().(string) }})
	report(t, b.metrics, connConfig(t, b.url, "configured"))
	eventually(t, "the first refresh", func() bool { return reports(t, b) })
	named := func(want string) bool {
		var got string
		err := b.pool.QueryRow(t.Context(), `SELECT coalesce(string_agg(a.application_name, ','), '') FROM pg_stat_activity a JOIN tidemill.leader l USING (pid)
			WHERE a.datname = current_database() AND l.name = 'metrics'`).Scan(&got)
		if err != nil {
			t.Fatal(err)
		}
		return got == want
	}
	if !named("configured") {
		t.Error("a process without a name has changed its session's")
	}
	for _, want := range []string{"tidemill:one", "tidemill:two"} {
		name.Store(want)
		eventually(t, "the session is "+want, func() bool { return named(want) })
		kill(t, b, want)
		eventually(t, "the session is "+want+" again", func() bool { return named(want) })
	}
}

// stamps counts refreshes by their timestamps.
type stamps map[float64]bool

func (s stamps) see(t *testing.T, b *bundle) int {
	for _, at := range gather(t, b.reg, "metrics_refresh_timestamp_seconds") {
		s[at] = true
	}
	return len(s)
}

// tried reports whether a session of that name has tried for the lock and is idle.
func tried(t *testing.T, b *bundle, name string) bool {
	t.Helper()
	var n int
	err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE application_name = $1 AND datname = current_database() AND state = 'idle' AND query LIKE '%.lead(%'`, name).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

func TestStopGivesTheLockUp(t *testing.T) {
	t.Parallel()
	first := setup(t, Opts{Interval: time.Hour})
	second := first.second(t, Opts{Interval: 20 * time.Millisecond})

	stop := report(t, first.metrics, connConfig(t, first.url, "first"))
	eventually(t, "the first reports", func() bool { return reports(t, first) })
	report(t, second.metrics, connConfig(t, first.url, "second"))
	stop()
	if reports(t, first) {
		t.Error("the first still reports after its end")
	}
	eventually(t, "the second took over", func() bool { return reports(t, second) })
	if got := refreshErrors(t, first) + refreshErrors(t, second); got != 0 {
		t.Errorf("%v errors counted, want none", got)
	}
}

// A refresh that waits longer than its limit lets the old state vanish, keeps the lock, and slows down.
func TestTimeout(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{Interval: 50 * time.Millisecond, Queues: map[string]int{"default": 1}})
	report(t, b.metrics, connConfig(t, b.url, "reporter"))
	eventually(t, "a refresh", func() bool { return reports(t, b) })

	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), `LOCK TABLE tidemill.river_job`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the state of the cluster is absent", func() bool { return !reports(t, b) })
	eventually(t, "the failure is counted", func() bool { return refreshErrors(t, b) > 0 })
	if !holdsLock(t, b) {
		t.Error("a slow refresh gave the lock up")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a refresh after the lock", func() bool { return reports(t, b) })
}

func TestTimeoutSlowsDown(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{Interval: 2 * time.Minute})
	keeper := session.NewKeeper(connConfig(t, b.url, "reporter"), nil)
	defer keeper.Close()
	r := b.metrics.newReporter(keeper)
	turn := func(want time.Duration, wantErr bool) {
		t.Helper()
		if err := r.turn(t.Context()); (err != nil) != wantErr {
			t.Errorf("turn: %v", err)
		}
		if r.interval != want {
			t.Errorf("the interval is %s, want %s", r.interval, want)
		}
	}
	turn(2*time.Minute, false)

	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `LOCK TABLE tidemill.river_queue`); err != nil {
			return err
		}
		turn(4*time.Minute, true)
		turn(5*time.Minute, true)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	turn(150*time.Second, false)
	turn(2*time.Minute, false)
}

func holdsLock(t *testing.T, b *bundle) bool {
	t.Helper()
	var n int
	err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM tidemill.leader l JOIN pg_stat_activity a USING (pid)
		WHERE l.name = 'metrics' AND a.datname = current_database() AND a.application_name = 'reporter'`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

// A failure that is not one of time gives the lock up, since another process may fare better.
func TestErrorGivesTheLockUp(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{Interval: 20 * time.Millisecond})
	report(t, b.metrics, connConfig(t, b.url, "reporter"))
	eventually(t, "a refresh", func() bool { return reports(t, b) })

	exec(t, b.pool, `ALTER TABLE tidemill.river_queue RENAME TO river_queue_away`)
	eventually(t, "the state of the cluster is absent", func() bool { return !reports(t, b) && refreshErrors(t, b) > 0 })
	exec(t, b.pool, `ALTER TABLE tidemill.river_queue_away RENAME TO river_queue`)
	eventually(t, "a refresh after the repair", func() bool { return reports(t, b) })
}

// A database that is away is waited for, and each try counts as an error.
func TestUnreachableDatabase(t *testing.T) {
	t.Parallel()
	reg, m := newMetrics(t, Opts{Interval: 5 * time.Millisecond})
	b := &bundle{reg: reg, metrics: m}
	config := connConfig(t, "postgres://user:secret@127.0.0.1:1/none?connect_timeout=1", "reporter")

	stop := report(t, m, config)
	eventually(t, "several tries", func() bool { return refreshErrors(t, b) >= 3 })
	stop()
	r := m.newReporter(session.NewKeeper(config, nil))
	if err := r.turn(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v; it must be there and hide the password", err)
	}
}
