package periodic_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/periodic"
)

// bundle is a database with schedulers whose clock the test moves.
type bundle struct {
	t     *testing.T
	url   string
	pool  *pgxpool.Pool
	board *periodic.Admin
	now   atomic.Int64 // UnixNano
}

func setup(t *testing.T) *bundle {
	t.Helper()
	url := testengine.URL(t)
	b := &bundle{t: t, url: url, pool: testdb.Pool(t, url)}
	b.board = periodic.NewAdmin(b.pool, migrations.Schema{})
	return b
}

// apply applies defs with the clock at that time.
func (b *bundle) apply(defs ...periodic.Definition) *periodic.Applied {
	b.t.Helper()
	var applied *periodic.Applied
	err := pgx.BeginFunc(b.t.Context(), b.pool, func(tx pgx.Tx) (err error) {
		applied, err = periodic.ApplyTx(b.t.Context(), tx, migrations.Schema{}.Defaults(), defs)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return applied
}

// dueAt moves the next tick of all schedules, and the clock to it.
func (b *bundle) dueAt(at time.Time) {
	b.t.Helper()
	b.exec(`UPDATE tidemill.schedule SET next_tick_at = $1`, at)
	b.now.Store(at.UnixNano())
}

func (b *bundle) exec(query string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), query, args...); err != nil {
		b.t.Fatal(err)
	}
}

// run starts a scheduler that is stopped at the end of the test.
func (b *bundle) run(opts periodic.Opts) {
	b.t.Helper()
	conn, err := pgx.ParseConfig(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	opts.Conn, opts.Poll = conn, 5*time.Millisecond
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if b.now.Load() != 0 {
		opts.Clock = func() time.Time { return time.Unix(0, b.now.Load()) }
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { periodic.New(opts).Run(ctx) })
	b.t.Cleanup(func() { cancel(); group.Wait() })
}

// until waits for the answer of a query that returns one text.
func (b *bundle) until(want, query string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var got string
		if err := b.pool.QueryRow(ctx, query).Scan(&got); err != nil {
			b.t.Fatalf("%s: %v", query, err)
		}
		if got == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("%s is\n%s, want\n%s", query, got, want)
		}
	}
}

// end ends the live runs of a job, as River does.
func (b *bundle) end(job string) {
	b.t.Helper()
	b.exec(`UPDATE tidemill.river_job SET state = 'completed', finalized_at = now() WHERE id IN (SELECT id FROM tidemill.run WHERE job = $1 AND finished_at IS NULL)`, job)
}

const outcomes = `SELECT coalesce(string_agg(concat_ws(' ', schedule, to_char(due_at AT TIME ZONE 'UTC', 'HH24:MI'), outcome), E'\n' ORDER BY due_at, schedule), '') FROM tidemill.tick`

func lines(text ...string) string { return strings.Join(text, "\n") }

func hourly(name string) periodic.Definition {
	return periodic.Definition{Name: name, Kind: "report", Job: name, Spec: periodic.Spec{Cron: "0 * * * *"}, Args: []byte(`{"to": "all"}`)}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestATickIsARun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.apply(hourly("a"))
	b.dueAt(noon)
	b.run(periodic.Opts{})
	b.until("a 12:00 enqueued", outcomes)
	b.until(`{"to": "all", "previous": "2026-03-01T11:00:00Z", "scheduled_for": "2026-03-01T12:00:00Z"}|{"tidemill": {"job": "a", "schedule": "a"}}|available`,
		`SELECT concat_ws('|', args, metadata, state) FROM tidemill.river_job`)
	b.until(`a|schedule|enqueued|{"previous": "2026-03-01T11:00:00Z", "schedule": "a", "scheduled_for": "2026-03-01T12:00:00Z"}`,
		`SELECT concat_ws('|', job, trigger, status, metadata) FROM tidemill.run`)
	b.until("2026-03-01 13:00", `SELECT to_char(next_tick_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') FROM tidemill.schedule`)
}

