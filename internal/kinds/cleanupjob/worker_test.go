package cleanupjob_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/cleanupjob"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
	"github.com/tidemill/tidemill/workers/kind"
)

// cleanupDue is when runs of these tests are due.
var cleanupDue = time.Date(2026, 3, 10, 20, 0, 0, 0, time.UTC)

type cleanupBundle struct {
	*testengine.Engine
	cfg    *config.Config
	def    atomic.Pointer[config.Job] // as the worker sees it
	folder string                     // of the storage
	// chunk, if set, is called when a chunk is committed; only then may it be set or cleared.
	chunk atomic.Pointer[func(batch.Counters)]
}

func parseCleanup(t *testing.T, fields string) *config.Config {
	t.Helper()
	text := "timezone: Asia/Tokyo\nstorage: {url: 'file:///unused'}\njobs:\n  tidy:\n    kind: cleanup\n    retry: {max_attempts: 2, backoff: constant, delay: 10ms}\n    pause: 0%\n"
	for line := range strings.Lines(strings.TrimSpace(fields)) {
		text += "    " + strings.TrimSpace(line) + "\n"
	}
	cfg, err := config.Parse("test.yaml", []byte(text), &config.Opts{Kinds: workers.Configs()})
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return cfg
}

// setupCleanup starts a worker whose one job, called tidy, has these fields.
func setupCleanup(t *testing.T, tables, fields string) *cleanupBundle {
	t.Helper()
	folder := t.TempDir()
	bucket, err := storage.Open(context.Background(), "file://"+folder)
	if err != nil {
		t.Fatal(err)
	}
	b := setupCleanupIn(t, bucket, tables, fields)
	b.folder = folder
	return b
}

func setupCleanupIn(t *testing.T, bucket *storage.Bucket, tables, fields string) *cleanupBundle {
	t.Helper()
	b := &cleanupBundle{cfg: parseCleanup(t, fields)}
	b.def.Store(b.cfg.Jobs["tidy"])
	url := testengine.URL(t)
	catalog := testdb.Pool(t, url)
	if _, err := catalog.Exec(context.Background(), tables); err != nil {
		t.Fatal(err)
	}
	b.Engine = testengine.Start(t, url, func(w *river.Workers) {
		river.AddWorker(w, cleanupjob.NewWorker(&kind.Deps{
			Jobs: func(name string) (*config.Job, bool) { return b.def.Load(), name == "tidy" },
			Pool: catalog, Location: b.cfg.Location(), Logger: testengine.Logger(t),
			OnChunk: func(_ string, delta batch.Counters) {
				if fn := b.chunk.Load(); fn != nil {
					(*fn)(delta)
				}
			},
		}, bucket))
	})
	return b
}

func (b *cleanupBundle) onChunk(fn func(batch.Counters)) { b.chunk.Store(&fn) }

