package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/migrations"
)

// fill puts n jobs into every state, over the given queues and all priorities, some due and some not.
const fill = `
	INSERT INTO tidemill.river_job (kind, args, queue, priority, state, scheduled_at, finalized_at)
	SELECT 'k', '{}', ($2::text[])[1 + h % cardinality($2::text[])], 1 + (h / 7) % 4, s, now() + make_interval(secs => (h / 11) % 2000 - 1000),
	       CASE WHEN s IN ('cancelled', 'completed', 'discarded') THEN now() END
	  FROM (SELECT abs(hashint8(i)::bigint) AS h, (enum_range(NULL::tidemill.river_job_state))[1 + i % 8] AS s FROM generate_series(1, $1::int) i) x`

// groupBy is what the collector should say, found the plain way.
const groupBy = `
	SELECT format('jobs{queue="%s",state="%s"}', queue, state), count(*)::float8 FROM tidemill.river_job
	 WHERE finalized_at IS NULL GROUP BY queue, state
	UNION ALL
	SELECT format('queue_oldest_available_timestamp_seconds{queue="%s"}', queue), extract(epoch FROM min(scheduled_at)) FROM tidemill.river_job
	 WHERE state = 'available' GROUP BY queue
	UNION ALL
	SELECT format('queue_oldest_overdue_timestamp_seconds{queue="%s"}', queue), extract(epoch FROM min(scheduled_at)) FROM tidemill.river_job
	 WHERE state IN ('scheduled', 'retryable') AND scheduled_at <= now() GROUP BY queue`

func grouped(t *testing.T, pool *pgxpool.Pool) samples {
	t.Helper()
	rows, err := pool.Query(t.Context(), groupBy)
	if err != nil {
		t.Fatal(err)
	}
	want := samples{}
	var name string
	var value float64
	if _, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error { want[name] = value; return nil }); err != nil {
		t.Fatal(err)
	}
	return want
}

// reported waits for the first refresh and returns what it found.
func (b *bundle) reported(t *testing.T, prefixes ...string) samples {
	t.Helper()
	report(t, b.metrics, connConfig(t, b.url, "reporter"))
	eventually(t, "a refresh", func() bool { return reports(t, b) })
	return gather(t, b.reg, prefixes...)
}

// reports is true when the state of the cluster is shown.
func reports(t *testing.T, b *bundle) bool {
	return len(gather(t, b.reg, "metrics_refresh_timestamp_seconds")) > 0
}

func TestClusterEqualsGroupBy(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{Queues: map[string]int{"default": 1, "critical": 1}})

	exec(t, b.pool, fill, 5000, []string{"default", "low", "mail"})
	want := grouped(t, b.pool)
	got := b.reported(t, "jobs", "queue_oldest")
	approx := cmpopts.EquateApprox(0, 1e-5)
	if diff := cmp.Diff(want, withoutCapped(got.positive()), approx); diff != "" {
		t.Error(diff)
	}
	for _, state := range []string{"available", "scheduled", "retryable", "running", "pending"} {
		for _, queue := range []string{"default", "low", "mail", "critical"} {
			capped, ok := got[fmt.Sprintf("jobs_capped{queue=%q,state=%q}", queue, state)]
			if !ok || capped != 0 {
				t.Errorf("jobs_capped of %s %s is %v (there: %v), want 0", queue, state, capped, ok)
			}
			if _, ok := got[fmt.Sprintf("jobs{queue=%q,state=%q}", queue, state)]; !ok {
				t.Errorf("no jobs of %s %s", queue, state)
			}
		}
	}
	if len(want) != 3*5+3+3 {
		t.Errorf("the table yields %d series; it should have jobs of all sorts in three queues", len(want))
	}
}

func withoutCapped(s samples) samples {
	for name := range s {
		if len(name) > 11 && name[:11] == "jobs_capped" {
			delete(s, name)
		}
	}
	return s
}

