package sqljob

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

type sqlBundle struct {
	pool *pgxpool.Pool
	log  bytes.Buffer
}

func setupSQL(t *testing.T, ddl ...string) *sqlBundle {
	t.Helper()
	b := &sqlBundle{pool: testdb.Pool(t, testdb.URL(t))}
	for _, statement := range ddl {
		if _, err := b.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// run runs one attempt; params are by name with the Go types of ResolveParams.
func (b *sqlBundle) run(ctx context.Context, statement string, params map[string]any, change ...func(*Config)) (*Result, error) {
	def := &Config{Statement: statement, Timeout: time.Minute, MaxRows: 100}
	for _, c := range change {
		c(def)
	}
	r := sqlRun{
		def: def, params: params, log: slog.New(slog.NewTextHandler(&b.log, nil)),
		deps: &kind.Deps{Pool: b.pool, Location: time.FixedZone("", 9*3600)},
	}
	return r.work(ctx)
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSQLResult(t *testing.T) {
	t.Parallel()
	b := setupSQL(t,
		"CREATE TABLE t (id int PRIMARY KEY, note text)",
		"INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 12) i",
		"CREATE PROCEDURE halves(n int) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (n, 'kept'); COMMIT; INSERT INTO t VALUES (n + 1, 'lost'); ROLLBACK; END $$")

	tests := []struct{ name, statement, want string }{
		{"update", "UPDATE t SET note = note || '!'", `{"command":"UPDATE 12","rows_affected":12}`},
		{"nothing updated", "DELETE FROM t WHERE id < 0", `{"command":"DELETE 0","rows_affected":0}`},
		{"a procedure that commits", "CALL halves(100)", `{"command":"CALL"}`},
		{"what it committed", "SELECT id, note FROM t WHERE id >= 100", `{"command":"SELECT 1","columns":["id","note"],"rows":[[100,"kept"]],"row_count":1}`},
		{"not in a transaction", "VACUUM t", `{"command":"VACUUM"}`},
		{"DDL", "CREATE INDEX CONCURRENTLY ON t (note)", `{"command":"CREATE INDEX"}`},
		{"returning", "UPDATE t SET note = 'x' WHERE id = 1 RETURNING id", `{"command":"UPDATE 1","rows_affected":1,"columns":["id"],"rows":[[1]],"row_count":1}`},
		{"no rows", "SELECT id FROM t WHERE false", `{"command":"SELECT 0","columns":["id"],"rows":[],"row_count":0}`},
		{"no columns", "SELECT FROM t WHERE id < 3", `{"command":"SELECT 2","columns":[],"rows":[[],[]],"row_count":2}`},
		{"numbers", "SELECT 1::int2 a, 9223372036854775807 b, 1.50 c, 'NaN'::numeric d, 0.1::float4 e, 1e300::float8 f, '-Infinity'::float8 g",
			`{"command":"SELECT 1","columns":["a","b","c","d","e","f","g"],"rows":[[1,9223372036854775807,1.50,"NaN",0.1,1e+300,"-Infinity"]],"row_count":1}`},
		{"times", "SELECT '2026-01-31'::date a, '2026-01-31 09:00:00.5'::timestamp b, '2026-01-31T00:00:00Z'::timestamptz c, 'infinity'::timestamptz d, 'infinity'::date e, '09:30'::time f",
			`{"command":"SELECT 1","columns":["a","b","c","d","e","f"],"rows":[["2026-01-31","2026-01-31T09:00:00.5","2026-01-31T09:00:00+09:00","infinity","infinity","09:30:00"]],"row_count":1}`},
		{"others", `SELECT true a, NULL b, '\xDEAD'::bytea c, '{"k":[1,null]}'::jsonb d, ARRAY[1,2] e, 'é"'::text f, '[]'::json g`,
			`{"command":"SELECT 1","columns":["a","b","c","d","e","f","g"],"rows":[[true,null,"\\xdead",{"k":[1,null]},"{1,2}","é\"",[]]],"row_count":1}`},
		{"json that jsonb refuses", `SELECT '"\u0000"'::json a, '1e999999'::json b`,
			`{"command":"SELECT 1","columns":["a","b"],"rows":[["\"\\u0000\"","1e999999"]],"row_count":1}`},
	}
	for _, tt := range tests { // in this order: they share the table
		t.Run(tt.name, func(t *testing.T) {
			got, err := b.run(t.Context(), tt.statement, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, asJSON(t, got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// The result is kept as jsonb; a value that it refuses would keep the run from ever ending.
			if _, err := b.pool.Exec(t.Context(), "SELECT $1::jsonb", asJSON(t, got)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSQLParams(t *testing.T) {
	t.Parallel()
	b := setupSQL(t, `CREATE TABLE v (i int, b bigint, n numeric, f float8, d date, ts timestamptz, u uuid, j jsonb, t text, o boolean, a int[], s text[])`)

	day := config.Date{Year: 2026, Month: 1, Day: 31}
	at := time.Date(2026, 1, 31, 9, 0, 0, 500_000_000, time.FixedZone("", 9*3600))
	tests := []struct {
		name, statement string
		params          map[string]any
		want            string // the rows
	}{
		{"into columns", "INSERT INTO v (i, b, n, f, d, ts, u, j, t, o) VALUES (:i::int, :i::int, :n::numeric, :n::numeric, :d, :at, :u, :j, :t, :o) RETURNING i, b, n, f, d, ts, u, j, t, o",
			map[string]any{"i": int64(7), "n": json.Number("-1.50"), "d": day, "at": at, "u": "123e4567-e89b-12d3-a456-426614174000", "j": json.RawMessage(`{"k":"v"}`), "t": "é", "o": true},
			`[[7,7,-1.50,-1.5,"2026-01-31","2026-01-31T09:00:00.5+09:00","123e4567-e89b-12d3-a456-426614174000",{"k":"v"},"é",true]]`},
		{"arrays", `INSERT INTO v (a, s) VALUES (:a, :s) RETURNING a, s[1], s[2], s[3], s[4]`,
			map[string]any{"a": json.RawMessage(`[1, 2]`), "s": json.RawMessage(`["a,b", "q\"\\", null, "NULL"]`)}, `[["{1,2}","a,b","q\"\\",null,"NULL"]]`},
		{"any of", "SELECT i FROM v WHERE i = ANY(:ids)", map[string]any{"ids": json.RawMessage(`[7,8]`)}, `[[7]]`},
		{"NULL", "SELECT :x::int IS NULL", map[string]any{"x": nil}, `[[true]]`},
		{"date in a comparison", "SELECT count(*) FROM v WHERE d >= :d AND d < :d + 1", map[string]any{"d": day}, `[[1]]`},
		{"twice", "SELECT :i::int + :i::int, ':i'", map[string]any{"i": int64(2)}, `[[4,":i"]]`},
		{"unused", "SELECT 1", map[string]any{"x": "y"}, `[[1]]`},
		{"a statement as value", "SELECT count(*) FROM v WHERE t = :t", map[string]any{"t": "'; DROP TABLE v; --"}, `[[0]]`},
		{"a quote as value", "SELECT :t::text", map[string]any{"t": `x' OR '1'='1`}, `[["x' OR '1'='1"]]`},
		{"a placeholder as value", "SELECT :a::text, :b::text", map[string]any{"a": "$2", "b": ":a"}, `[["$2",":a"]]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := b.run(t.Context(), tt.statement, tt.params)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, asJSON(t, got.Rows)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSQLErrors(t *testing.T) {
	t.Parallel()
	b := setupSQL(t, "CREATE TABLE t (id int PRIMARY KEY, d date)", "INSERT INTO t VALUES (1)",
		"CREATE DOMAIN even AS int CHECK (VALUE % 2 = 0)", "CREATE TABLE evens (e even)",
		`CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not for $1' USING HINT = 'come tomorrow'; END $$`,
		`CREATE FUNCTION conflicts() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$`)

	tests := []struct {
		name, statement string
		params          map[string]any
		permanent       bool
		want            string
	}{
		{"syntax", "SELECT 1,\n  é.é FRM t", nil, true, "statement: line 2, column 11: syntax error at or near \"t\" (SQLSTATE 42601)"},
		{"after placeholders", "SELECT :longname::int,\n :longname::int, nowhere", map[string]any{"longname": int64(1)}, true, `statement: line 2, column 18: column "nowhere" does not exist (SQLSTATE 42703)`},
		{"at a placeholder", "SELECT 1 + 1,\n :longname::date + :longname::date", map[string]any{"longname": "x"}, true, "statement: line 2, column 18: operator does not exist: date + date (SQLSTATE 42883); No operator matches the given name and argument types. You might need to add explicit type casts."},
		{"table", "SELECT * FROM nowhere", nil, true, `statement: line 1, column 15: relation "nowhere" does not exist (SQLSTATE 42P01)`},
		{"two types", "SELECT :n::int, id = :n, d = :n FROM t", map[string]any{"n": int64(1)}, true, `statement: line 1, column 28: operator does not exist: date = integer (SQLSTATE 42883); No operator matches the given name and argument types. You might need to add explicit type casts.`},
		{"two types in one", "INSERT INTO t VALUES (:n, :n)", map[string]any{"n": int64(1)}, true, `statement: line 1, column 27: inconsistent types deduced for parameter :n (SQLSTATE 42P08); integer versus date`},
		{"several", "SELECT 1; SELECT 2", nil, true, "statement: there are several statements, and a job has one; put them into a procedure and CALL it"},
		{"copy", "-- load\nCOPY t FROM STDIN", nil, true, "statement: COPY … FROM STDIN and TO STDOUT have no file here; load a file with kind import"},
		{"no such param", "SELECT :x", nil, true, "statement: it uses :x, and the job declares no such param"},
		{"text for a number", "SELECT * FROM t WHERE id = :id", map[string]any{"id": "one"}, true, `param "id" does not fit the statement: invalid input syntax for type integer: "one" (SQLSTATE 22P02)`},
		{"not the type one thinks of", "SELECT :d + 1", map[string]any{"d": config.Date{Year: 2026, Month: 1, Day: 31}}, true, `param "d" does not fit the statement: invalid input syntax for type integer: "2026-01-31" (SQLSTATE 22P02); if PostgreSQL takes it for the wrong type, write :d::date`},
		{"too great", "SELECT * FROM t WHERE id = :id", map[string]any{"id": int64(1 << 40)}, true, `param "id" does not fit the statement: value "1099511627776" is out of range for type integer (SQLSTATE 22003)`},
		{"number for a date", "UPDATE t SET d = :d", map[string]any{"d": int64(1)}, true, `param "d" does not fit the statement: invalid input syntax for type date: "1" (SQLSTATE 22007)`},
		{"no array", "SELECT * FROM t WHERE id = ANY(:ids)", map[string]any{"ids": json.RawMessage(`{"a":1}`)}, true, `param "ids" does not fit the statement: malformed array literal: "{"a":1}" (SQLSTATE 22P02); Unexpected array element.`},
		{"data", "SELECT 1 / (id - :one::int) FROM t", map[string]any{"one": int64(1)}, false, "statement: division by zero (SQLSTATE 22012)"},
		{"unique", "INSERT INTO t VALUES (:id)", map[string]any{"id": int64(1)}, false, `statement: duplicate key value violates unique constraint "t_pkey" (SQLSTATE 23505); Key (id)=(1) already exists.`},
		{"domain", "INSERT INTO evens SELECT id FROM t", nil, false, `statement: value for domain even violates check constraint "even_check" (SQLSTATE 23514)`},
		{"raised", "SELECT fails(), :n::int", map[string]any{"n": int64(1)}, false, "statement: not for $1 (SQLSTATE P0001); come tomorrow; PL/pgSQL function fails() line 1 at RAISE"},
		{"conflict", "SELECT conflicts()", nil, false, "statement: conflict (SQLSTATE 40001); PL/pgSQL function conflicts() line 1 at RAISE"},
		{"not supported", "SELECT * FROM other.public.t", nil, true, `statement: line 1, column 15: cross-database references are not implemented: "other.public.t" (SQLSTATE 0A000)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.run(t.Context(), tt.statement, tt.params)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if retry.IsPermanent(err) != tt.permanent {
				t.Errorf("permanent is %t, want %t: %v", !tt.permanent, tt.permanent, err)
			}
		})
	}
}

func TestSQLCannotConnect(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.URL(t))
	c := pool.Config()
	c.ConnConfig.Database = "nowhere"
	away, err := pgxpool.NewWithConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(away.Close)
	_, err = (&sqlBundle{pool: away}).run(t.Context(), "SELECT 1", nil)
	if err == nil || retry.IsPermanent(err) || !strings.Contains(err.Error(), "3D000") {
		t.Errorf("error is %v (permanent %t), want 3D000, for another try", err, retry.IsPermanent(err))
	}
}

func TestSQLTimeout(t *testing.T) {
	t.Parallel()
	b := setupSQL(t)
	_, err := b.run(t.Context(), "SELECT pg_sleep(300)", nil, func(s *Config) { s.Timeout = 50 * time.Millisecond })
	want := "statement: not done within its timeout of 50ms, and stopped: statement: canceling statement due to statement timeout (SQLSTATE 57014)"
	if err == nil || err.Error() != want || retry.IsPermanent(err) {
		t.Errorf("error is %v, want %s", err, want)
	}
	b.idle(t)
}

// A cancelled run ends its statement on the server, and nothing of it is left there.
func TestSQLCancelled(t *testing.T) {
	t.Parallel()
	b := setupSQL(t)
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.run(ctx, "SELECT pg_sleep(300)", nil)
		done <- err
	}()
	b.until(t, "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(300)' AND wait_event = 'PgSleep'")
	cancel(stop)
	if err := <-done; !errors.Is(err, stop) || !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context and its cause", err)
	}
	b.idle(t)
}

// idle waits until the statements' sessions are gone, and holds that those of the pool are as they were.
func (b *sqlBundle) idle(t *testing.T) {
	t.Helper()
	b.until(t, "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()")
	var timeout string
	if err := b.pool.QueryRow(context.Background(), "SHOW statement_timeout").Scan(&timeout); err != nil || timeout != "0" {
		t.Errorf("statement_timeout of the pool is %q (%v), want 0", timeout, err)
	}
}

func (b *sqlBundle) until(t *testing.T, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var ok bool
		if err := b.pool.QueryRow(ctx, query).Scan(&ok); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if ok {
			return
		}
		<-tick.C
	}
}

// What a statement does to its session is not seen by the next, nor by the pool.
func TestSQLSession(t *testing.T) {
	t.Parallel()
	b := setupSQL(t)
	for _, statement := range []string{"SET search_path = nowhere", "SELECT set_config('statement_timeout', '1h', false)", "BEGIN", "CREATE TEMP TABLE left_over ()"} {
		if _, err := b.run(t.Context(), statement, nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.run(t.Context(), "SELECT current_setting('search_path'), current_setting('statement_timeout'), to_regclass('left_over')", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`[["\"$user\", public","1min",null]]`, asJSON(t, got.Rows)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.idle(t)
}

func TestSQLPoolHooks(t *testing.T) {
	t.Parallel()
	c := testdb.Pool(t, testdb.URL(t)).Config()
	c.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		c.RuntimeParams["application_name"] = "before"
		return nil
	}
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SET work_mem = '5MB'")
		return err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	got, err := (&sqlBundle{pool: pool}).run(t.Context(), "SELECT current_setting('application_name'), current_setting('work_mem')", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`[["before","5MB"]]`, asJSON(t, got.Rows)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSQLTruncates(t *testing.T) {
	t.Parallel()
	b := setupSQL(t)
	tests := []struct {
		name, statement string
		kept, rows      int
	}{
		{"rows", "SELECT generate_series(1, 101)", 100, 101},
		{"exactly", "SELECT generate_series(1, 100)", 100, 100},
		{"bytes", "SELECT repeat('x', 1000) FROM generate_series(1, 90)", 65, 90},
		{"a row that is too long", "SELECT repeat('x', 70000) FROM generate_series(1, 2)", 0, 2},
		{"a long row after a short one", "SELECT repeat('x', n) FROM (VALUES (1), (70000), (1)) v (n)", 1, 3},
		{"quotes count", "SELECT repeat('\"', 40000)", 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := b.run(t.Context(), tt.statement, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Rows) != tt.kept || *got.RowCount != int64(tt.rows) || got.Truncated != (tt.kept < tt.rows) {
				t.Errorf("%d of %d rows kept (truncated %t), want %d of %d", len(got.Rows), *got.RowCount, got.Truncated, tt.kept, tt.rows)
			}
			if size := len(asJSON(t, got)); size > maxSQLResult+1000 {
				t.Errorf("the result has %d bytes", size)
			}
		})
	}
}

// Not parallel: it measures the memory of the process.
func TestSQLStreams(t *testing.T) {
	b := setupSQL(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := b.run(t.Context(), "SELECT generate_series(1, 10000000)", nil)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if *got.RowCount != 10_000_000 || len(got.Rows) != 100 || !got.Truncated {
		t.Errorf("%d of %d rows kept", len(got.Rows), *got.RowCount)
	}
	if grown := int64(after.Sys) - int64(before.Sys); grown > 32<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
}

func TestSQLNotices(t *testing.T) {
	t.Parallel()
	b := setupSQL(t)
	if _, err := b.run(t.Context(), "DO $$ BEGIN RAISE NOTICE 'half done'; RAISE WARNING 'odd'; FOR i IN 1..200 LOOP RAISE NOTICE 'n'; END LOOP; END $$", nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`level=INFO msg="half done" severity=NOTICE sqlstate=00000`, "level=WARN msg=odd", "further notices"} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, b.log.String())
		}
	}
	if lines := strings.Count(b.log.String(), "\n"); lines != maxNotices+1 {
		t.Errorf("%d lines logged, want %d", lines, maxNotices+1)
	}
}