func (b *cleanupBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := b.Pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func (b *cleanupBundle) start(t *testing.T, args kind.Args) int64 {
	t.Helper()
	args.Job = "tidy"
	started, err := b.Ledger.Start(context.Background(), cleanupjob.Args{Args: args}, batch.StartOpts{Job: "tidy", Unit: "rows"})
	if err != nil {
		t.Fatal(err)
	}
	return started.ID
}

// run makes a run that is due at cleanupDue, and returns what it leaves.
func (b *cleanupBundle) run(t *testing.T) (*batch.Info, cleanupjob.Result) {
	t.Helper()
	return b.wait(t, b.start(t, kind.Args{ScheduledFor: &cleanupDue}))
}

func (b *cleanupBundle) wait(t *testing.T, id int64) (*batch.Info, cleanupjob.Result) {
	t.Helper()
	info := b.WaitStatus(t, id, batch.Succeeded, batch.SucceededWithRejects, batch.Failed)
	var result cleanupjob.Result
	if info.Status == batch.Succeeded {
		if err := json.Unmarshal(info.Result, &result); err != nil {
			t.Fatal(err)
		}
	}
	return info, result
}

// done is run for a run that must succeed.
func (b *cleanupBundle) done(t *testing.T) (*batch.Info, cleanupjob.Result) {
	t.Helper()
	info, result := b.run(t)
	if info.Status != batch.Succeeded {
		t.Fatalf("%s: %v", info.Status, *info.Error)
	}
	return info, result
}

// startAndPause starts a run that is paused after its first chunk.
func (b *cleanupBundle) startAndPause(t *testing.T, args kind.Args) int64 {
	t.Helper()
	started := make(chan int64, 1)
	b.onChunk(func(batch.Counters) {
		b.chunk.Store(nil)
		if err := b.Ledger.Pause(context.Background(), <-started); err != nil {
			t.Error(err)
		}
	})
	id := b.start(t, args)
	started <- id
	if info := b.WaitStatus(t, id, batch.Paused, batch.Succeeded, batch.Failed); info.Status != batch.Paused {
		t.Fatalf("%s: %v", info.Status, info.Error)
	}
	return id
}

// list is the only value of a query.
func (b *cleanupBundle) list(t *testing.T, query string) string {
	t.Helper()
	var text *string
	if err := b.Pool.QueryRow(context.Background(), query).Scan(&text); err != nil {
		t.Fatal(err)
	}
	if text == nil {
		return ""
	}
	return *text
}

func TestCleanupDeletesWhatIsDue(t *testing.T) {
	t.Parallel()

	const left = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM "
	tests := []struct {
		name, tables, fields, left, want string
		before                           string
	}{
		{
			"timestamptz", `
				CREATE TABLE logs (id int, at timestamptz); CREATE INDEX ON logs (at);
				INSERT INTO logs VALUES (1, '2026-02-08 19:59:59.999999+00'), (2, '2026-02-08 20:00+00'), (3, '2026-03-11'), (4, NULL), (5, '-infinity'), (6, 'infinity')`,
			"rules: [{table: logs, column: at, older_than: 30d}]", left + "logs", "2 3 4 6", "2026-02-08 20:00:00+00",
		},
		{
			"expired", `
				CREATE TABLE logs (id int, at timestamptz); CREATE INDEX ON logs (at);
				INSERT INTO logs VALUES (1, '2026-03-10 19:59:59.999999+00'), (2, '2026-03-10 20:00+00')`,
			"rules: [{table: public.logs, column: at, expired: true}]", left + "logs", "2", "2026-03-10 20:00:00+00",
		},
		{
			"timestamp is UTC", `
				CREATE TABLE logs (id int, at timestamp); CREATE INDEX ON logs (at);
				INSERT INTO logs VALUES (1, '2026-03-10 19:59'), (2, '2026-03-10 20:00'), (3, '2026-03-11 04:59')`,
			"rules: [{table: logs, column: at, expired: true}]", left + "logs", "2 3", "2026-03-10 20:00:00",
		},
		{
			"timestamp of a time zone", `
				CREATE TABLE logs (id int, at timestamp); CREATE INDEX ON logs (at);
				INSERT INTO logs VALUES (1, '2026-03-10 19:59'), (2, '2026-03-11 04:59'), (3, '2026-03-11 05:00')`,
			"rules: [{table: logs, column: at, expired: true, timezone: Asia/Tokyo}]", left + "logs", "3", "2026-03-11 05:00:00",
		},
		{
			"date, by the day in the time zone of the configuration", `
				CREATE TABLE logs (id int, at date); CREATE INDEX ON logs (at);
				INSERT INTO logs VALUES (1, '2026-03-09'), (2, '2026-03-10'), (3, '2026-03-11'), (4, 'infinity'), (5, '-infinity')`,
			"rules: [{table: logs, column: at, expired: true}]", left + "logs", "3 4", "2026-03-11",
		},
		{
			"date of another time zone", `
				CREATE TABLE logs (id int, at date); CREATE INDEX ON logs (at);
				INSERT INTO logs VALUES (1, '2026-03-09'), (2, '2026-03-10'), (3, '2026-03-11')`,
			"rules: [{table: logs, column: at, older_than: 1d, timezone: America/New_York}]", left + "logs", "1 2 3", "2026-03-09",
		},
		{
			"a condition, with a comment in it", `
				CREATE TABLE jobs (id int, at timestamptz, status text); CREATE INDEX ON jobs (at);
				INSERT INTO jobs VALUES (1, '2026-01-01', 'done'), (2, '2026-01-01', 'open'), (3, '2026-01-01', NULL), (4, '2026-01-02', 'done')`,
			`rules: [{table: jobs, column: at, older_than: 30d, where: "jobs.status = 'done' -- %s \\"}]`, left + "jobs", "2 3", "2026-02-08 20:00:00+00",
		},
		{
			"only a partial index", `
				CREATE TABLE jobs (id int, at timestamptz, status text); CREATE INDEX ON jobs (at) WHERE status = 'done';
				INSERT INTO jobs VALUES (1, '2026-01-01', 'done'), (2, '2026-01-01', 'open'), (4, '2026-01-02', 'done')`,
			`rules: [{table: jobs, column: at, older_than: 30d, where: "status = 'done'"}]`, left + "jobs", "2", "2026-02-08 20:00:00+00",
		},
		{
			"an index that begins with the condition", `
				CREATE TABLE jobs (id int, at timestamptz, status text); CREATE INDEX ON jobs (status, at);
				INSERT INTO jobs VALUES (1, '2026-01-01', 'done'), (2, '2026-01-01', 'open'), (4, '2026-01-02', 'done')`,
			`rules: [{table: jobs, column: at, older_than: 30d, where: "status = 'done'"}]`, left + "jobs", "2", "2026-02-08 20:00:00+00",
		},
		{
			"partitions, of two levels and with the same tids", `
				CREATE TABLE logs (id int, at timestamptz, kind int) PARTITION BY RANGE (at);
				CREATE TABLE logs_a PARTITION OF logs FOR VALUES FROM (MINVALUE) TO ('2026-02-01') PARTITION BY LIST (kind);
				CREATE TABLE logs_a1 PARTITION OF logs_a FOR VALUES IN (1); CREATE TABLE logs_a2 PARTITION OF logs_a DEFAULT;
				CREATE TABLE logs_b PARTITION OF logs FOR VALUES FROM ('2026-02-01') TO (MAXVALUE);
				CREATE INDEX ON logs (at);
				INSERT INTO logs SELECT i, '2026-01-25'::timestamptz + i * interval '1 day', i % 3 FROM generate_series(1, 30) i`,
			"rules: [{table: logs, column: at, older_than: 30d, where: 'logs.id <> 3'}]", left + "logs", "3 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30", "2026-02-08 20:00:00+00",
		},
		{
			"tables that inherit", `
				CREATE TABLE logs (id int, at timestamptz); CREATE TABLE old_logs () INHERITS (logs);
				CREATE INDEX ON logs (at); CREATE INDEX ON old_logs (at);
				INSERT INTO logs VALUES (1, '2026-01-01'), (2, '2026-03-01'); INSERT INTO old_logs VALUES (3, '2026-01-01'), (4, '2026-03-01')`,
			"rules: [{table: logs, column: at, older_than: 30d}]", left + "logs", "2 4", "2026-02-08 20:00:00+00",
		},
		{
			"odd names and a domain", `
				CREATE SCHEMA "My ""S"; CREATE DOMAIN moment AS timestamptz CHECK (value > '1900-01-01');
				CREATE TABLE "My ""S"."T;" (id int, "the time" moment); CREATE INDEX ON "My ""S"."T;" ("the time" DESC, id);
				INSERT INTO "My ""S"."T;" SELECT i, '2026-01-01'::timestamptz + (i / 7) * interval '1 day' FROM generate_series(1, 300) i`,
			`rules: [{table: '"My ""S"."T;"', column: the time, older_than: 30d}]` + "\nbatch: 3", `SELECT min(id)::text FROM "My ""S"."T;"`, "273", "2026-02-08 20:00:00+00",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setupCleanup(t, tt.tables, tt.fields)
			due := cleanupCount(t, b)
			problems, err := cleanupjob.CheckLive(context.Background(), b.Pool, b.cfg, b.cfg.Jobs["tidy"])
			if err != nil || len(problems) > 0 {
				t.Fatal(problems, err)
			}
			info, result := b.done(t)
			if got := b.list(t, tt.left); got != tt.want {
				t.Errorf("left: %s, want %s", got, tt.want)
			}
			rule := result.Rules[0]
			if rule.Before != tt.before || rule.Deleted != due || rule.Kept != 0 || rule.Skipped != 0 {
				t.Errorf("%+v, want %d deleted before %s", rule, due, tt.before)
			}
			if diff := cmp.Diff(batch.Counters{Read: due, Deleted: due}, info.Counters); diff != "" || info.Done != due {
				t.Errorf("done %d, counters: %s", info.Done, diff)
			}
		})
	}
}