func TestCappedCount(t *testing.T) {
	t.Parallel()

	c := newCluster(&builder{})
	s := &state{readAt: time.Now(), queues: []queueState{{name: "q", counts: []stateCount{
		{"available", jobLimit + 1}, {"running", jobLimit}, {"pending", 3},
	}}}}
	c.latest.Store(c.snapshot(s, time.Minute))
	reg, m := newMetrics(t, Opts{})
	m.cluster.latest.Store(c.snapshot(s, time.Minute))
	want := samples{
		`jobs{queue="q",state="available"}`: jobLimit, `jobs_capped{queue="q",state="available"}`: 1,
		`jobs{queue="q",state="running"}`: jobLimit, `jobs_capped{queue="q",state="running"}`: 0,
		`jobs{queue="q",state="pending"}`: 3, `jobs_capped{queue="q",state="pending"}`: 0,
	}
	if diff := cmp.Diff(want, gather(t, reg, "jobs")); diff != "" {
		t.Error(diff)
	}
}

func TestOldSnapshotIsNotShown(t *testing.T) {
	t.Parallel()

	reg, m := newMetrics(t, Opts{})
	s := &state{readAt: time.Now().Add(-time.Minute), queues: []queueState{{name: "q"}}}
	m.cluster.latest.Store(m.cluster.snapshot(s, 2*time.Minute))
	if got := gather(t, reg, "queue_paused"); len(got) != 1 {
		t.Errorf("a snapshot that is valid yields %v", got)
	}
	m.cluster.latest.Store(m.cluster.snapshot(s, 59*time.Second))
	if got := gather(t, reg, "queue_paused", "metrics_refresh_timestamp"); len(got) != 0 {
		t.Errorf("a snapshot that is too old yields %v", got)
	}
}

func TestQueuesPausedAndUnknown(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{Queues: map[string]int{"default": 1}})

	exec(t, b.pool, `INSERT INTO tidemill.river_queue (name, paused_at, updated_at) VALUES ('mail', now(), now()), ('low', NULL, now()), ('default', NULL, now())`)
	// Nobody works these; the one without waiting jobs is nobody's trouble.
	exec(t, b.pool, `INSERT INTO tidemill.river_job (kind, args, queue, state) VALUES ('k', '{}', 'defualt', 'available'), ('k', '{}', 'zz', 'available'), ('k', '{}', 'later', 'scheduled')`)
	want := samples{
		`queue_paused{queue="default"}`: 0, `queue_paused{queue="low"}`: 0, `queue_paused{queue="mail"}`: 1,
		`queue_paused{queue="defualt"}`: 0, `queue_paused{queue="zz"}`: 0,
	}
	if diff := cmp.Diff(want, b.reported(t, "queue_paused")); diff != "" {
		t.Error(diff)
	}
}

func TestQueuesAreCapped(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{Queues: map[string]int{"default": 1, "zz": 1}})

	exec(t, b.pool, `INSERT INTO tidemill.river_queue (name, updated_at) SELECT 'q' || i, now() FROM generate_series(1, 150) i`)
	exec(t, b.pool, `INSERT INTO tidemill.river_job (kind, args, queue) SELECT 'k', '{}', 'w' || i FROM generate_series(1, 150) i`)
	got := b.reported(t, "queue_paused")
	if len(got) != maxQueues {
		t.Errorf("%d queues, want %d", len(got), maxQueues)
	}
	for _, queue := range []string{"default", "zz"} {
		if _, ok := got[fmt.Sprintf("queue_paused{queue=%q}", queue)]; !ok {
			t.Errorf("the configured queue %s was left out", queue)
		}
	}
}

func TestRunsAndProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{})

	exec(t, b.pool, `INSERT INTO tidemill.run (id, job, kind, trigger, status, finished_at)
		SELECT i, 'j', 'k', 'go', (ARRAY['enqueued', 'running', 'running', 'running', 'paused', 'retrying', 'succeeded', 'failed'])[1 + i % 8],
		       CASE WHEN i % 8 >= 6 THEN now() END FROM generate_series(0, 79) i`)
	exec(t, b.pool, `INSERT INTO tidemill.run_intent (run, intent) VALUES (1, 'pause'), (2, 'cancel'), (3, 'cancel'), (3, 'pause')`)
	exec(t, b.pool, `INSERT INTO tidemill.process (id, host, pid, version, beat_at, draining, fenced_at) VALUES
		('a', 'h', 1, 'v', now(), false, NULL), ('b', 'h', 1, 'v', now(), false, NULL), ('c', 'h', 1, 'v', now(), true, NULL),
		('d', 'h', 1, 'v', now() - interval '1 min', true, NULL), ('e', 'h', 1, 'v', now(), false, now()), ('f', 'h', 1, 'v', now() - interval '16 s', false, NULL)`)
	want := samples{
		`runs{status="enqueued"}`: 10, `runs{status="running"}`: 27, `runs{status="pausing"}`: 1, `runs{status="paused"}`: 10,
		`runs{status="cancelling"}`: 2, `runs{status="retrying"}`: 10,
		`processes{state="alive"}`: 2, `processes{state="draining"}`: 1, `processes{state="dead"}`: 3, `processes_fenced_total`: 0,
	}
	if diff := cmp.Diff(want, b.reported(t, "runs", "processes")); diff != "" {
		t.Error(diff)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{Interval: 20 * time.Millisecond})

	exec(t, b.pool, `INSERT INTO tidemill.event (run, job, outcome, at) SELECT i, 'j', 'success', 'epoch'::timestamptz + make_interval(secs => i)
		FROM generate_series(1000, 1002) i`)
	want := samples{`events`: 3, `events_oldest_timestamp_seconds`: 1000}
	if diff := cmp.Diff(want, b.reported(t, "events")); diff != "" {
		t.Error(diff)
	}
	exec(t, b.pool, `DELETE FROM tidemill.event`)
	eventually(t, "no event waits", func() bool { return cmp.Equal(samples{"events": 0}, gather(t, b.reg, "events")) })
}

// Workers are those of processes that take jobs. A queue that nobody works has 0, so that an alert can see it.
func TestQueueWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{Queues: map[string]int{"default": 1}})

	exec(t, b.pool, `INSERT INTO tidemill.process (id, host, pid, version, beat_at, draining, fenced_at, queues) VALUES
		('a', 'h', 1, 'v', now(), false, NULL, '{"mail": 5, "low": 2}'), ('b', 'h', 1, 'v', now(), false, NULL, '{"mail": 10}'),
		('c', 'h', 1, 'v', now(), true, NULL, '{"mail": 100}'), ('d', 'h', 1, 'v', now() - interval '16 s', false, NULL, '{"mail": 100}'),
		('e', 'h', 1, 'v', now(), false, now(), '{"mail": 100}'), ('f', 'h', 1, 'v', now(), false, NULL, 'null')`)
	exec(t, b.pool, `INSERT INTO tidemill.river_queue (name, updated_at) VALUES ('mail', now()), ('low', now())`)
	exec(t, b.pool, `INSERT INTO tidemill.river_job (kind, args, queue) VALUES ('k', '{}', 'typo')`)
	want := samples{`queue_workers{queue="mail"}`: 15, `queue_workers{queue="low"}`: 2, `queue_workers{queue="default"}`: 0, `queue_workers{queue="typo"}`: 0}
	if diff := cmp.Diff(want, b.reported(t, "queue_workers")); diff != "" {
		t.Error(diff)
	}
}

// An app that has River and nothing of ours gets all that River's tables tell.
func TestRiverAlone(t *testing.T) {
	t.Parallel()

	url := testdb.URL(t)
	b := &bundle{url: url, pool: testdb.Pool(t, url)}
	migrator, err := rivermigrate.New(riverpgxv5.New(b.pool), &rivermigrate.Config{Schema: "public"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	b.reg, b.metrics = newMetrics(t, Opts{Schema: migrations.Schema{River: "public"}, Queues: map[string]int{"default": 1}})
	exec(t, b.pool, `INSERT INTO public.river_job (kind, args) VALUES ('k', '{}')`)

	want := samples{`jobs{queue="default",state="available"}`: 1}
	if diff := cmp.Diff(want, b.reported(t, "jobs", "runs", "processes", "queue_workers", "schedule").positive()); diff != "" {
		t.Error(diff)
	}
}
