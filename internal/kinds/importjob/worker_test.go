package importjob_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

type importBundle struct {
	*testengine.Engine
	cfg     *config.Config
	storage *storage.Bucket

	mu     sync.Mutex     // guards cfg, too, once the worker runs
	chunks batch.Counters // as told to OnChunk
}

// setup starts an import worker for a configuration whose one job is called "load"; fields are its lines of YAML.
func setup(t *testing.T, table, fields string, configure ...func(*importBundle, *importjob.Opts)) *importBundle {
	t.Helper()
	return setupChunks(t, table, fields, 0, configure...)
}

// setupChunks is setup with chunks of so many rows.
func setupChunks(t *testing.T, table, fields string, rows int, configure ...func(*importBundle, *importjob.Opts)) *importBundle {
	t.Helper()
	ctx := context.Background()
	text := "jobs:\n  load:\n    kind: import\n    retry: {max_attempts: 2, backoff: constant, delay: 10ms}\n"
	for _, line := range strings.Split(strings.TrimSpace(fields), "\n") {
		text += "    " + strings.TrimSpace(line) + "\n"
	}
	b := &importBundle{}
	var err error
	if b.cfg, err = config.Parse("test.yaml", []byte(text), &config.Opts{Kinds: workers.Configs()}); err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	if b.storage, err = storage.Open(ctx, "file://"+t.TempDir()); err != nil {
		t.Fatal(err)
	}
	url := testengine.URL(t)
	catalog := testdb.Pool(t, url)
	b.Engine = testengine.Start(t, url, func(w *river.Workers) {
		opts := importjob.Opts{
			Jobs: func(name string) (*config.Job, bool) {
				b.mu.Lock()
				defer b.mu.Unlock()
				job, ok := b.cfg.Jobs[name]
				return job, ok
			},
			Pool: catalog, Storage: b.storage, ChunkRows: rows,
			OnChunk: func(_ string, delta batch.Counters) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.chunks = b.chunks.Plus(delta)
			},
		}
		for _, change := range configure {
			change(b, &opts)
		}
		river.AddWorker(w, importjob.NewWorker(opts))
	})
	if table != "" {
		b.exec(t, table)
	}
	return b
}

func (b *importBundle) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := b.Pool.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

// load stores content and imports it to the end.
func (b *importBundle) load(t *testing.T, content string) *batch.Info {
	t.Helper()
	id := b.start(t, content, importjob.Args{Definition: b.cfg.Jobs["load"].Hash()})
	return b.WaitStatus(t, id, batch.Succeeded, batch.SucceededWithRejects, batch.Failed)
}

// start stores content and starts its import.
func (b *importBundle) start(t *testing.T, content string, args importjob.Args) int64 {
	t.Helper()
	ctx := context.Background()
	object, err := b.storage.Put(ctx, "test", "file.csv", strings.NewReader(content), nil)
	if err != nil {
		t.Fatal(err)
	}
	args.Job, args.Object, args.Name, args.Size, args.SHA256 = "load", object.Key, "file.csv", object.Size, object.SHA256
	started, err := b.Ledger.Start(ctx, args, batch.StartOpts{Job: "load"})
	if err != nil {
		t.Fatal(err)
	}
	return started.ID
}