// cleanupCount is what a dry run says.
func cleanupCount(t *testing.T, b *cleanupBundle) int64 {
	t.Helper()
	counts, err := cleanupjob.CountDue(context.Background(), b.Pool, b.cfg.Jobs["tidy"], cleanupDue, b.cfg.Location())
	if err != nil {
		t.Fatal(err)
	}
	if counts[0].Estimated {
		t.Errorf("a small number is estimated: %+v", counts[0])
	}
	return counts[0].Rows
}

// many rows of a few times, so that chunks end in the middle of rows of the same time.
const manyLogs = `CREATE TABLE logs (id int PRIMARY KEY, day date, at timestamptz, note text);
	INSERT INTO logs SELECT i, '2026-01-01'::date + i % 3, '2026-01-01'::timestamptz + (i % 5) * interval '1 hour', repeat('x', 200) FROM generate_series(1, 4000) i;`

func TestCleanupOfEqualTimes(t *testing.T) {
	t.Parallel()

	tests := []struct{ name, index, fields string }{
		{"one day", "CREATE INDEX ON logs (day)", "rules: [{table: logs, column: day, older_than: 30d}]"},
		{"day and id", "CREATE INDEX ON logs (day, id)", "rules: [{table: logs, column: day, older_than: 30d}]"},
		{"falling", "CREATE INDEX ON logs (at DESC)", "rules: [{table: logs, column: at, older_than: 30d}]"},
		{"falling, NULLs last", "CREATE INDEX ON logs (at DESC NULLS LAST)", "rules: [{table: logs, column: at, older_than: 30d}]"},
		{"NULLs first, and id", "CREATE INDEX ON logs (at NULLS FIRST, id)", "rules: [{table: logs, column: at, older_than: 30d}]"},
		{"partial, NULLs last", "CREATE INDEX ON logs (at DESC NULLS LAST) WHERE note <> ''", "rules: [{table: logs, column: at, older_than: 30d, where: note <> ''}]"},
		{"NOT NULL", "ALTER TABLE logs ALTER at SET NOT NULL; CREATE INDEX ON logs (at DESC NULLS LAST, id)", "rules: [{table: logs, column: at, older_than: 30d}]"},
		{"both", "CREATE INDEX ON logs (at); CREATE INDEX ON logs (at, id DESC)", "rules: [{table: logs, column: at, older_than: 30d}]"},
		{"none", "", "rules: [{table: logs, column: at, older_than: 30d}]\nallow_seq_scan: true"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setupCleanup(t, manyLogs+`
				CREATE TABLE bills (log int REFERENCES logs); CREATE INDEX ON bills (log);
				INSERT INTO bills SELECT id FROM logs WHERE id % 4 = 0;`+tt.index, tt.fields+"\nbatch: 37\nmax_batch: 100")
			info, result := b.done(t)
			if got := b.list(t, "SELECT count(*) FILTER (WHERE id % 4 = 0) || ' of ' || count(*) FROM logs"); got != "1000 of 1000" {
				t.Errorf("left: %s", got)
			}
			if diff := cmp.Diff(batch.Counters{Read: 4000, Deleted: 3000, Unchanged: 1000}, info.Counters); diff != "" {
				t.Error(diff)
			}
			if rule := result.Rules[0]; rule.Deleted != 3000 || rule.Kept != 1000 || rule.Why == "" {
				t.Errorf("%+v", rule)
			}
			if result.Statements < 40 {
				t.Errorf("%d statements; the rows were not taken in chunks", result.Statements)
			}
		})
	}
}

