package tidemill

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/workers"
)

var uniqueFor = flag.Duration("unique.for", 2*time.Second, "how long TestUniqueKeysUnderLoad lasts")

// letterArgs has defaults of its own.
type letterArgs struct {
	To string `json:"to"`
}

func (letterArgs) Kind() string { return "letter" }

func (letterArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: "low", Priority: 3, MaxAttempts: 7}
}

type letterWorker struct {
	river.WorkerDefaults[letterArgs]
}

func (*letterWorker) Work(context.Context, *river.Job[letterArgs]) error { return nil }

// pointerArgs are registered as a pointer, and their options do not like the zero value.
type pointerArgs struct {
	next  *pointerArgs
	queue string
}

func (*pointerArgs) Kind() string                   { return "pointer" }
func (p *pointerArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: p.next.queue} }

type pointerWorker struct {
	river.WorkerDefaults[*pointerArgs]
}

func (*pointerWorker) Work(context.Context, *river.Job[*pointerArgs]) error { return nil }

func TestRegisteredKinds(t *testing.T) {
	t.Parallel()
	workers := river.NewWorkers()
	river.AddWorker(workers, &letterWorker{})
	river.AddWorker(workers, &pointerWorker{})
	got, err := registeredKinds(workers)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]river.InsertOpts{"letter": {Queue: "low", Priority: 3, MaxAttempts: 7}, "pointer": {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// interfaceYAML has a job of the program's own kind.
const interfaceYAML = `
queues: {default: 5, low: 5, critical: 1}
jobs:
  letters: {kind: letter, queue: low, priority: 2, retry: {max_attempts: 3}, args: {to: all, style: plain}}
  dated: {kind: letter, params: {day: {type: date, default: scheduled_for}, n: integer, note: {type: text, default: none}}}
  once: {kind: letter, unique: true}
  hook: {kind: http, url: "http://127.0.0.1:1/", params: {n: {type: integer, default: 5}}}
  load: {kind: import, table: app.users}
`

func setupInterface(t *testing.T) *App {
	t.Helper()
	app := setup(t, interfaceYAML+"storage: {url: \"file://"+t.TempDir()+"\"}\n")
	river.AddWorker(app.Workers, &letterWorker{})
	if _, err := app.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return app
}

// ask runs a query that returns one value.
func ask[T any](t *testing.T, app *App, query string, args ...any) (T, error) {
	t.Helper()
	var value T
	err := app.Pool.QueryRow(t.Context(), query, args...).Scan(&value)
	return value, err
}

func TestEnqueue(t *testing.T) {
	t.Parallel()
	app := setupInterface(t)
	for _, tt := range []struct {
		name, call string
		want       string // state|queue|priority|max_attempts|args|tags
	}{
		{"defaults of the kind", `'letter', '{"to": "me"}'`, `available|low|3|7|{"to": "me"}|{}`},
		{"all given", `kind => 'letter', queue => 'critical', priority => 1, max_attempts => 2, tags => '{one,two}', scheduled_at => now() + interval '1 hour'`,
			`scheduled|critical|1|2|{}|{one,two}`},
		{"due before now", `'letter', scheduled_at => now() - interval '1 hour'`, `available|low|3|7|{}|{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ask[string](t, app, `WITH j AS MATERIALIZED (SELECT tidemill.enqueue(`+tt.call+`) AS id) SELECT 'job ' || id FROM j`)
			if err != nil {
				t.Fatal(err)
			}
			got, err = ask[string](t, app, `SELECT concat_ws('|', state, queue, priority, max_attempts, args, tags::text) FROM tidemill.river_job
				WHERE 'job ' || id = $1 AND scheduled_at >= created_at`, got)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestInterfaceRefuses(t *testing.T) {
	t.Parallel()
	app := setupInterface(t)
	for _, tt := range []struct{ call, message, hint string }{
		{`enqueue('lettre')`, "kind 'lettre' is unknown", "known kinds: letter"},
		{`enqueue(NULL)`, "kind NULL is unknown", ""},
		{`enqueue('tidemill.http', '{"job": "hook"}')`, "kind tidemill.http is built in", "tidemill.start"},
		{`enqueue('letter', '[]')`, "the arguments are not a JSON object", ""},
		{`enqueue('letter', NULL)`, "the arguments are not a JSON object", ""},
		{`enqueue('letter', queue => 'lo')`, "queue lo is unknown", "known queues: critical, default, low"},
		{`enqueue('letter', priority => 5)`, "priority 5 is not from 1 to 4", ""},
		{`enqueue('letter', max_attempts => 0)`, "max_attempts 0 is not from 1 to 32767", ""},
		{`enqueue('letter', tags => '{a}')`, "a tag is not of 3 to 255 letters", ""},
		{`enqueue('letter', scheduled_at => now() + interval '50 years')`, "more than 40 years ahead", ""},
		{`start('leters')`, "job 'leters' is unknown", "known jobs: dated, hook, letters, load, once"},
		{`start(NULL, NULL)`, "job NULL is unknown", "known jobs: dated"},
		{`start('dated', NULL)`, "job dated needs param n", "type integer"},
		{`start('load')`, "job load cannot be started by SQL", "tidemill import load FILE"},
		{`start('letters', '7')`, "params are not a JSON object", ""},
		{`start('dated')`, "job dated needs param n", "type integer"},
		{`start('dated', '{"n": 1, "m": 2}')`, "job dated has no param m", "its params: day, n, note"},
		{`start('dated', '{"n": "x"}')`, `job dated, param n: "x" is not of type integer`, ""},
		{`cancel(1234567)`, "there is no job 1234567", ""},
		{`run_begin('')`, "the name of a run is of 1 to 128 characters", ""},
		{`run_begin('x', '[]')`, "metadata is not a JSON object", ""},
		{`run_finish(1234567)`, "there is no run 1234567", ""},
		{`run_fail(tidemill.start('letters'), 'x')`, "is worked by Tidemill", ""},
	} {
		_, err := app.Pool.Exec(t.Context(), "SELECT tidemill."+tt.call)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || !strings.Contains(pg.Message, tt.message) || !strings.Contains(pg.Hint, tt.hint) {
			t.Errorf("%s: %v, hint %q; want %q, hint %q", tt.call, err, hint(pg), tt.message, tt.hint)
		}
	}
	if n, err := ask[int](t, app, `SELECT count(*)::int FROM tidemill.river_job`); err != nil || n != 0 {
		t.Errorf("%d jobs are there, %v", n, err)
	}
}

func hint(pg *pgconn.PgError) string {
	if pg == nil {
		return ""
	}
	return pg.Hint
}

// What SQL starts is what Go starts.
func TestStartInSQLIsStartInGo(t *testing.T) {
	t.Parallel()
	app := setupInterface(t)
	at := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	type stored struct {
		State, Kind, Queue, Args, Metadata, Job, RunKind, RunArgs, Params, Status string
		Priority, MaxAttempts                                                     int
		Unique                                                                    bool
	}
	read := func(id int64) stored {
		t.Helper()
		rows, err := app.Pool.Query(t.Context(), `
			SELECT j.state::text, j.kind, j.queue, j.args::text, j.metadata::text, r.job, r.kind, r.args::text, r.params::text, r.status,
				j.priority, j.max_attempts, r.is_unique
			  FROM tidemill.river_job j JOIN tidemill.run r USING (id) WHERE id = $1`, id)
		if err != nil {
			t.Fatal(err)
		}
		s, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[stored])
		if err != nil {
			t.Fatal(err)
		}
		// The two spellings of UTC in RFC 3339.
		s.Args, s.RunArgs = strings.ReplaceAll(s.Args, `+00:00"`, `Z"`), strings.ReplaceAll(s.RunArgs, `+00:00"`, `Z"`)
		return s
	}
	for _, tt := range []struct {
		job, params string
		at          *time.Time
	}{
		{"letters", `{}`, nil},
		{"letters", `{"to": "me", "big": 12345678901234567890}`, &at},
		{"dated", `{"n": "7", "note": "x"}`, &at},
		{"dated", `{"n": 7, "day": "2026-02-28"}`, nil},
		{"hook", `{}`, nil},
		{"hook", `{"n": 7}`, &at},
	} {
		var params map[string]json.RawMessage
		if err := json.Unmarshal([]byte(tt.params), &params); err != nil {
			t.Fatal(err)
		}
		opts := StartOpts{}
		for name, value := range params {
			if opts.Params == nil {
				opts.Params = Params{}
			}
			opts.Params[name] = value
		}
		if tt.at != nil {
			opts.At = *tt.at
		}
		inGo, err := startWith(t, app, tt.job, opts)
		if err != nil {
			t.Fatalf("%s %s: %v", tt.job, tt.params, err)
		}
		inSQL, err := ask[int64](t, app, `SELECT tidemill.start($1, $2, $3)`, tt.job, tt.params, tt.at)
		if err != nil {
			t.Fatalf("%s %s: %v", tt.job, tt.params, err)
		}
		if diff := cmp.Diff(read(inGo.ID), read(inSQL)); diff != "" {
			t.Errorf("%s %s (-Go +SQL): %s", tt.job, tt.params, diff)
		}
	}
}

func TestUniqueJobInSQL(t *testing.T) {
	t.Parallel()
	app := setupInterface(t)
	first, err := ask[int64](t, app, `SELECT tidemill.start('once')`)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ask[int64](t, app, `SELECT tidemill.start('once')`)
	if err != nil || again != first {
		t.Errorf("run %d, %v; want the live run %d", again, err, first)
	}
	if done, err := ask[bool](t, app, `SELECT tidemill.cancel($1)`, first); err != nil || !done {
		t.Errorf("cancel: %v, %v", done, err)
	}
	if done, err := ask[bool](t, app, `SELECT tidemill.cancel($1)`, first); err != nil || done {
		t.Errorf("cancel again: %v, %v", done, err)
	}
	next, err := ask[int64](t, app, `SELECT tidemill.start('once')`)
	if err != nil || next == first {
		t.Errorf("run %d, %v; want a new one", next, err)
	}
	status, err := ask[string](t, app, `SELECT string_agg(status, ' ' ORDER BY id) FROM tidemill.runs WHERE job = 'once'`)
	if err != nil || status != "cancelled enqueued" {
		t.Errorf("%s, %v", status, err)
	}
}

// Many sessions enqueue with few keys, and keep their transactions open.
//
//	go test . -run UniqueKeysUnderLoad -unique.for 30s -v
func TestUniqueKeysUnderLoad(t *testing.T) {
	t.Parallel()
	const sessions, keys = 100, 10
	app := setup(t, interfaceYAML+"storage: {url: \"file://"+t.TempDir()+"\"}\n")
	river.AddWorker(app.Workers, &letterWorker{})
	others := &probeWorker{}
	river.AddWorker(app.Workers, others)
	if _, err := app.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	work(t, app)
	config, err := pgxpool.ParseConfig(app.Config.Database.URL)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = sessions + 5
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()

	ctx, cancel := context.WithTimeout(t.Context(), *uniqueFor)
	defer cancel()
	var group sync.WaitGroup
	var calls, commits, held atomic.Int64
	for n := range sessions {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for ctx.Err() == nil {
				err := pgx.BeginFunc(context.WithoutCancel(ctx), pool, func(tx pgx.Tx) error {
					var id int64
					key := fmt.Sprint("key ", random.IntN(keys))
					if err := tx.QueryRow(context.WithoutCancel(ctx), `SELECT tidemill.enqueue('letter', unique_key => $1)`, key).Scan(&id); err != nil {
						return err
					}
					calls.Add(1)
					if n < keys { // some think for long
						held.Add(1)
						hold(ctx, time.Duration(random.IntN(2000))*time.Millisecond)
					}
					if random.IntN(4) == 0 {
						return pgx.ErrTxCommitRollback
					}
					return nil
				})
				switch {
				case err == nil:
					commits.Add(1)
				case !errors.Is(err, pgx.ErrTxCommitRollback):
					t.Errorf("session %d: %v", n, err)
					return
				}
			}
		})
	}
	// Jobs that have nothing to do with the keys come and go meanwhile.
	group.Go(func() {
		for ctx.Err() == nil {
			if _, err := app.Client.Insert(context.WithoutCancel(ctx), probeArgs{At: time.Now()}, nil); err != nil {
				t.Errorf("insert: %v", err)
				return
			}
			hold(ctx, 20*time.Millisecond)
		}
	})
	worst := 0
	group.Go(func() {
		for ctx.Err() == nil {
			var most int
			err := pool.QueryRow(context.WithoutCancel(ctx), `SELECT coalesce(max(n), 0) FROM (
				SELECT count(*) AS n FROM tidemill.river_job
				 WHERE kind = 'letter' AND state IN ('available', 'running', 'retryable', 'scheduled', 'pending') GROUP BY unique_key) k`).Scan(&most)
			if err != nil {
				t.Errorf("count: %v", err)
				return
			}
			worst = max(worst, most)
			hold(ctx, 5*time.Millisecond)
		}
	})
	group.Wait()

	if worst != 1 {
		t.Errorf("at most %d live jobs of one key were seen, want 1", worst)
	}
	var stuck int
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := pool.QueryRow(t.Context(), `SELECT count(*) FROM tidemill.river_job WHERE state <> 'completed'`).Scan(&stuck)
		if err != nil {
			t.Fatal(err)
		}
		if stuck == 0 || time.Now().After(deadline) {
			break
		}
		hold(t.Context(), 50*time.Millisecond)
	}
	if stuck > 0 {
		t.Errorf("%d jobs did not end", stuck)
	}
	latest := others.worst()
	t.Logf("%d calls, %d committed, %d transactions held open; %d jobs were made; other jobs began after %s at most",
		calls.Load(), commits.Load(), held.Load(), must(ask[int](t, app, `SELECT count(*)::int FROM tidemill.river_job WHERE kind = 'letter'`)), latest)
	if latest > 15*time.Second { // transactions stay open for 2 s; the rest is for a busy machine
		t.Errorf("another job waited %s", latest)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// hold waits, but not longer than ctx.
func hold(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

type probeArgs struct {
	At time.Time `json:"at"`
}

func (probeArgs) Kind() string { return "probe" }

// probeWorker remembers how long the jobs waited.
type probeWorker struct {
	river.WorkerDefaults[probeArgs]
	mu      sync.Mutex
	longest time.Duration
}

func (w *probeWorker) Work(_ context.Context, job *river.Job[probeArgs]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.longest = max(w.longest, time.Since(job.Args.At))
	return nil
}

func (w *probeWorker) worst() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.longest
}

// A role that was granted the interface, and nothing else, cannot be led astray nor lead astray.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	app := setupInterface(t)
	ctx := t.Context()
	exec := func(conn interface {
		Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	}, statement string) error {
		_, err := conn.Exec(ctx, statement)
		return err
	}
	role := fmt.Sprintf("app_%d", rand.Uint32())
	for _, statement := range []string{
		"CREATE ROLE " + role + " NOLOGIN",
		// The world is hostile: what it creates shadows what our functions use.
		"CREATE SCHEMA evil",
		"GRANT ALL ON SCHEMA evil TO " + role,
		`CREATE TABLE evil.river_job (id bigint)`, `CREATE TABLE evil.run (id bigint)`, `CREATE TABLE evil.job (name text)`, `CREATE TABLE evil.kind (kind text)`,
		`CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'`,
		`CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'`,
		`CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE ''evil was called as %'', current_user; END'`,
		`CREATE FUNCTION evil.format(text, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''evil was called as %'', current_user; END'`,
		`CREATE FUNCTION evil.less(int, int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''evil was called as %'', current_user; END'`,
		`CREATE OPERATOR evil.> (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.less)`,
	} {
		if err := exec(app.Pool, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	defer func() {
		_, err := app.Pool.Exec(context.WithoutCancel(ctx), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		if err != nil {
			t.Error(err)
		}
	}()
	out, err := command("psql", app.Config.Database.URL, "-X", "-q", "-v", "role="+role, "-v", "schema="+migrations.DefaultSchema, "-f", "deploy/grant-enqueue.sql")
	if err != nil {
		t.Fatalf("psql: %v: %s", err, out)
	}
	conn, err := pgx.Connect(ctx, app.Config.Database.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range []string{"SET ROLE " + role, "SET search_path = evil, pg_catalog"} {
		if err := exec(conn, statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, allowed := range []string{
		`SELECT tidemill.enqueue('letter', '{"to": "x"}', unique_key => 'k')`,
		`SELECT tidemill.enqueue('letter', '{"to": "x"}', unique_key => 'k')`,
		`SELECT tidemill.start('letters', '{"to": "x"}')`,
		`SELECT tidemill.start('dated', '{"n": 1}')`,
		`SELECT tidemill.start('once')`, `SELECT tidemill.start('once')`,
		`SELECT tidemill.cancel(tidemill.start('hook'))`,
		`SELECT tidemill.run_finish(tidemill.run_begin('nightly', '{"host": "a"}'), '{"rows": 1}')`,
		`SELECT tidemill.run_fail(tidemill.run_begin('nightly'), 'broken')`,
	} {
		if err := exec(conn, allowed); err != nil {
			t.Errorf("%s: %v", allowed, err)
		}
	}
	for _, refused := range []string{
		`SELECT * FROM tidemill.river_job`, `SELECT * FROM tidemill.run`, `SELECT * FROM tidemill.runs`, `SELECT * FROM tidemill.job`,
		`DELETE FROM tidemill.process`, `INSERT INTO tidemill.kind VALUES ('x', 'x', 1, 1)`,
		`SELECT tidemill.insert_job('tidemill.command', '{}', 'default', 1, 1, NULL, '{}', '{}', NULL, true)`,
		`SELECT tidemill.end_run(1, 'succeeded', NULL, NULL)`,
		`SELECT tidemill.resolve_params('x', NULL, '{}', now())`,
		`CREATE FUNCTION tidemill.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		`CREATE TABLE tidemill.mine ()`,
	} {
		err := exec(conn, refused)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v, want permission denied", refused, err)
		}
	}
	if err := exec(conn, "RESET ROLE"); err != nil {
		t.Fatal(err)
	}
	n, err := ask[int](t, app, `SELECT count(*)::int FROM tidemill.river_job`)
	if err != nil || n != 5 {
		t.Errorf("%d jobs, %v; want 5", n, err)
	}
}

func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

// The two readers of params agree on what is one.
func TestParamsInSQL(t *testing.T) {
	t.Parallel()
	app := setup(t, "")
	values := []string{
		`"x"`, `""`, `"7"`, `7`, `-7`, `7.5`, `"7.5"`, `"1e3"`, `1e400`, `"+7"`, `"007"`, `" 7"`, `9223372036854775807`, `9223372036854775808`,
		`true`, `"true"`, `"TRUE"`, `"yes"`, `null`, `[]`, `{}`, `[1, "a"]`, `{"a": null}`,
		`"2026-02-28"`, `"2026-02-29"`, `"2026-2-1"`, `"0000-01-01"`, `"9999-12-31"`, `"2026-01-31T09:00:00Z"`, `"2026-01-31T09:00:00+09:00"`,
		`"2026-01-31T09:00:00"`, `"2026-01-31 09:00:00Z"`, `"2026-01-31T24:00:00Z"`, `"2026-01-31T09:00:60Z"`, `"2026-01-31T09:00:00.123456Z"`,
		`"123e4567-e89b-12d3-a456-426614174000"`, `"123E4567-E89B-12D3-A456-426614174000"`, `"123e4567e89b12d3a456426614174000"`,
	}
	types := []string{
		config.TextParam, config.IntegerParam, config.NumberParam, config.BooleanParam, config.DateParam, config.TimestampParam,
		config.UUIDParam, config.JSONParam,
	}
	for _, typ := range types {
		def := &config.Job{Name: "j", Kind: "own", Params: []config.Param{{Name: "p", Type: typ}}}
		declared, err := json.Marshal([]paramRow{{Name: "p", Type: typ}})
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			given := json.RawMessage(`{"p": ` + value + `}`)
			inGo, goErr := def.ResolveParams(given, time.Now())
			inSQL, sqlErr := ask[json.RawMessage](t, app, `SELECT tidemill.resolve_params('j', $1, $2, now())`, declared, given)
			var pg *pgconn.PgError
			switch {
			case (goErr == nil) != (sqlErr == nil):
				t.Errorf("%s as %s: Go says %v, SQL says %v", value, typ, goErr, sqlErr)
			case sqlErr != nil && (!errors.As(sqlErr, &pg) || pg.Code != "22023"):
				t.Errorf("%s as %s: %v", value, typ, sqlErr)
			case goErr == nil:
				if diff := sameJSON(t, app, inGo, inSQL); diff != "" && typ != config.TimestampParam {
					t.Errorf("%s as %s (-Go +SQL): %s", value, typ, diff)
				}
			}
		}
	}
}

// Libraries send NULL where a caller gives nothing. The key and all else may be NULL, too.
func TestStartInSQLWithNull(t *testing.T) {
	t.Parallel()
	app := setupInterface(t)
	const stored = `SELECT concat_ws(' ', j.kind, j.queue, j.priority, j.args, r.args, r.params, j.scheduled_at <= now()) FROM tidemill.river_job j JOIN tidemill.run r USING (id) WHERE j.id = `
	for _, job := range []string{"letters", "hook"} {
		want := must(ask[string](t, app, stored+`$1`, must(ask[int64](t, app, `SELECT tidemill.start($1)`, job))))
		for _, call := range []string{"start($1, NULL)", "start($1, 'null')", "start($1, NULL, NULL, NULL, NULL, NULL)"} {
			id, err := ask[int64](t, app, `SELECT tidemill.`+call, job)
			if err != nil {
				t.Errorf("%s %s: %v", call, job, err)
				continue
			}
			if got := must(ask[string](t, app, stored+`$1`, id)); got != want {
				t.Errorf("%s %s: %s, want %s", call, job, got, want)
			}
		}
	}
	one, err := ask[int64](t, app, `SELECT tidemill.enqueue('letter', unique_key => NULL, tags => NULL)`)
	two, again := ask[int64](t, app, `SELECT tidemill.enqueue('letter', unique_key => NULL, tags => NULL)`)
	if err != nil || again != nil || one == two {
		t.Errorf("without a key: jobs %d and %d, %v, %v", one, two, err, again)
	}
}

// sameJSON compares as the database does, which knows no difference between 1.0 and 1.00.
func sameJSON(t *testing.T, app *App, a any, b json.RawMessage) string {
	t.Helper()
	encoded, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	same, err := ask[bool](t, app, `SELECT $1::jsonb = $2::jsonb`, json.RawMessage(encoded), b)
	if err != nil {
		t.Fatal(err)
	}
	if same {
		return ""
	}
	return cmp.Diff(string(encoded), string(b))
}

// A worker applies its configuration, unless workers with another one are alive.
func TestRollingDeployDoesNotFlipFlop(t *testing.T) {
	t.Parallel()
	old := setupInterface(t)
	work(t, old)
	if err := waitFor(t, old, 1, `SELECT count(*)::int FROM tidemill.process WHERE config <> ''`); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("tidemill.yaml", []byte("database: {url: \"${DATABASE_URL}\"}\nmetrics: {listen: \"\"}\njobs: {fresh: {kind: letter}}\n"),
		&config.Opts{Kinds: workers.Configs(), Lookup: func(string) (string, bool) { return old.Config.Database.URL, true }})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := New(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if _, done, err := fresh.apply(t.Context(), false); err != nil || done {
		t.Errorf("applied beside a live worker: %v, %v", done, err)
	}
	if n := must(ask[int](t, old, `SELECT count(*)::int FROM tidemill.job`)); n != 5 {
		t.Errorf("%d jobs, want the 5 of the live worker", n)
	}
	applied, err := fresh.Apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := &Applied{Kinds: []string{}, Jobs: []string{"fresh"}, Removed: []string{"dated", "hook", "letters", "load", "once"}}
	slices.Sort(applied.Removed)
	applied.Schedules = nil // there are none
	if applied.Kinds == nil {
		applied.Kinds = []string{}
	}
	if diff := cmp.Diff(want, applied); diff != "" {
		t.Error(diff)
	}
	// The kind that a program described keeps its defaults when a configuration only names it.
	if queue := must(ask[string](t, old, `SELECT queue FROM tidemill.kind WHERE kind = 'letter'`)); queue != "low" {
		t.Errorf("queue %s", queue)
	}
}

func waitFor(t *testing.T, app *App, want int, query string) error {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		n, err := ask[int](t, app, query)
		if err != nil || n == want {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is %d, want %d", query, n, want)
		}
		hold(t.Context(), 20*time.Millisecond)
	}
}
