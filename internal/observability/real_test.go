package observability

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/migrations"
)

// A real Prometheus reads two real worker processes under a load of all kinds. Every alert is made to fire by a fault of its
// own and resolves when that is over, and every panel of every dashboard shows something meanwhile. The times of the rules
// are scaled down; what is looked at and compared is as it is delivered.
func TestRealPrometheus(t *testing.T) {
	t.Parallel()

	b := setup(t)
	seen := &observed{bundle: b, fired: map[string]active{}, panels: panels()}

	// Nobody works yet, and then nobody reports.
	seen.waitFiring(t, 20*time.Second, "TidemillDown")
	reporter := b.holdReporterLock(t)
	startWorker(t, b.configPath, b.url, b.addresses[0], "default,busy,paused")
	lone := startWorker(t, b.configPath, b.url, b.addresses[1], "lone")
	seen.waitFiring(t, 30*time.Second, "TidemillMetricsStale")
	if err := reporter.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if extra := seen.others("TidemillDown", "TidemillMetricsStale"); len(extra) > 0 {
		t.Errorf("fired without a fault: %s", strings.Join(extra, ", "))
	}

	ctx, stop := context.WithCancel(t.Context())
	loaded := make(chan error, 1)
	b.failing.Store(true)
	go func() { loaded <- b.load(ctx) }()

	repair := b.breakAll(t, lone)
	began := time.Now()
	seen.waitFiring(t, 90*time.Second, alertNames()...)
	seen.waitPanels(t, 30*time.Second)
	t.Logf("all alerts fired and all panels had data %s after the faults", time.Since(began).Round(time.Second))

	began = time.Now()
	repair()
	seen.waitSilent(t, 90*time.Second)
	t.Logf("all alerts were resolved %s after the faults", time.Since(began).Round(time.Second))
	seen.staysSilent(t, 10*time.Second)
	stop()
	if err := <-loaded; err != nil {
		t.Error(err)
	}
	seen.checkTexts(t)
}

// holdReporterLock keeps every process from reporting, until the connection is closed.
func (b *bundle) holdReporterLock(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for leads := false; !leads; <-tick.C {
		if err := conn.QueryRow(t.Context(), `SELECT tidemill.lead('metrics')`).Scan(&leads); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// breakAll causes a fault for each alert and returns what ends them all.
func (b *bundle) breakAll(t *testing.T, lone *worker) (repair func()) {
	t.Helper()
	// Skewed: a worker of a database whose clock is another one.
	elsewhere := testdb.Skewed(t, 8*time.Second)
	other := testdb.Pool(t, elsewhere)
	if _, err := migrations.Up(t.Context(), other, migrations.Schema{}, nil); err != nil {
		t.Fatal(err)
	}
	skewed := startWorker(t, b.configPath, elsewhere, b.addresses[2], "default")
	until(t, 30*time.Second, "the worker of the other database is there", func() bool {
		var alive int
		err := other.QueryRow(t.Context(), `SELECT count(*) FROM tidemill.process WHERE fenced_at IS NULL`).Scan(&alive)
		return err == nil && alive == 1
	})
	// Saturated, late: one worker, held by the first of three jobs.
	for range 3 {
		b.insert(t, holdArgs{}, &river.InsertOpts{Queue: "busy"})
	}
	// Rescued, fenced, without workers: the only process of a queue dies with all its jobs.
	for range 12 {
		b.insert(t, holdArgs{}, &river.InsertOpts{Queue: "lone"})
	}
	until(t, 30*time.Second, "the process that is to die works its jobs", func() bool {
		var running int
		err := b.app.Pool.QueryRow(t.Context(), `SELECT count(*) FROM tidemill.river_job WHERE queue = 'lone' AND state = 'running'`).Scan(&running)
		return err == nil && running == 12
	})
	lone.kill()

	until(t, 30*time.Second, "the queue that is to be paused is known", func() bool {
		return b.app.Client.QueuePause(t.Context(), "paused", nil) == nil
	})
	// Its worker hears of the pause a moment later, and works what is inserted until then.
	until(t, 30*time.Second, "jobs wait in the paused queue", func() bool {
		b.insert(t, fineArgs{}, &river.InsertOpts{Queue: "paused"})
		var waiting int
		err := b.app.Pool.QueryRow(t.Context(), `SELECT count(*) FROM tidemill.river_job WHERE queue = 'paused' AND state = 'available'`).Scan(&waiting)
		return err == nil && waiting > 3
	})

	// Overdue: somebody locks a job that is about to be due.
	overdue := b.insert(t, fineArgs{}, &river.InsertOpts{ScheduledAt: time.Now().Add(3 * time.Second)})
	lock, err := b.app.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Rollback(context.Background()) })
	if _, err := lock.Exec(t.Context(), `SELECT FROM tidemill.river_job WHERE id = $1 FOR UPDATE`, overdue); err != nil {
		t.Fatal(err)
	}

	if err := b.app.ScheduleAdmin().Pause(t.Context(), "rest"); err != nil {
		t.Fatal(err)
	}
	b.exec(t, `CREATE TABLE public.kept AS SELECT spec FROM tidemill.schedule WHERE name = 'broken';
		UPDATE tidemill.schedule SET spec = '{"cron": "never"}', next_tick_at = now() - interval '5 minutes' WHERE name = 'broken';
		UPDATE tidemill.schedule SET next_tick_at = now() - interval '3 days' WHERE name = 'missed';
		INSERT INTO tidemill.event (run, job, outcome, at, next_at) VALUES (0, 'stat', 'success', now() - interval '10 minutes', now() + interval '1 day')`)

	return func() {
		skewed.stop()
		b.failing.Store(false)
		if err := lock.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.app.Client.QueueResume(t.Context(), "paused", nil); err != nil {
			t.Fatal(err)
		}
		b.exec(t, `INSERT INTO public.released DEFAULT VALUES;
			DELETE FROM tidemill.event WHERE run = 0;
			UPDATE tidemill.schedule SET spec = (SELECT spec FROM public.kept), next_tick_at = now() + interval '1 day' WHERE name = 'broken'`)
		startWorker(t, b.configPath, b.url, b.addresses[1], "lone")
	}
}