func TestCleanupPassesOverLockedRows(t *testing.T) {
	t.Parallel()

	const tables = `CREATE TABLE logs (id int, at timestamptz);
		INSERT INTO logs SELECT i, '2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 300) i;`
	for _, tt := range []struct{ name, index, fields, hold string }{
		{
			"by index", "CREATE INDEX ON logs (at)", "rules: [{table: logs, column: at, older_than: 30d}]\nbatch: 20\nmax_batch: 20",
			`UPDATE logs SET at = at WHERE id IN (3, 4, 150)`,
		},
		{
			"by blocks", "", "rules: [{table: logs, column: at, older_than: 30d}]\nbatch: 20\nmax_batch: 20\nallow_seq_scan: true",
			`SELECT FROM logs WHERE id IN (3, 4, 150) FOR UPDATE`,
		},
	} {
		for _, released := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, released: %v", tt.name, released), func(t *testing.T) {
				t.Parallel()
				ctx := context.Background()
				b := setupCleanup(t, tables+tt.index, tt.fields)
				holder, err := b.Pool.Begin(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer holder.Rollback(ctx)
				if _, err := holder.Exec(ctx, tt.hold); err != nil {
					t.Fatal(err)
				}
				seen := int64(0)
				b.onChunk(func(delta batch.Counters) {
					if seen += delta.Deleted; released && seen == 297 { // all but those: the last time begins
						_ = holder.Commit(ctx)
					}
				})
				info, result := b.done(t)
				want := batch.Counters{Read: 300, Deleted: 300}
				left := "0"
				if !released {
					want, left = batch.Counters{Read: 300, Deleted: 297, Unchanged: 3}, "3"
				}
				if diff := cmp.Diff(want, info.Counters); diff != "" {
					t.Error(diff)
				}
				if got := b.list(t, "SELECT count(*)::text FROM logs"); got != left {
					t.Errorf("%s rows are left, want %s", got, left)
				}
				if got := result.Rules[0].Skipped; got != want.Unchanged {
					t.Errorf("%d skipped", got)
				}
			})
		}
	}
}