// Down for three hours, then up.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	all, none, latest := hourly("all"), hourly("none"), hourly("latest")
	all.CatchUp, all.Overlap = periodic.CatchUpAll, periodic.OverlapAllow
	none.CatchUp = periodic.CatchUpNone
	b.apply(all, none, latest)
	b.dueAt(noon)
	b.now.Store(noon.Add(3*time.Hour + 10*time.Minute).UnixNano())
	b.run(periodic.Opts{})
	b.until(lines(
		"all 12:00 caught_up", "latest 12:00 missed", "none 12:00 missed",
		"all 13:00 caught_up", "latest 13:00 missed", "none 13:00 missed",
		"all 14:00 caught_up", "latest 14:00 missed", "none 14:00 missed",
		"all 15:00 caught_up", "latest 15:00 caught_up", "none 15:00 missed"), outcomes)
	b.until("5", `SELECT count(*)::text FROM tidemill.run WHERE args->>'caught_up' = 'true'`)
	b.end("latest")
	b.now.Store(noon.Add(4 * time.Hour).UnixNano())
	b.until("3", `SELECT count(*)::text FROM tidemill.tick WHERE outcome = 'enqueued'`)
}

// Down for 25 seconds, with ticks every ten: what was due again meanwhile was missed, unless a process was there all along.
func TestCatchUpOfShortIntervals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, began, want string
	}{
		{"nobody", "", "missed missed enqueued"},
		{"a process that began later", "2026-03-01T12:00:12Z", "missed missed enqueued"},
		{"a process all along", "2026-03-01T11:00:00Z", "enqueued enqueued enqueued"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.apply(periodic.Definition{
				Name: "often", Kind: "report", Job: "often", Spec: periodic.Spec{Every: 10 * time.Second}, CatchUp: periodic.CatchUpNone, Overlap: periodic.OverlapAllow,
			})
			if tt.began != "" {
				b.exec(`INSERT INTO tidemill.process (id, host, pid, version, started_at, beat_at) VALUES ('a', 'h', 1, 'v', $1::text::timestamptz, now() + interval '1 hour')`, tt.began)
			}
			b.dueAt(noon)
			b.now.Store(noon.Add(25 * time.Second).UnixNano())
			b.run(periodic.Opts{})
			b.until(tt.want, `SELECT coalesce(string_agg(outcome, ' ' ORDER BY due_at), '') FROM tidemill.tick`)
		})
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	skip, queue, allow := hourly("skip"), hourly("queue"), hourly("allow")
	queue.Overlap, allow.Overlap = periodic.OverlapQueue, periodic.OverlapAllow
	b.apply(skip, queue, allow)
	b.dueAt(noon)
	b.run(periodic.Opts{})
	b.run(periodic.Opts{})
	for hour := range 3 {
		b.now.Store(noon.Add(time.Duration(hour) * time.Hour).UnixNano())
		b.until(fmt.Sprint(3*(hour+1)), `SELECT count(*)::text FROM tidemill.tick`)
	}
	b.until(lines(
		"allow 12:00 enqueued", "queue 12:00 enqueued", "skip 12:00 enqueued",
		"allow 13:00 enqueued", "queue 13:00 waiting", "skip 13:00 overlap",
		"allow 14:00 enqueued", "queue 14:00 overlap", "skip 14:00 overlap"), outcomes)
	// The one that waits starts when the live run ends, and only then; a paused or retrying run is live.
	b.exec(`UPDATE tidemill.river_job SET state = 'retryable' WHERE id IN (SELECT id FROM tidemill.run WHERE job = 'queue')`)
	b.end("queue")
	b.end("skip")
	b.until("enqueued", `SELECT outcome FROM tidemill.tick WHERE schedule = 'queue' AND due_at = '2026-03-01 13:00Z'`)
	b.until("2026-03-01T13:00:00Z", `SELECT args->>'scheduled_for' FROM tidemill.run WHERE job = 'queue' AND finished_at IS NULL`)
	b.now.Store(noon.Add(3 * time.Hour).UnixNano())
	b.until(lines("allow enqueued", "queue waiting", "skip enqueued"),
		`SELECT coalesce(string_agg(concat_ws(' ', schedule, outcome), E'\n' ORDER BY schedule), '') FROM tidemill.tick WHERE due_at = '2026-03-01 15:00Z'`)
}

func TestPauseRecordsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t)
	b.apply(hourly("a"))
	b.dueAt(noon)
	if err := b.board.Pause(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	b.run(periodic.Opts{})
	b.until("a 12:00 paused", outcomes)
	if got := b.apply(hourly("a")); len(got.Added)+len(got.Changed)+len(got.Removed) != 0 {
		t.Errorf("applying the same changes %+v", got)
	}
	if err := b.board.Resume(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	b.now.Store(noon.Add(time.Hour).UnixNano())
	b.until(lines("a 12:00 paused", "a 13:00 enqueued"), outcomes)
	if err := b.board.Pause(ctx, "b"); err == nil {
		t.Error("a schedule that is not there was paused")
	}
}

func TestApplyLooksAhead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	applied := b.apply(hourly("keep"), hourly("change"), hourly("remove"))
	if diff := cmp.Diff([]string{"change", "keep", "remove"}, applied.Added); diff != "" {
		t.Error(diff)
	}
	b.exec(`UPDATE tidemill.schedule SET next_tick_at = next_tick_at - interval '5 hours'`)
	b.exec(`INSERT INTO tidemill.tick (schedule, due_at, outcome, work) VALUES ('remove', now(), 'waiting', '{}')`)
	changed := hourly("change")
	changed.Spec = periodic.Spec{Cron: "30 * * * *"}
	other := hourly("keep")
	other.CatchUp = periodic.CatchUpAll
	applied = b.apply(other, changed)
	if diff := cmp.Diff(&periodic.Applied{Changed: []string{"change", "keep"}, Removed: []string{"remove"}}, applied); diff != "" {
		t.Error(diff)
	}
	// What has not changed its times keeps what came due; what has starts over; a tick of the removed one waits no more.
	b.until("change true, keep false", `SELECT string_agg(concat_ws(' ', name, CASE WHEN next_tick_at > now() THEN 'true' ELSE 'false' END), ', ' ORDER BY name) FROM tidemill.schedule`)
	b.until("missed", `SELECT outcome FROM tidemill.tick`)
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t)
	once := hourly("once")
	once.Unique = true
	b.apply(hourly("a"), once)
	trigger := func(name, by string) int64 {
		t.Helper()
		id, err := b.board.Trigger(ctx, name, by)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := trigger("a", "cron")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if id, err := b.board.Trigger(ctx, "a", "cron"); err != nil || id != first {
				t.Errorf("run %d, %v; want %d", id, err, first)
			}
		})
	}
	group.Wait()
	if id := trigger("a", "cli"); id == first {
		t.Error("another caller got the same run")
	}
	b.exec(`UPDATE tidemill.run SET enqueued_at = enqueued_at - interval '61 seconds'`)
	if id := trigger("a", "cron"); id == first {
		t.Error("a minute later it is the same run")
	}
	live := trigger("once", "cron")
	if id := trigger("once", "cli"); id != live {
		t.Errorf("run %d of a unique job beside %d", id, live)
	}
	if _, err := b.board.Trigger(ctx, "none", "cli"); err == nil {
		t.Error("a schedule that is not there was triggered")
	}
}