func alertNames() []string {
	var names []string
	for _, a := range Alerts() {
		names = append(names, a.Name)
	}
	return names
}

// panels are the expressions of all panels, by where they stand.
func panels() map[string]string {
	all := map[string]string{}
	for file, d := range Dashboards() {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all[file+": "+p.Title+": "+target.RefID] = substituted(target.Expr, "10s")
			}
		}
	}
	return all
}

// observed is what was seen so far.
type observed struct {
	*bundle
	fired  map[string]active // by name, each as it was first seen
	panels map[string]string // those that had no data yet
}

// look asks once; current are the alerts that fire now.
func (o *observed) look(t *testing.T) (current []string) {
	t.Helper()
	alerts, err := o.prometheus.alerts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts {
		name := a.Labels["alertname"]
		if a.State != "firing" {
			continue
		}
		current = append(current, name)
		if _, ok := o.fired[name]; !ok {
			o.fired[name] = a
		}
	}
	for where, expr := range o.panels {
		samples, err := o.prometheus.query(t.Context(), expr)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(samples, func(s sample) bool { return s.Value[1] != "NaN" }) {
			delete(o.panels, where)
		}
	}
	return current
}

func (o *observed) waitFiring(t *testing.T, bound time.Duration, names ...string) {
	t.Helper()
	missing := slices.Clone(names)
	defer func() {
		if len(missing) > 0 {
			t.Logf("did not fire: %s", strings.Join(missing, ", "))
		}
	}()
	until(t, bound, "the alerts fire", func() bool {
		o.look(t)
		missing = slices.DeleteFunc(missing, func(name string) bool { _, ok := o.fired[name]; return ok })
		return len(missing) == 0
	})
}

// others are the alerts that fired and are not among names.
func (o *observed) others(names ...string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(o.fired)), func(name string) bool { return slices.Contains(names, name) })
}

func (o *observed) waitPanels(t *testing.T, bound time.Duration) {
	t.Helper()
	defer func() {
		for _, where := range slices.Sorted(maps.Keys(o.panels)) {
			t.Logf("no data: %s: %s", where, o.panels[where])
		}
	}()
	until(t, bound, "every panel has had data", func() bool {
		o.look(t)
		return len(o.panels) == 0
	})
}

func (o *observed) waitSilent(t *testing.T, bound time.Duration) {
	t.Helper()
	var current []string
	defer func() {
		if len(current) > 0 {
			t.Logf("still fire: %s", strings.Join(current, ", "))
		}
	}()
	// An alert that is silent because nobody knows the state is not resolved.
	known := fmt.Sprintf("max(min_over_time(tidemill_metrics_refresh_timestamp_seconds[3s])) > %d", time.Now().Unix())
	until(t, bound, "all alerts are resolved", func() bool {
		fresh, err := o.prometheus.query(t.Context(), known)
		if err != nil {
			t.Fatal(err)
		}
		current = o.look(t)
		return len(current) == 0 && len(fresh) > 0
	})
}

// staysSilent looks for alerts that fire while all is well, though the load continues.
func (o *observed) staysSilent(t *testing.T, period time.Duration) {
	t.Helper()
	end := time.Now().Add(period)
	until(t, 2*period, "the period is over", func() bool {
		if current := o.look(t); len(current) > 0 {
			alerts, err := o.prometheus.alerts(t.Context())
			t.Errorf("fire while all is well: %s (%+v, %v)", strings.Join(current, ", "), alerts, err)
			return true
		}
		return time.Now().After(end)
	})
}

// checkTexts looks for templates that Prometheus could not fill in.
func (o *observed) checkTexts(t *testing.T) {
	t.Helper()
	for name, a := range o.fired {
		for key, text := range a.Annotations {
			if text == "" || strings.Contains(text, "{{") || strings.Contains(text, "no value") || strings.Contains(text, "error") {
				t.Errorf("%s: %s is %q", name, key, text)
			}
		}
	}
}