func TestCleanupKeepsWhatTheTableRefuses(t *testing.T) {
	t.Parallel()

	const logs = `CREATE TABLE logs (id int PRIMARY KEY, parent int REFERENCES logs, at timestamptz); CREATE INDEX ON logs (at); CREATE INDEX ON logs (parent);
		INSERT INTO logs SELECT i, NULL, '2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 500) i;`
	tests := []struct {
		name, tables string
		deleted      int64
		kept         int64
		why          string
	}{
		{
			"a trigger that refuses", `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF OLD.id % 100 = 7 THEN RAISE EXCEPTION 'log % is evidence', OLD.id; END IF; RETURN OLD; END $$;
				CREATE TRIGGER no BEFORE DELETE ON logs FOR EACH ROW EXECUTE FUNCTION no()`, 495, 5, "is evidence",
		},
		{
			"a trigger that refuses with a code of its own", `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF OLD.id % 100 = 7 THEN RAISE 'log % is evidence', OLD.id USING ERRCODE = 'UE042'; END IF; RETURN OLD; END $$;
				CREATE TRIGGER no BEFORE DELETE ON logs FOR EACH ROW EXECUTE FUNCTION no()`, 495, 5, "is evidence",
		},
		{
			"a trigger that keeps what no index takes", `CREATE TABLE old (text text); CREATE INDEX ON old (text);
				CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					INSERT INTO old SELECT string_agg(md5((OLD.id * i)::text), '') FROM generate_series(1, CASE OLD.id % 100 WHEN 7 THEN 300 ELSE 3 END) i; RETURN OLD; END $$;
				CREATE TRIGGER no BEFORE DELETE ON logs FOR EACH ROW EXECUTE FUNCTION no()`, 495, 5, "54000",
		},
		{
			"a view's check option", `CREATE TABLE old (id int); CREATE VIEW kept AS SELECT id FROM old WHERE id % 100 <> 7 WITH CHECK OPTION;
				CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO kept VALUES (OLD.id); RETURN OLD; END $$;
				CREATE TRIGGER no BEFORE DELETE ON logs FOR EACH ROW EXECUTE FUNCTION no()`, 495, 5, "44000",
		},
		{
			"a trigger that swallows", `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF OLD.id % 100 = 7 THEN RETURN NULL; END IF; RETURN OLD; END $$;
				CREATE TRIGGER no BEFORE DELETE ON logs FOR EACH ROW EXECUTE FUNCTION no()`, 495, 5, "",
		},
		{
			"a constraint that is checked at the end", `CREATE TABLE bills (log int REFERENCES logs DEFERRABLE INITIALLY DEFERRED); CREATE INDEX ON bills (log);
				INSERT INTO bills VALUES (1), (250), (250), (NULL)`, 498, 2, "refer",
		},
		{
			"rows below them, of which some are not due", `UPDATE logs SET parent = id - 1 WHERE id % 2 = 0; UPDATE logs SET parent = 499 WHERE id = 1;
				UPDATE logs SET at = '2026-03-05' WHERE id IN (100, 200)`, 496, 2, "",
		},
		{
			"references that go with them", `CREATE TABLE bills (log int REFERENCES logs ON DELETE CASCADE); CREATE INDEX ON bills (log);
				INSERT INTO bills SELECT i FROM generate_series(1, 500) i`, 500, 0, "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setupCleanup(t, logs+tt.tables, "rules: [{table: logs, column: at, older_than: 30d}]\nbatch: 60\nmax_batch: 200")
			_, result := b.done(t)
			rule := result.Rules[0]
			if rule.Deleted != tt.deleted || rule.Kept != tt.kept || rule.Skipped != 0 || !strings.Contains(rule.Why, tt.why) {
				t.Errorf("%+v, want %d deleted and %d kept because %q", rule, tt.deleted, tt.kept, tt.why)
			}
		})
	}
}

func TestCleanupGoesOnWhereItWas(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setupCleanup(t, `CREATE TABLE sessions (id int, until timestamptz); CREATE INDEX ON sessions (until);
		INSERT INTO sessions SELECT i, now() - interval '1 day' + i * interval '1 minute' FROM generate_series(1, 100) i`,
		"rules: [{table: sessions, column: until, expired: true}]\nbatch: 20\nmax_batch: 20")
	id := b.startAndPause(t, kind.Args{})
	// What expires after the start is not due, however late the run continues; what lies after its place was passed.
	b.exec(t, `INSERT INTO sessions VALUES (1001, now() - interval '1 ms'), (1002, now() - interval '2 days')`)
	if err := b.Ledger.Resume(ctx, id); err != nil {
		t.Fatal(err)
	}
	info, result := b.wait(t, id)
	if info.Status != batch.Succeeded {
		t.Fatal(*info.Error)
	}
	if got := b.list(t, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM sessions"); got != "1001 1002" {
		t.Errorf("left: %s", got)
	}
	if result.Rules[0].Deleted != 100 {
		t.Errorf("%+v", result)
	}
	// Another run starts over.
	info, _ = b.wait(t, b.start(t, kind.Args{}))
	if got := b.list(t, "SELECT count(*)::text FROM sessions"); info.Status != batch.Succeeded || got != "0" {
		t.Errorf("%s, %s rows left", info.Status, got)
	}
}