// table returns all rows as text, NULL shown as ∅.
func (b *importBundle) rows(t *testing.T, query string) []string {
	t.Helper()
	rows, err := b.Pool.Query(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		if err != nil {
			return "", err
		}
		parts := make([]string, len(values))
		for i, value := range values {
			parts[i] = "∅"
			if value != nil {
				parts[i] = fmt.Sprint(value)
			}
		}
		return strings.Join(parts, "|"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestImportMapping(t *testing.T) {
	t.Parallel()

	const people = `CREATE TABLE public.people (id bigint, email text UNIQUE, name text, note text, created_at timestamptz, updated_at timestamptz)`
	tests := []struct {
		name, table, fields, file, query string
		want                             []string
		counters                         batch.Counters
	}{
		{
			"names of the header", people, "table: people", "name,id,email\nAda,1,a@x\nGrace,2,g@x\n",
			"SELECT id, email, name, note FROM people ORDER BY id", []string{"1|a@x|Ada|∅", "2|g@x|Grace|∅"},
			batch.Counters{Read: 2, Inserted: 2},
		},
		{
			"BOM, CRLF, quoted commas and newlines", people, "table: people",
			"\ufeffid,name,note\r\n1,\"Doe, Jane\",\"two\r\nlines\"\r\n2,\"say \"\"hi\"\"\",x",
			"SELECT id, name, note FROM people ORDER BY id", []string{"1|Doe, Jane|two\r\nlines", "2|say \"hi\"|x"},
			batch.Counters{Read: 2, Inserted: 2},
		},
		{
			"NULL against empty", people, "table: people", "id,name,note\n1,,\"\"\n",
			"SELECT id, name, note FROM people", []string{"1|∅|"}, batch.Counters{Read: 1, Inserted: 1},
		},
		{
			"trim, null_if, renamed", people,
			"table: public.people\ncolumns: {id: nr, name: {field: full name, trim: true, null_if: [\"-\", \"\"]}}",
			"nr,full name,other\n1,  Ada ,x\n2, - ,x\n3,\"  \",x\n",
			"SELECT id, name FROM people ORDER BY id", []string{"1|Ada", "2|∅", "3|∅"}, batch.Counters{Read: 3, Inserted: 3},
		},
		{
			"no header", people, "table: people\nheader: false\ndelimiter: \";\"\ncolumns: {id: 2, name: 1}", "Ada;1;zzz\nGrace;2;zzz\n",
			"SELECT id, name FROM people ORDER BY id", []string{"1|Ada", "2|Grace"}, batch.Counters{Read: 2, Inserted: 2},
		},
		{
			"skip keeps the first", people, "table: people\nmatch: [email]\non_conflict: skip", "id,email\n1,a@x\n2,b@x\n3,a@x\n",
			"SELECT id, email FROM people ORDER BY id", []string{"1|a@x", "2|b@x"}, batch.Counters{Read: 3, Inserted: 2, Duplicate: 1},
		},
		{
			"update takes the last", people, "table: people\nmatch: [email]\non_conflict: update", "id,email\n1,a@x\n2,b@x\n3,a@x\n",
			"SELECT id, email FROM people ORDER BY id", []string{"2|b@x", "3|a@x"}, batch.Counters{Read: 3, Inserted: 2, Duplicate: 1},
		},
		{
			"error rejects", people, "table: people\nmatch: [email]\non_conflict: error", "id,email\n1,a@x\n2,b@x\n3,a@x\n",
			"SELECT id, email FROM people ORDER BY id", []string{"1|a@x", "2|b@x"}, batch.Counters{Read: 3, Inserted: 2, Rejected: 1},
		},
		{
			"set", people, "table: people\nset: {created_at: now on insert, updated_at: now on change}", "id\n1\n",
			"SELECT id, created_at IS NOT NULL AND created_at <= now(), updated_at = created_at FROM people", []string{"1|true|true"},
			batch.Counters{Read: 1, Inserted: 1},
		},
		{
			"bad rows", people, "table: people", "id,email\nx,a@x\n1\n2,b@x,more\n3,c\"d\n99999999999999999999,e@x\n4,f@x\n",
			"SELECT id, email FROM people ORDER BY id", []string{"4|f@x"}, batch.Counters{Read: 6, Inserted: 1, Rejected: 5},
		},
		{
			"a constraint that only the table knows", `CREATE TABLE public.people (id bigint CHECK (id <> 2), email text)`, "table: people",
			"id,email\n1,a\n2,b\n3,c\n", "SELECT id FROM people ORDER BY id", []string{"1", "3"}, batch.Counters{Read: 3, Inserted: 2, Rejected: 1},
		},
		{
			"header only", people, "table: people", "id,email\n", "SELECT id FROM people", []string{}, batch.Counters{},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tt.table, tt.fields)
			info := b.load(t, tt.file)
			if info.Status == batch.Failed {
				t.Fatal(*info.Error)
			}
			if diff := cmp.Diff(tt.want, b.rows(t, tt.query)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.counters, info.Counters); diff != "" {
				t.Error(diff)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if diff := cmp.Diff(info.Counters, b.chunks); diff != "" {
				t.Errorf("what OnChunk got: %s", diff)
			}
			if info.Done != int64(len(tt.file)) && len(b.rows(t, tt.query)) > 0 {
				t.Errorf("done %d of %d bytes", info.Done, len(tt.file))
			}
		})
	}
}

func TestImportRejectsSayWhy(t *testing.T) {
	t.Parallel()

	b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, born date NOT NULL)`, "table: people\nmatch: [id]")
	info := b.load(t, "id,born\n1,2000-01-01\n\"2\n2\",2000-01-01\n3,2026-02-30\n4,\n5,2000-01-01,x\n")
	rejects, err := b.Ledger.Rejects(context.Background(), info.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rejects {
		got = append(got, fmt.Sprintf("%d %d @%d %s %s %q", r.Ordinal, r.Line, r.Offset, r.Code, r.Column, r.Raw))
	}
	want := []string{
		`2 3 @21 22P02 id "\"2\n2\",2000-01-01"`,
		`3 5 @38 22008 born "3,2026-02-30"`,
		`4 6 @51 23502 born "4,"`,
		`5 7 @54 field_count  "5,2000-01-01,x"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestImportOfUnclearDates(t *testing.T) {
	t.Parallel()

	const file = "id,born\n1,2025-01-02\n2,01/02/2025\n3,2 Jan 2025\n4,01-Feb-03\n"
	b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, born date)`, "table: people")
	info := b.load(t, file)
	if diff := cmp.Diff([]string{"1|2025-01-02", "3|2025-01-02"}, b.rows(t, "SELECT id, born::text FROM people ORDER BY id")); diff != "" {
		t.Errorf("%s: %s", info.Status, diff)
	}
	rejects, err := b.Ledger.Rejects(context.Background(), info.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rejects {
		got = append(got, r.Code+" "+r.Reason)
	}
	want := []string{
		`22007 column "born": "01/02/2025" may be 2025-01-02 (layout: MM/dd/yyyy) or 2025-02-01 (layout: dd/MM/yyyy); say how the column is written: type: date, and its layout`,
		`22007 column "born": "01-Feb-03" may be 2003-02-01 (layout: dd-MMM-yy) or 2001-02-03 (layout: yy-MMM-dd); say how the column is written: type: date, and its layout`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// The layout that the reject says is one.
	b = setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, born date)`, "table: people\ncolumns: {id: id, born: {field: born, type: date, layout: [MM/dd/yyyy, dd-MMM-yy, iso, d MMM yyyy]}}")
	b.load(t, file)
	if diff := cmp.Diff([]string{"1|2025-01-02", "2|2025-01-02", "3|2025-01-02", "4|2003-02-01"}, b.rows(t, "SELECT id, born::text FROM people ORDER BY id")); diff != "" {
		t.Error(diff)
	}
}

