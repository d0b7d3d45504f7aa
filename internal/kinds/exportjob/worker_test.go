package exportjob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/exportjob"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
	"github.com/tidemill/tidemill/workers/kind"
)

type exportBundle struct {
	*testengine.Engine
	catalog *pgxpool.Pool
	storage *storage.Bucket

	mu  sync.Mutex
	job *config.Job
}

// define makes fields, lines of YAML, the definition of the job "dump".
func (b *exportBundle) define(t *testing.T, fields string) {
	t.Helper()
	text := "jobs:\n  dump:\n    kind: export\n    retry: {max_attempts: 2, backoff: constant, delay: 10ms}\n"
	for _, line := range strings.Split(strings.TrimSpace(fields), "\n") {
		text += "    " + strings.TrimSpace(line) + "\n"
	}
	cfg, err := config.Parse("test.yaml", []byte(text), &config.Opts{Kinds: workers.Configs()})
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.job = cfg.Jobs["dump"]
}

// setupExport starts an export worker for one job called "dump"; see define.
func setupExport(t *testing.T, schema, fields string, configure ...func(*exportBundle)) *exportBundle {
	t.Helper()
	b := &exportBundle{}
	b.define(t, fields)
	var err error
	if b.storage, err = storage.Open(context.Background(), "file://"+t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for _, change := range configure {
		change(b)
	}
	url := testengine.URL(t)
	b.catalog = testdb.Pool(t, url)
	if _, err := b.catalog.Exec(context.Background(), schema); err != nil {
		t.Fatal(err)
	}
	b.Engine = testengine.Start(t, url, func(w *river.Workers) {
		river.AddWorker(w, exportjob.NewWorker(&kind.Deps{
			Jobs: func(name string) (*config.Job, bool) {
				b.mu.Lock()
				defer b.mu.Unlock()
				return b.job, name == b.job.Name
			},
			Pool: b.catalog, Logger: testengine.Logger(t),
		}, b.storage))
	}, func(c *river.Config) { c.FetchOnlyKnownKinds = true }) // tests let imports work beside it
	return b
}

func (b *exportBundle) start(t *testing.T, params string) int64 {
	t.Helper()
	args := exportjob.Args{Args: kind.Args{Job: "dump", Params: json.RawMessage(params)}}
	started, err := b.Ledger.Start(context.Background(), args, batch.StartOpts{Job: "dump"})
	if err != nil {
		t.Fatal(err)
	}
	return started.ID
}

// dump runs the export to its end and returns the file as it is in the storage.
func (b *exportBundle) dump(t *testing.T, params string) ([]byte, *exportjob.Result) {
	t.Helper()
	info := b.WaitStatus(t, b.start(t, params), batch.Succeeded, batch.Failed)
	if info.Status == batch.Failed {
		t.Fatal(*info.Error)
	}
	return b.file(t, info)
}

func (b *exportBundle) file(t *testing.T, info *batch.Info) ([]byte, *exportjob.Result) {
	t.Helper()
	ctx := context.Background()
	result, err := exportjob.ReadResult(info.Result)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := exportjob.NewCopy(b.storage, &memoryTarget{Buffer: &file}).Finish(ctx, info, nil); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(file.Bytes())
	if got := hex.EncodeToString(sum[:]); got != result.SHA256 || int64(file.Len()) != result.Bytes {
		t.Errorf("%d bytes with %s, and the result has %d with %s", file.Len(), got, result.Bytes, result.SHA256)
	}
	if info.Counters.Read != result.Rows || info.Total == nil || *info.Total != result.Rows || info.Done != result.Rows {
		t.Errorf("%d rows; read %d, done %d of %v", result.Rows, info.Counters.Read, info.Done, info.Total)
	}
	if n, err := b.storage.DeleteAll(ctx, "exports/", func(string) bool { return true }); err != nil || n != 0 {
		t.Error(n, err)
	}
	return file.Bytes(), result
}

// memoryTarget takes a copy.
type memoryTarget struct {
	*bytes.Buffer
	rewound int
}

func (m *memoryTarget) Rewind() error {
	m.rewound++
	m.Reset()
	return nil
}

func TestExportForms(t *testing.T) {
	t.Parallel()

	const people = `CREATE TABLE public.people (id int PRIMARY KEY, name text, note text, n numeric, at timestamptz);
		INSERT INTO people VALUES (1, 'Ada', '', -1.50, '2026-01-31 09:00+09'), (2, NULL, 'a "b", c', NULL, NULL), (3, '=1+1', E'two\nlines', 0, '-infinity')`
	tests := []struct{ name, fields, want string }{
		{
			"table", "table: people",
			"id,name,note,n,at\n1,Ada,\"\",-1.50,2026-01-31 00:00:00+00\n2,,\"a \"\"b\"\", c\",,\n3,'=1+1,\"two\nlines\",0,-infinity\n",
		},
		{
			"CRLF, BOM, semicolon, null, keep", "table: people\ncolumns: [name, note, id]\nline_end: crlf\nbom: true\ndelimiter: \";\"\nnull_as: \\N\nformulas: keep",
			"\ufeffname;note;id\r\nAda;;1\r\n\\N;\"a \"\"b\"\", c\";2\r\n=1+1;\"two\nlines\";3\r\n",
		},
		{"no header, key not in the file", "table: public.people\ncolumns: [name]\nheader: false", "Ada\n\n'=1+1\n"},
		{"query", "query: SELECT name AS who, id FROM people WHERE id > 1 -- not the first\norder_by: [id]", "who,id\n,2\n'=1+1,3\n"},
		{"query with a semicolon", "query: SELECT id FROM people;\norder_by: [id]", "id\n1\n2\n3\n"},
		{
			"ndjson", "table: people\nformat: ndjson",
			`{"id":1,"name":"Ada","note":"","n":-1.50,"at":"2026-01-31T00:00:00+00:00"}` + "\n" +
				`{"id":2,"name":null,"note":"a \"b\", c","n":null,"at":null}` + "\n" +
				`{"id":3,"name":"=1+1","note":"two\nlines","n":0,"at":"-infinity"}` + "\n",
		},
		{"ndjson, key not in the file", "table: people\nformat: ndjson\ncolumns: [name]", `{"name":"Ada"}` + "\n" + `{"name":null}` + "\n" + `{"name":"=1+1"}` + "\n"},
		{"nothing", "query: SELECT id, name FROM people WHERE false\norder_by: [id]", "id,name\n"},
		{"nothing as ndjson", "query: SELECT id, name FROM people WHERE false\norder_by: [id]\nformat: ndjson", ""},
		{"order of two columns", "query: SELECT n IS NULL AS no, id FROM people\norder_by: [no, id]", "no,id\nf,1\nf,3\nt,2\n"},
	}
	for _, mode := range []string{"chunk: 1", "chunk: 2\ncompression: zstd", "chunk: 1\nconsistency: snapshot", "consistency: snapshot\nranges: 1\ncompression: gzip"} {
		t.Run(strings.ReplaceAll(mode, "\n", ", "), func(t *testing.T) {
			t.Parallel()
			b := setupExport(t, people, tests[0].fields)
			for _, tt := range tests {
				b.define(t, tt.fields+"\n"+mode)
				file, result := b.dump(t, "")
				if diff := cmp.Diff(tt.want, plain(t, file, result.Compression)); diff != "" {
					t.Errorf("%s: %s", tt.name, diff)
				}
				if want := int64(strings.Count(tt.want, "'=")); result.Defused != want {
					t.Errorf("%s: %d cells counted as defused, want %d", tt.name, result.Defused, want)
				}
			}
		})
	}
}

func plain(t *testing.T, file []byte, compression string) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(file)
	var err error
	switch compression {
	case exportjob.Gzip:
		r, err = gzip.NewReader(r)
	case exportjob.Zstd:
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExportParams(t *testing.T) {
	t.Parallel()

	b := setupExport(t, `CREATE TABLE public.t (id int PRIMARY KEY, name text, day date)`, `
		query: SELECT id, :name AS given, ':name' AS quoted FROM t WHERE day >= :day AND name = :name OR id = :id
		order_by: [id]
		params: {name: text, day: date, id: {type: integer, default: null}}`)
	names := []string{`O'Neil \'; DROP TABLE t; --`, `$1 $$ :day`, "line\nend", "絵文字 😀"}
	for i, name := range names {
		if _, err := b.Pool.Exec(context.Background(), `INSERT INTO t VALUES ($1, $2, '2026-01-31')`, i, name); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range names {
		params, err := json.Marshal(map[string]any{"name": name, "day": "2026-01-31"})
		if err != nil {
			t.Fatal(err)
		}
		file, _ := b.dump(t, string(params))
		cell := name
		if strings.ContainsAny(name, "\n,") {
			cell = `"` + name + `"`
		}
		if diff := cmp.Diff(fmt.Sprintf("id,given,quoted\n%d,%s,:name\n", i, cell), string(file)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestExportThatCannotBegin(t *testing.T) {
	t.Parallel()

	const schema = `CREATE TABLE public.t (id int PRIMARY KEY, name text, n int); CREATE TABLE public.heap (id int);
		CREATE TABLE public.forms (v numeric NOT NULL); INSERT INTO forms VALUES (1.0), (1.00), (2);
		INSERT INTO t VALUES (1, 'a', 1), (2, 'a', NULL), (3, 'b', 1);
		CREATE FUNCTION public.writes() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (9) RETURNING id'`
	tests := []struct{ name, fields, want string }{
		{"no table", "table: tt", "no such table"},
		{"no primary key", "table: heap", "has no primary key"},
		{"no column", "table: t\ncolumns: [id, nam]", `no column "nam"`},
		{"no order column", "table: t\norder_by: [ip]", `no column "ip"`},
		{"order column that the query lacks", "query: SELECT name FROM t\norder_by: [id]", `no column "id"`},
		{"wrong query", "query: SELECT id FROM t WHER id = 1\norder_by: [id]", "line 1, column 23"},
		{"two statements", "query: SELECT 1 AS id; DROP TABLE t\norder_by: [id]", "several statements"},
		{"out of the parentheses", "query: SELECT 1 AS id) TO STDOUT; DROP TABLE t; --\norder_by: [id]", "syntax"},
		{"no select", "query: DELETE FROM t\norder_by: [id]", "no columns"},
		{"deletes and selects", "query: DELETE FROM t RETURNING id\norder_by: [id]", "syntax"},
		{"a function that writes", "query: SELECT writes() AS id\norder_by: [id]", "read-only"},
		{"same name twice", "query: SELECT id, id FROM t\norder_by: [id]", `two columns are called "id"`},
		{"not unique", "query: SELECT name FROM t\norder_by: [name]\nchunk: 1", "is not unique"},
		{"not unique in ndjson", "query: SELECT name FROM t\norder_by: [name]\nchunk: 1\nformat: ndjson", "is not unique"},
		{"not unique in other forms", "query: SELECT v FROM (VALUES (1.0), (1.00), (2)) q (v)\norder_by: [v]\nchunk: 1", "is not unique"},
		{"not unique in other forms, of a table", "table: forms\norder_by: [v]\nchunk: 1", "is not unique"},
		{"NULL in the key", "table: t\norder_by: [n, id]", "is NULL"},
		{"NULL after", "query: SELECT 1 AS a, n FROM t\norder_by: [a, n]", "is NULL"},
		{"division by zero", "query: SELECT 1 / (id - id) AS id FROM t\norder_by: [id]", "division by zero"},
	}
	b := setupExport(t, schema, tests[0].fields)
	for _, tt := range tests {
		b.define(t, tt.fields)
		info := b.WaitStatus(t, b.start(t, ""), batch.Succeeded, batch.Failed)
		if info.Status != batch.Failed || !strings.Contains(*info.Error, tt.want) {
			t.Errorf("%s: %s: %v", tt.name, info.Status, deref(info.Error))
			continue
		}
		var attempts, rows int
		err := b.Pool.QueryRow(context.Background(), `SELECT attempt, (SELECT count(*) FROM t) FROM tidemill.river_job WHERE id = $1`, info.ID).Scan(&attempts, &rows)
		if err != nil || attempts != 1 || rows != 3 {
			t.Errorf("%s: %d attempts, %d rows, %v; trying again cannot help", tt.name, attempts, rows, err)
		}
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