func TestCleanupIsNeverDueEarly(t *testing.T) {
	t.Parallel()

	b := setupCleanup(t, `CREATE TABLE sessions (id int, until timestamptz); CREATE INDEX ON sessions (until);
		INSERT INTO sessions VALUES (1, now() - interval '1 hour'), (2, now() + interval '1 hour')`, "rules: [{table: sessions, column: until, expired: true}]")
	later := time.Now().Add(24 * time.Hour)
	b.wait(t, b.start(t, kind.Args{ScheduledFor: &later}))
	if got := b.list(t, "SELECT string_agg(id::text, ' ') FROM sessions"); got != "2" {
		t.Errorf("left: %s", got)
	}
}

func TestCleanupThatCannotBegin(t *testing.T) {
	t.Parallel()

	const logs = "CREATE TABLE logs (id int PRIMARY KEY, at timestamptz, n bigint); INSERT INTO logs VALUES (1, '2026-01-01', 1);"
	tests := []struct{ name, tables, fields, at, want string }{
		{"no table", logs, "rules: [{table: log, column: at, expired: true}]", "table", "did you mean public.logs"},
		{"a view", logs + "CREATE VIEW v AS SELECT * FROM logs", "rules: [{table: v, column: at, expired: true}]", "table", "v is not a table"},
		{"no column", logs, "rules: [{table: logs, column: created_at, expired: true}]", "column", `table logs has no column "created_at" (it has at)`},
		{"not a time", logs, "rules: [{table: logs, column: n, expired: true}]", "column", `column "n" is of type bigint, not timestamptz, timestamp or date (it has at)`},
		{
			"no index", logs + "CREATE INDEX ON logs (id, at); CREATE INDEX ON logs USING brin (at); CREATE INDEX ON logs (at) WHERE id > 5",
			"rules: [{table: logs, column: at, expired: true}]",
			"column", `table "public"."logs" has no index that begins with at and can be followed (logs_at_idx1 has only rows WHERE (id > 5), and not all that the rule is about), so it would be read as a whole (CREATE INDEX CONCURRENTLY ON "public"."logs" ("at"); or say allow_seq_scan: true)`,
		},
		{
			"a partition without index", `CREATE TABLE logs (id int, at timestamptz) PARTITION BY RANGE (at); CREATE TABLE logs_a PARTITION OF logs DEFAULT;`,
			"rules: [{table: logs, column: at, expired: true}]", "column", `table "public"."logs_a" has no index`,
		},
		{
			"a reference without index", logs + "CREATE INDEX ON logs (at); CREATE TABLE bills (log int REFERENCES logs);",
			"rules: [{table: logs, column: at, expired: true}]", "table", "public.bills refers to logs by bills_log_fkey (log) without an index",
		},
		{"a condition that cannot be read", logs + "CREATE INDEX ON logs (at)", "rules: [{table: logs, column: at, expired: true, where: status = 1}]", "where", `column "status" does not exist`},
		{"a condition that is none", logs + "CREATE INDEX ON logs (at)", "rules: [{table: logs, column: at, expired: true, where: id}]", "where", `boolean`},
		{"a condition with a param", logs + "CREATE INDEX ON logs (at)", "rules: [{table: logs, column: at, expired: true, where: id = $9}]", "where", `parameter`},
		{
			"foreign partitions", "CREATE EXTENSION file_fdw; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw; CREATE TABLE logs (id int, at timestamptz) PARTITION BY RANGE (at); CREATE FOREIGN TABLE logs_a PARTITION OF logs DEFAULT SERVER s OPTIONS (program 'true')",
			"rules: [{table: logs, column: at, expired: true}]", "table", `partition "public"."logs_a" is a foreign table`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setupCleanup(t, tt.tables, tt.fields)
			info, _ := b.run(t)
			if info.Status != batch.Failed || !strings.Contains(*info.Error, tt.want) {
				t.Errorf("%s: %v", info.Status, info.Error)
			}
			var attempts int
			if err := b.Pool.QueryRow(context.Background(), `SELECT attempt FROM tidemill.river_job WHERE id = $1`, info.ID).Scan(&attempts); err != nil || attempts != 1 {
				t.Errorf("tried %d times: %v", attempts, err)
			}
			problems, err := cleanupjob.CheckLive(context.Background(), b.Pool, b.cfg, b.cfg.Jobs["tidy"])
			if err != nil || len(problems) != 1 {
				t.Fatal(problems, err)
			}
			if p := problems[0]; !strings.Contains(p.Error(), tt.want) || p.Path != "jobs.tidy.rules[0]."+tt.at || p.Line == 0 {
				t.Errorf("%v", p)
			}
		})
	}
}