func TestImportPutsAsideWhatTriggersRefuse(t *testing.T) {
	t.Parallel()

	b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, name text);
		CREATE FUNCTION no_eve() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name = 'Eve' THEN RAISE '% is not welcome', NEW.name; END IF; RETURN NEW; END $$;
		CREATE TRIGGER no_eve BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION no_eve()`, "table: people\nmatch: [id]")
	info := b.load(t, "id,name\n1,Ada\n2,Eve\n3,Joan\n")
	if info.Status != batch.SucceededWithRejects {
		t.Fatalf("%s: %v", info.Status, info.Error)
	}
	rejects, err := b.Ledger.Rejects(context.Background(), info.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(rejects) != 1 || rejects[0].Line != 3 || rejects[0].Code != "P0001" || rejects[0].Reason != "Eve is not welcome" {
		t.Errorf("%+v", rejects)
	}
}

func TestImportRejectLimit(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name, limit string
		rows, bad   int
		failed      bool
	}{
		{"at the limit", "{rows: 10}", 100, 10, false},
		{"over the limit", "{rows: 10}", 100, 11, true},
		{"ratio of a few rows", "{rows: 1000, ratio: 1%}", 500, 50, false},
		{"ratio of many", "{rows: 1000, ratio: 1%}", 2000, 50, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `CREATE TABLE public.n (n int)`, "table: n\nreject_limit: "+tt.limit)
			var file strings.Builder
			file.WriteString("n\n")
			for i := range tt.rows {
				if i < tt.bad {
					file.WriteString("bad\n")
				} else {
					fmt.Fprintln(&file, i)
				}
			}
			info := b.load(t, file.String())
			if failed := info.Status == batch.Failed; failed != tt.failed {
				t.Errorf("%s: %v", info.Status, info.Error)
			}
			if tt.failed && !strings.Contains(*info.Error, "reject_limit") {
				t.Error(*info.Error)
			}
		})
	}
}

func TestImportUpdateTouchesOnlyWhatChanged(t *testing.T) {
	t.Parallel()

	b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, name text, updated_at timestamptz)`,
		"table: people\nmatch: [id]\non_conflict: update\nset: {updated_at: now on change}")
	b.load(t, "id,name\n1,Ada\n2,Grace\n3,Joan\n")
	before := b.rows(t, "SELECT xmin::text, updated_at FROM people WHERE id <> 2 ORDER BY id")
	info := b.load(t, "id,name\n1,Ada\n2,Grace H.\n3,Joan\n4,New\n")
	if diff := cmp.Diff(batch.Counters{Read: 4, Inserted: 1, Updated: 1, Unchanged: 2}, info.Counters); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, b.rows(t, "SELECT xmin::text, updated_at FROM people WHERE id IN (1, 3) ORDER BY id")); diff != "" {
		t.Errorf("rows that did not change were written: %s", diff)
	}
}