// One schedule that cannot be fired, and one whose job another session holds, keep no other from its time.
func TestAFailingScheduleHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no room''; END'`)
	b.exec(`CREATE TRIGGER refuse BEFORE INSERT ON tidemill.river_job FOR EACH ROW WHEN (NEW.kind = 'bad') EXECUTE FUNCTION public.refuse()`)
	var defs []periodic.Definition
	for i := range 30 {
		defs = append(defs, hourly(fmt.Sprintf("good-%02d", i)))
	}
	bad, held := hourly("bad"), hourly("held")
	bad.Kind, held.Unique = "bad", true
	b.apply(append(defs, bad, held)...)
	// Somebody starts the unique job, and does not commit.
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `INSERT INTO tidemill.run (id, job, kind, trigger, is_unique) VALUES (1000000, 'held', 'report', 'sql', true)`)
	if err != nil {
		t.Fatal(err)
	}
	b.dueAt(noon)
	failures := make(chan string, 1000)
	b.run(periodic.Opts{OnFailure: func(schedule, problem string) { failures <- schedule + ": " + problem }})
	b.run(periodic.Opts{})
	b.until("30", `SELECT count(*)::text FROM tidemill.tick`)
	b.now.Store(noon.Add(time.Hour).UnixNano())
	b.until("60", `SELECT count(*)::text FROM tidemill.tick`)
	if got, bad := <-failures, "bad: no room (P0001)"; got != bad && !strings.HasPrefix(got, "held: ") {
		t.Errorf("told of the failure %q, want %q or that of held", got, bad)
	}
	// Their ticks are not lost: they stay due until they can be dealt with.
	b.exec(`DROP TRIGGER refuse ON tidemill.river_job`)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.until("bad missed, bad enqueued, held missed, held enqueued", `SELECT coalesce(string_agg(schedule || ' ' || outcome, ', ' ORDER BY schedule, due_at), '')
		FROM tidemill.tick WHERE schedule IN ('bad', 'held')`)
}

// However many look, a tick is one run.
func TestManySchedulersFireOnce(t *testing.T) {
	t.Parallel()
	const schedules, ticks = 100, 5
	b := setup(t)
	var defs []periodic.Definition
	for i := range schedules {
		def := hourly(fmt.Sprintf("s%03d", i))
		def.Spec, def.Overlap = periodic.Spec{Every: time.Second}, periodic.OverlapAllow
		defs = append(defs, def)
	}
	b.apply(defs...)
	b.dueAt(noon)
	told := make(chan periodic.Tick, schedules*ticks+1)
	for range 8 {
		b.run(periodic.Opts{OnTick: func(tick periodic.Tick) { told <- tick }})
	}
	for tick := range ticks {
		b.now.Store(noon.Add(time.Duration(tick) * time.Second).UnixNano())
		b.until(fmt.Sprint(schedules*(tick+1)), `SELECT count(*)::text FROM tidemill.tick`)
	}
	want := fmt.Sprint(schedules * ticks)
	b.until(want, `SELECT count(*)::text FROM tidemill.river_job`)
	b.until(want, `SELECT count(*)::text FROM tidemill.run r JOIN tidemill.tick t ON t.run = r.id WHERE t.outcome = 'enqueued'
		AND t.due_at = (r.args->>'scheduled_for')::timestamptz`)
	seen := map[string]bool{}
	for range schedules * ticks {
		tick := <-told
		seen[tick.Schedule+tick.DueAt.String()] = true
	}
	if len(seen) != schedules*ticks || len(told) > 0 {
		t.Errorf("told of %d ticks, and %d more", len(seen), len(told))
	}
}

func TestBoard(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t)
	tokyo := hourly("tokyo")
	tokyo.Spec = periodic.Spec{Cron: "0 9 * * *", Timezone: "Asia/Tokyo"}
	b.apply(hourly("a"), tokyo)
	b.dueAt(noon)
	b.run(periodic.Opts{})
	b.until("2", `SELECT count(*)::text FROM tidemill.tick`)
	list, err := b.board.List(ctx)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d schedules, %v", len(list), err)
	}
	s := list[1]
	if s.Name != "tokyo" || s.Times != "0 9 * * * Asia/Tokyo" || s.Description == "" || s.LastTick == nil || s.LastTick.Outcome != periodic.Enqueued ||
		s.NextTickAt.Format(time.RFC3339) != "2026-03-02T09:00:00+09:00" {
		t.Errorf("%+v, last %+v", s, s.LastTick)
	}
	if next := s.Next(noon, 3); len(next) != 3 || next[2].Format(time.RFC3339) != "2026-03-04T09:00:00+09:00" {
		t.Errorf("next %v", next)
	}
	history, err := b.board.History(ctx, "tokyo", 10)
	if err != nil || len(history) != 1 || history[0].Run == nil || !history[0].DueAt.Equal(noon) {
		t.Errorf("%v, %v", history, err)
	}
}