func TestCleanupFollowsTheTime(t *testing.T) {
	t.Parallel()

	// Each row takes a millisecond, so 500 of them are too many for one statement, and 10 too few.
	b := setupCleanup(t, `CREATE TABLE logs (id int, at timestamptz); CREATE INDEX ON logs (at);
		INSERT INTO logs SELECT i, '2026-01-01' FROM generate_series(1, 1500) i;
		CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.001); RETURN OLD; END $$;
		CREATE TRIGGER slow BEFORE DELETE ON logs FOR EACH ROW EXECUTE FUNCTION slow()`,
		"rules: [{table: logs, column: at, older_than: 30d}]\nbatch: 500\ntarget: 80ms\nstatement_timeout: 200ms")
	var chunks []int64
	b.onChunk(func(delta batch.Counters) { chunks = append(chunks, delta.Deleted) })
	_, result := b.done(t)
	if result.LongestMS < 150 || result.LongestMS > 1000 {
		t.Errorf("the longest statement took %.0f ms; the first one was to be stopped after 200", result.LongestMS)
	}
	if first := chunks[0]; first > 250 || first < 16 || len(chunks) < 6 {
		t.Errorf("chunks: %v", chunks)
	}

	fast := setupCleanup(t, `CREATE TABLE logs (id int, at timestamptz); CREATE INDEX ON logs (at);
		INSERT INTO logs SELECT i, '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 200000) i`,
		"rules: [{table: logs, column: at, older_than: 30d}]\nmax_batch: 10000\nstatement_timeout: 5s")
	info, result := fast.done(t)
	if info.Counters.Deleted != 200_000 || result.Statements > 200 {
		t.Errorf("%+v in %d statements; chunks did not grow", info.Counters, result.Statements)
	}
}

