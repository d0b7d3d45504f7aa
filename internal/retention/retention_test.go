package retention_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/retention"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
)

const day = 24 * time.Hour

type bundle struct {
	t    *testing.T
	pool *pgxpool.Pool
	conn *pgx.ConnConfig
}

func setup(t *testing.T) *bundle {
	t.Helper()
	pool := testdb.Pool(t, testengine.URL(t))
	return &bundle{t: t, pool: pool, conn: pool.Config().ConnConfig}
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(context.Background(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

// job adds a finished River job, or an unfinished one if the state is such, and returns its id.
func (b *bundle) job(state, job string, age time.Duration) int64 {
	b.t.Helper()
	var id int64
	err := b.pool.QueryRow(context.Background(), `
		INSERT INTO tidemill.river_job (kind, args, max_attempts, queue, state, metadata, finalized_at)
		VALUES ('k', '{}', 1, 'default', $1::text::tidemill.river_job_state,
			CASE WHEN $2 = '' THEN '{}' ELSE jsonb_build_object('tidemill', jsonb_build_object('job', $2::text)) END,
			CASE WHEN $1::text IN ('completed', 'cancelled', 'discarded') THEN now() - $3::interval END)
		RETURNING id`, state, job, age).Scan(&id)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// run adds a run of that id which ended so long ago, or is live if age is negative.
func (b *bundle) run(id int64, job string, age time.Duration, rejects int) {
	b.t.Helper()
	b.exec(`
		INSERT INTO tidemill.run (id, job, kind, trigger, status, enqueued_at, finished_at)
		SELECT $1, $2, 'k', 'test', CASE WHEN $4 THEN 'running' ELSE 'failed' END, now() - $3::interval, CASE WHEN NOT $4 THEN now() - $3::interval END`,
		id, job, age.Abs(), age < 0)
	b.exec(`
		INSERT INTO tidemill.run_reject (run, ordinal, line, byte_offset, raw, code, reason)
		SELECT $1, n, n, 0, '', 'x', 'x' FROM generate_series(1, $2) n`, id, rejects)
}

func (b *bundle) ids(query string) []int64 {
	b.t.Helper()
	rows, err := b.pool.Query(context.Background(), query)
	if err != nil {
		b.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		b.t.Fatal(err)
	}
	return ids
}

func (b *bundle) sweeper(opts retention.Opts) *retention.Sweeper {
	b.t.Helper()
	opts.Conn = b.conn
	opts.Logger = slog.New(slog.DiscardHandler)
	opts.Pause = time.Microsecond
	s := retention.New(opts)
	b.t.Cleanup(s.Close)
	return s
}

func (b *bundle) sweep(s *retention.Sweeper) retention.Deleted { return b.takeOver(s) }

// takeOver sweeps as soon as the server has noticed that the session of the last sweeper is over.
func (b *bundle) takeOver(s *retention.Sweeper) retention.Deleted {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		deleted, err := s.Sweep(ctx)
		switch {
		case err == nil:
			return deleted
		case !errors.Is(err, session.ErrElsewhere):
			b.t.Fatal(err)
		}
	}
}

func forever() retention.Limits {
	return retention.Limits{
		Succeeded: retention.Forever, Failed: retention.Forever, Cancelled: retention.Forever,
		Runs: retention.Forever, Rejects: retention.Forever,
	}
}

func TestJobsByOutcome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := forever()
	limits.Succeeded, limits.Cancelled = day, 7*day
	kept := []int64{
		b.job("completed", "", day-time.Minute),
		b.job("cancelled", "", 7*day-time.Minute),
		b.job("discarded", "", 10_000*day),
	}
	for _, live := range []string{"available", "scheduled", "retryable", "running", "pending"} {
		kept = append(kept, b.job(live, "", 0))
	}
	b.job("completed", "", day+time.Second)
	b.job("completed", "some-job", 10_000*day)
	b.job("cancelled", "", 7*day+time.Second)

	if diff := cmp.Diff(retention.Deleted{Jobs: 3}, b.sweep(b.sweeper(retention.Opts{Limits: limits}))); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(kept, b.ids("SELECT id FROM tidemill.river_job ORDER BY id")); diff != "" {
		t.Errorf("jobs left (-want +got):\n%s", diff)
	}
}

func TestJobsOfOneJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := forever()
	limits.Succeeded, limits.Failed = day, 5*day
	own := func(succeeded, failed time.Duration) retention.Limits {
		l := limits
		l.Succeeded, l.Failed = succeeded, failed
		return l
	}
	s := b.sweeper(retention.Opts{Limits: limits, Jobs: map[string]retention.Limits{
		"short":  own(time.Hour, 0),
		"short2": own(time.Hour, 5*day),
		"long":   own(30*day, retention.Forever),
		"same":   limits,
	}})
	kept := []int64{
		b.job("completed", "short", time.Minute),
		b.job("completed", "short2", time.Minute),
		b.job("completed", "long", 2*day),
		b.job("completed", "same", 2*time.Hour),
		b.job("completed", "other", 2*time.Hour),
		b.job("completed", "", 2*time.Hour),
		b.job("discarded", "long", 100*day),
		b.job("discarded", "short2", 4*day),
		b.job("discarded", "", 4*day),
	}
	b.job("completed", "short", 2*time.Hour)
	b.job("completed", "short2", 2*time.Hour)
	b.job("completed", "long", 31*day)
	b.job("completed", "same", 2*day)
	b.job("completed", "other", 2*day)
	b.job("completed", "", 2*day)
	b.job("discarded", "short", time.Second)
	b.job("discarded", "short2", 6*day)
	b.job("discarded", "other", 6*day)

	if diff := cmp.Diff(retention.Deleted{Jobs: 9}, b.sweep(s)); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(kept, b.ids("SELECT id FROM tidemill.river_job ORDER BY id")); diff != "" {
		t.Errorf("jobs left (-want +got):\n%s", diff)
	}
}

// Metadata is what anybody has written into it.
func TestJobsWithOddMetadata(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := forever()
	limits.Succeeded = day
	for _, metadata := range []string{`{"tidemill": null}`, `{"tidemill": "text"}`, `{"tidemill": {"job": {"a": 1}}}`, `{"tidemill": [1]}`, `[]`, `1`} {
		b.exec(`INSERT INTO tidemill.river_job (kind, args, max_attempts, queue, state, metadata, finalized_at)
			VALUES ('k', '{}', 1, 'default', 'completed', $1, now() - interval '2 days')`, metadata)
	}
	s := b.sweeper(retention.Opts{Limits: limits, Jobs: map[string]retention.Limits{"kept": forever()}})
	if got := b.sweep(s); got.Jobs != 6 {
		t.Errorf("deleted %d jobs, want 6", got.Jobs)
	}
}

func TestRunsOutliveTheirJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := forever()
	limits.Succeeded, limits.Cancelled, limits.Runs = day, day, 90*day
	s := b.sweeper(retention.Opts{Limits: limits, Jobs: map[string]retention.Limits{
		"short": {Succeeded: day, Failed: day, Cancelled: day, Runs: day, Rejects: day},
		"kept":  forever(),
	}})

	type row struct {
		state, job string
		age        time.Duration
		rejects    int
		keep       bool
	}
	var kept []int64
	for _, r := range []row{
		{"", "a", 91 * day, 0, false},
		{"", "a", 89 * day, 0, true},
		{"", "short", 2 * day, 0, false},
		{"", "short", time.Hour, 0, true},
		{"", "short", 2 * day, 5, false},
		{"", "kept", 1000 * day, 0, true},
		{"completed", "a", 91 * day, 0, false},   // goes with its job, in the same sweep
		{"discarded", "a", 91 * day, 0, true},    // can be retried forever, and must then continue and not start over
		{"", "a", 91 * day, 5, true},             // its rejects are kept forever
		{"available", "a", -91 * day, 0, true},   // live
		{"running", "short", -91 * day, 3, true}, // live, its rejects too
		{"", "short", -91 * day, 0, true},        // live, its job gone: somebody else's business
	} {
		id := int64(1_000_000 + len(b.ids("SELECT id FROM tidemill.run")))
		if r.state != "" {
			id = b.job(r.state, r.job, r.age)
		}
		b.run(id, r.job, r.age, r.rejects)
		if r.keep {
			kept = append(kept, id)
		}
	}
	b.exec("INSERT INTO tidemill.run_intent (run, intent) SELECT id, 'pause' FROM tidemill.run")

	if diff := cmp.Diff(retention.Deleted{Jobs: 1, Runs: 4, Rejects: 5}, b.sweep(s)); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	slices.Sort(kept)
	for _, table := range []string{"SELECT id FROM tidemill.run ORDER BY id", "SELECT run FROM tidemill.run_intent ORDER BY run"} {
		if diff := cmp.Diff(kept, b.ids(table)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", table, diff)
		}
	}
}