func TestImportThatCannotBegin(t *testing.T) {
	t.Parallel()

	const table = `CREATE TABLE public.people (id int PRIMARY KEY, email text)`
	tests := []struct {
		name, table, fields, file, want string
	}{
		{"no table", "", "table: people", "id\n1\n", "no such table"},
		{"no unique index", table, "table: people\nmatch: [email]", "id,email\n1,a\n", "unique index"},
		{"field missing", table, "table: people\ncolumns: {id: nr}", "id\n1\n", `the file has no field "nr"`},
		{"field written otherwise", table, "table: people\ncolumns: {id: user_id}", "User ID\n1\n", `the file has no field "user_id", which column id needs; did you mean "User ID"?`},
		{"field twice", table, "table: people\ncolumns: {id: id}", "id,id\n1,1\n", `twice`},
		{"unknown column", table, "table: people", "id,emial\n1,a\n", `emial`},
		{"empty", table, "table: people", "", "empty"},
		{"broken gzip", table, "table: people", "\x1f\x8b\x08\x00", "gzip"},
		{"wrong delimiter", table, "table: people\ndelimiter: \",\"", "id;email\n1;a\n2;b\n", `delimiter`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tt.table, tt.fields)
			info := b.load(t, tt.file)
			if info.Status != batch.Failed || !strings.Contains(*info.Error, tt.want) {
				t.Errorf("%s: %v", info.Status, info.Error)
			}
			var attempts int
			if err := b.Pool.QueryRow(context.Background(), `SELECT attempt FROM tidemill.river_job WHERE id = $1`, info.ID).Scan(&attempts); err != nil {
				t.Fatal(err)
			}
			if attempts != 1 {
				t.Errorf("tried %d times; trying again cannot help", attempts)
			}
		})
	}
}

func TestImportRefusesAChangedDefinition(t *testing.T) {
	t.Parallel()

	b := setup(t, `CREATE TABLE public.n (n int)`, "table: n\nreject_limit: {rows: 0}")
	info := b.load(t, "n\n1\nbad\n")
	if info.Status != batch.Failed || info.Done == 0 {
		t.Fatalf("%s, done %d", info.Status, info.Done)
	}
	changed, err := config.Parse("test.yaml", []byte("jobs:\n  load: {kind: import, table: m}\n"), &config.Opts{Kinds: workers.Configs()})
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Jobs["load"] = changed.Jobs["load"]
	if _, err := b.Ledger.Retry(context.Background(), info.ID, batch.RetryOpts{}); err != nil {
		t.Fatal(err)
	}
	info = b.WaitStatus(t, info.ID, batch.Failed)
	if !strings.Contains(*info.Error, "has changed since this run began") {
		t.Error(*info.Error)
	}
}