func TestCleanupArchives(t *testing.T) {
	t.Parallel()

	b := setupCleanup(t, `CREATE SCHEMA app; CREATE TABLE app.logs (id int PRIMARY KEY, at timestamptz, note text, raw bytea); CREATE INDEX ON app.logs (at);
		INSERT INTO app.logs SELECT i, '2026-01-01 00:00+00'::timestamptz + i * interval '1 second',
			(ARRAY[NULL, '', 'a, "b"', E'two\nlines', '\.', 'plain'])[i % 6 + 1], '\x00ff' FROM generate_series(1, 100) i;
		CREATE TABLE app.keep AS SELECT * FROM app.logs;
		CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id = 50 THEN RAISE EXCEPTION 'no'; END IF; RETURN OLD; END $$;
		CREATE TRIGGER no BEFORE DELETE ON app.logs FOR EACH ROW EXECUTE FUNCTION no()`,
		"rules: [{table: app.logs, column: at, older_than: 30d}]\nbatch: 30\nmax_batch: 30\narchive: csv")
	_, result := b.done(t)
	if result.Archive == nil || result.Archive.Files < 4 || result.Rules[0].Deleted != 99 || result.Rules[0].Kept != 1 {
		t.Fatalf("%+v %+v", result, result.Archive)
	}
	b.exec(t, `CREATE TABLE app.back (LIKE app.logs)`)
	var files, bytes int64
	err := filepath.WalkDir(filepath.Join(b.folder, result.Archive.Folder), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".csv") {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		files++
		conn, err := b.Pool.Acquire(context.Background())
		if err != nil {
			return err
		}
		defer conn.Release()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		bytes += info.Size()
		_, err = conn.Conn().PgConn().CopyFrom(context.Background(), io.Reader(file), "COPY app.back FROM STDIN CSV HEADER")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files != result.Archive.Files || bytes != result.Archive.Bytes {
		t.Errorf("%d files of %d bytes, want %+v", files, bytes, result.Archive)
	}
	if got := b.list(t, `SELECT string_agg(id::text, ' ') FROM (TABLE app.keep EXCEPT ALL TABLE app.back) x`); got != "50" {
		t.Errorf("not in the archive: %s", got)
	}
	if got := b.list(t, `SELECT string_agg(id::text, ' ') FROM (TABLE app.back EXCEPT ALL TABLE app.keep) x`); got != "" {
		t.Errorf("in the archive by mistake: %s", got)
	}
}

func TestCleanupOfADroppedPartition(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setupCleanup(t, `CREATE TABLE logs (id int, at timestamptz) PARTITION BY LIST (id);
		CREATE TABLE logs_1 PARTITION OF logs FOR VALUES IN (1); CREATE TABLE logs_2 PARTITION OF logs FOR VALUES IN (2); CREATE TABLE logs_3 PARTITION OF logs FOR VALUES IN (3);
		CREATE INDEX ON logs (at); INSERT INTO logs SELECT i % 3 + 1, '2026-01-01' FROM generate_series(1, 90) i`,
		"rules: [{table: logs, column: at, older_than: 30d}]\nbatch: 10\nmax_batch: 10")
	b.onChunk(func(batch.Counters) {
		b.chunk.Store(nil)
		if _, err := b.Pool.Exec(ctx, "DROP TABLE logs_1, logs_2"); err != nil {
			t.Error(err)
		}
	})
	_, result := b.done(t)
	if got := b.list(t, "SELECT count(*)::text FROM logs"); got != "0" || result.Rules[0].Deleted != 40 {
		t.Errorf("%s left, %+v", got, result)
	}
}

func TestCleanupRefusesAChangedDefinition(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setupCleanup(t, `CREATE TABLE logs (id int, at timestamptz); CREATE INDEX ON logs (at); INSERT INTO logs SELECT i, '2026-01-01' FROM generate_series(1, 90) i`,
		"rules: [{table: logs, column: at, older_than: 30d}]\nbatch: 10\nmax_batch: 10")
	changed := parseCleanup(t, "rules: [{table: logs, column: at, older_than: 31d}]").Jobs["tidy"]
	run := b.startAndPause(t, kind.Args{ScheduledFor: &cleanupDue})
	b.def.Store(changed)
	if err := b.Ledger.Resume(ctx, run); err != nil {
		t.Fatal(err)
	}
	info, _ := b.wait(t, run)
	if info.Status != batch.Failed || !strings.Contains(*info.Error, "has changed") {
		t.Errorf("%s: %v", info.Status, info.Error)
	}
}

func TestCountCleanupEstimates(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	pool := testdb.Pool(t, testengine.URL(t))
	if _, err := pool.Exec(ctx, `CREATE UNLOGGED TABLE logs AS SELECT '2026-01-01'::timestamptz AS at FROM generate_series(1, 1000001);
		CREATE INDEX ON logs (at); ANALYZE logs;
		CREATE TABLE heap (at date); INSERT INTO heap VALUES ('2026-01-01'), ('2026-03-11')`); err != nil {
		t.Fatal(err)
	}
	cfg := parseCleanup(t, "rules: [{table: logs, column: at, older_than: 30d}, {table: heap, column: at, older_than: 1d, where: at > '2000-01-01'}]\nallow_seq_scan: true")
	counts, err := cleanupjob.CountDue(ctx, pool, cfg.Jobs["tidy"], cleanupDue, cfg.Location())
	if err != nil {
		t.Fatal(err)
	}
	want := []cleanupjob.Count{
		{Table: "logs", Column: "at", Before: "2026-02-08 20:00:00+00", Rows: 1_000_001, Estimated: true, Indexes: []string{"logs_at_idx"}, Effects: []cleanupjob.Effect{}},
		{Table: "heap", Column: "at", Before: "2026-03-10", Where: "at > '2000-01-01'", Rows: 1, Indexes: []string{}, Effects: []cleanupjob.Effect{}},
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Error(diff)
	}
}

func TestCleanupDoesNotWaitForTables(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setupCleanup(t, `CREATE TABLE logs (id int, at timestamptz); CREATE INDEX ON logs (at); INSERT INTO logs VALUES (1, '2026-01-01')`,
		"rules: [{table: logs, column: at, older_than: 30d}]\nlock_timeout: 20ms")
	holder, err := pgx.Connect(ctx, b.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(ctx)
	// Readers pass, so the walk is planned, but rows cannot be locked.
	if _, err := holder.Exec(ctx, `BEGIN; LOCK TABLE logs IN EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	id := b.start(t, kind.Args{ScheduledFor: &cleanupDue})
	// The run asks, gives up within its lock_timeout, and asks again.
	for asked := 0; asked < 2; {
		var waiting bool
		err := b.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'logs'::regclass AND NOT granted)`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting == (asked%2 == 0) {
			asked++
		}
		if info, err := b.Ledger.Get(ctx, id); err != nil || info.Status.Final() {
			t.Fatalf("%+v %v", info, err)
		}
	}
	if _, err := holder.Exec(ctx, `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if info, _ := b.wait(t, id); info.Status != batch.Succeeded {
		t.Error(*info.Error)
	}
}