func TestRejects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := forever()
	limits.Rejects = 10 * day
	own := forever()
	own.Rejects = day
	s := b.sweeper(retention.Opts{Limits: limits, Batch: 7, Jobs: map[string]retention.Limits{"short": own, "kept": forever()}})
	b.run(1, "a", 9*day, 20)
	b.run(2, "a", 11*day, 20)
	b.run(3, "short", 2*day, 1)
	b.run(4, "short", time.Hour, 1)
	b.run(5, "kept", 1000*day, 20)
	b.run(6, "a", -1000*day, 20)
	b.exec(`INSERT INTO tidemill.run_reject (run, ordinal, line, byte_offset, raw, code, reason) VALUES (7, 1, 1, 0, '', 'x', 'of a run that is gone')`)
	for id := range int64(250) { // more than are looked for at a time
		b.run(1000+id, "a", 11*day, 1)
	}

	if diff := cmp.Diff(retention.Deleted{Rejects: 20 + 1 + 1 + 250}, b.sweep(s)); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{1, 4, 5, 6}, b.ids("SELECT DISTINCT run FROM tidemill.run_reject ORDER BY run")); diff != "" {
		t.Errorf("runs with rejects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(256, len(b.ids("SELECT id FROM tidemill.run"))); diff != "" {
		t.Errorf("runs left (-want +got):\n%s", diff)
	}
}

func TestOneSweepsAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := forever()
	limits.Succeeded = day
	first, second := b.sweeper(retention.Opts{Limits: limits}), b.sweeper(retention.Opts{Limits: limits})
	b.sweep(first)
	b.job("completed", "", 2*day)
	if _, err := second.Sweep(t.Context()); !errors.Is(err, session.ErrElsewhere) {
		t.Fatalf("the second sweeps beside the first: %v", err)
	}
	first.Close()
	if got := b.takeOver(second); got.Jobs != 1 {
		t.Errorf("the second has taken over and deleted %d jobs, want 1", got.Jobs)
	}
	b.exec(`SELECT pg_terminate_backend(pid) FROM tidemill.leader WHERE name = 'retention'`)
	if _, err := second.Sweep(t.Context()); err == nil {
		t.Error("a sweep through a session that was ended has succeeded")
	}
	if got := b.takeOver(second); got != (retention.Deleted{}) {
		t.Errorf("after the session was lost, %+v is deleted", got)
	}
}

// What deletes is gone between sweeps; while that of another process still deletes, which has lost its lead, nobody deletes beside it.
func TestASweepHasASessionOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := forever()
	limits.Succeeded = day
	b.job("completed", "", 2*day)
	stranger, err := pgx.ConnectConfig(t.Context(), b.conn)
	if err != nil {
		t.Fatal(err)
	}
	var leads bool
	if err := stranger.QueryRow(t.Context(), `SELECT tidemill.lead('retention sweep')`).Scan(&leads); err != nil || !leads {
		t.Fatalf("leads: %t (%v)", leads, err)
	}
	s := b.sweeper(retention.Opts{Limits: limits})
	if deleted, err := s.Sweep(t.Context()); !errors.Is(err, session.ErrElsewhere) || deleted != (retention.Deleted{}) {
		t.Errorf("beside a sweep of another process %+v is deleted (%v)", deleted, err)
	}
	if err := stranger.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.takeOver(s); got.Jobs != 1 {
		t.Errorf("after that %d jobs are deleted, want 1", got.Jobs)
	}
	const live = `SELECT l.pid::bigint FROM tidemill.leader l JOIN pg_stat_activity a ON a.pid = l.pid AND a.backend_start = l.session_began WHERE l.name = 'retention sweep'`
	for deadline := time.Now().Add(20 * time.Second); len(b.ids(live)) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the session that deleted stays")
		}
	}
}

// silent is a connection that loses what is written to it, without a word, once the network is away.
type silent struct {
	net.Conn
	away *atomic.Bool
}

func (s silent) Write(p []byte) (int, error) {
	if s.away.Load() {
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// A sweep shares the session that it leads by: whatever holds up the election, others get that session back.
func TestAnElectionThatHangsEnds(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]func(*bundle, *retention.Sweeper, *atomic.Bool) (end func()){
		"somebody locks the table of leaders": func(b *bundle, _ *retention.Sweeper, _ *atomic.Bool) func() {
			tx, err := b.pool.Begin(b.t.Context())
			if err != nil {
				b.t.Fatal(err)
			}
			if _, err := tx.Exec(b.t.Context(), `LOCK TABLE tidemill.leader`); err != nil {
				b.t.Fatal(err)
			}
			return func() { _ = tx.Rollback(context.Background()) }
		},
		"the server does not answer": func(b *bundle, s *retention.Sweeper, away *atomic.Bool) func() {
			b.sweep(s)
			away.Store(true)
			return func() { away.Store(false) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var away atomic.Bool
			dial := b.conn.DialFunc
			b.conn.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				return silent{conn, &away}, err
			}
			s := b.sweeper(retention.Opts{Limits: forever()})
			end := hang(b, s, &away)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			if _, err := s.Sweep(ctx); err == nil || time.Since(began) > 30*time.Second {
				t.Errorf("the sweep ended after %s with %v", time.Since(began), err)
			}
			end()
			b.takeOver(s)
		})
	}
}

func TestRunsOfOutsideCodeAreLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`SELECT tidemill.run_begin('late', timeout => '2 hours'), tidemill.run_begin('on time'), tidemill.run_finish(tidemill.run_begin('done'))`)
	b.exec(`UPDATE tidemill.run SET started_at = started_at - interval '3 hours', expires_at = expires_at - interval '3 hours' WHERE job IN ('late', 'done')`)
	s := b.sweeper(retention.Opts{Limits: forever()})
	if diff := cmp.Diff(retention.Deleted{Lost: 1}, b.sweep(s)); diff != "" {
		t.Errorf("swept (-want +got):\n%s", diff)
	}
	var got string
	err := b.pool.QueryRow(t.Context(), `SELECT string_agg(concat_ws(' ', job, status, error), '; ' ORDER BY job) FROM tidemill.run`).Scan(&got)
	if err != nil {
		t.Fatal(err)
	}
	if want := "done succeeded; late failed no end was reported within its timeout of 02:00:00; on time running"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestMessagesOfRunsThatAreGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(1, "a", day, 0)
	b.exec(`INSERT INTO tidemill.message_claim (key, recipient, run, state, message_id, first_at, updated_at) VALUES
		('1', 'a@x', 1, 'sent', 'm', now(), now() - interval '1 year'), ('2', 'a@x', 2, 'sent', 'm', now(), now() - interval '1 year'),
		('3', 'a@x', 3, 'sent', 'm', now(), now())`)
	if diff := cmp.Diff(retention.Deleted{Messages: 1}, b.sweep(b.sweeper(retention.Opts{Limits: forever()}))); diff != "" {
		t.Errorf("swept (-want +got):\n%s", diff)
	}
}

// Whoever may connect to the database may take an advisory lock, and keeps nobody from sweeping.
func TestAdvisoryLocksHoldUpNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stranger, err := b.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Release()
	if _, err := stranger.Exec(t.Context(), `SELECT pg_advisory_lock(hashtextextended('tidemill retention tidemill tidemill', 0))`); err != nil {
		t.Fatal(err)
	}
	limits := forever()
	limits.Succeeded = day
	b.job("completed", "", 2*day)
	if got := b.sweep(b.sweeper(retention.Opts{Limits: limits})); got.Jobs != 1 {
		t.Errorf("%d jobs are deleted, want 1", got.Jobs)
	}
}
