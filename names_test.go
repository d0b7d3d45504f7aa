package tidemill

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
)

// sqlWords are all the words of the SQL that is written in the code: aliases, names of columns, keywords, functions. A user
// may call a column like each of them, but for those that every table has.
func sqlWords(t *testing.T) []string {
	t.Helper()
	isSQL := regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|COPY|FROM|WHERE|WITH|AS|ORDER BY|OVER|RETURNING|EXISTS)\b`)
	word := regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
	everyTable := []string{"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "id", "at"}
	found := map[string]bool{}
	for _, folder := range []string{"internal/kinds/*job", "internal/keyset", "internal/statement", "internal/bulk", "batch"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				text, ok := n.(*ast.BasicLit)
				if !ok || text.Kind != token.STRING {
					return true
				}
				value, err := strconv.Unquote(text.Value)
				// An alias may be in a piece of a statement: ") q".
				if err != nil || !isSQL.MatchString(value) && len(value) > 12 {
					return true
				}
				for _, w := range word.FindAllString(value, -1) {
					if w = strings.ToLower(w); len(w) < 64 && !slices.Contains(everyTable, w) {
						found[w] = true
					}
				}
				return true
			})
		}
	}
	words := make([]string, 0, len(found))
	for w := range found {
		words = append(words, w)
	}
	slices.Sort(words)
	return words
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// A table may be called, and its columns be called, like anything that our SQL has a name for.
func TestColumnsOfEveryName(t *testing.T) {
	t.Parallel()
	words := sqlWords(t)
	for _, must := range []string{"r", "q", "s", "t", "w", "n", "doc", "key", "excluded", "tidemill_ord", "select", "user", "count"} {
		if !slices.Contains(words, must) {
			t.Fatalf("%s is not among the words of the code's SQL: %q", must, words)
		}
	}
	tables := []string{"q", "tidemill_ref", "tidemill_walked", "tidemill_stage", "r", "select"}
	const most = 350
	for i := 0; len(words) > 0; i++ {
		n := min(most, len(words))
		name := tables[i%len(tables)]
		columns := words[:n]
		words = words[n:]
		t.Run(fmt.Sprintf("%s from %s to %s", name, columns[0], columns[n-1]), func(t *testing.T) {
			t.Parallel()
			b := setupNames(t, name, columns)
			b.exports(t)
			b.imports(t)
			b.each(t)
			b.cleans(t)
		})
	}
	for _, name := range tables[min(len(tables), 3):] {
		t.Run("a table "+name, func(t *testing.T) {
			t.Parallel()
			b := setupNames(t, name, []string{"q", "r", name + "_"})
			b.exports(t)
			b.imports(t)
			b.each(t)
			b.cleans(t)
		})
	}
}

type namesBundle struct {
	app     *App
	table   string // quoted
	columns []string
}

const namesRows = 5

func setupNames(t *testing.T, table string, columns []string) *namesBundle {
	t.Helper()
	b := &namesBundle{table: `"from".` + quoted(table), columns: columns}
	of := func(name string) string { return strconv.Quote(`"from".` + quoted(name)) }
	yaml := "queues: {default: 10, low: 1}\nstorage: {url: \"file://" + t.TempDir() + "\"}\nretry: {max_attempts: 1}\njobs:\n" +
		"  letter: {kind: letter, queue: low}\n" +
		"  load: {kind: import, table: " + of("copy of "+table) + ", match: [id], on_conflict: update}\n" +
		"  skip: {kind: import, table: " + of("copy of "+table) + ", match: [id], on_conflict: skip}\n" +
		"  walk: {kind: each, query: " + strconv.Quote("SELECT * FROM "+b.table) + ", order_by: [id], enqueue: {job: letter}}\n" +
		"  tidy: {kind: cleanup, archive: csv, rules: [{table: " + of(table) + ", column: at, expired: true}]}\n"
	hidden, _ := json.Marshal(columns)
	for _, format := range []string{"csv", "ndjson"} {
		yaml += "  keyset " + format + ": {kind: export, format: " + format + ", table: " + of(table) + ", chunk: 2, consistency: keyset}\n" +
			"  snapshot " + format + ": {kind: export, format: " + format + ", table: " + of(table) + ", consistency: snapshot}\n" +
			"  hidden " + format + ": {kind: export, format: " + format + ", table: " + of(table) + ", columns: " + string(hidden) + "}\n" +
			"  query " + format + ": {kind: export, format: " + format + ", query: " + strconv.Quote("SELECT * FROM "+b.table) + ", order_by: [id], chunk: 2}\n"
	}
	b.app = setup(t, strings.NewReplacer("keyset ", "keyset-", "snapshot ", "snapshot-", "hidden ", "hidden-", "query ", "query-").Replace(yaml))
	river.AddWorker(b.app.Workers, &letterWorker{})
	if _, err := b.app.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	var define, values []string
	for _, c := range columns {
		define = append(define, quoted(c)+" text")
		values = append(values, "'"+c+" of ' || i")
	}
	b.exec(t, `CREATE SCHEMA "from"; CREATE TABLE `+b.table+" (id int PRIMARY KEY, at timestamptz, "+strings.Join(define, ", ")+`); CREATE INDEX ON `+b.table+` (at);
		INSERT INTO `+b.table+` SELECT i, '2026-01-01', `+strings.Join(values, ", ")+fmt.Sprint(` FROM generate_series(1, `, namesRows, `) i;
		CREATE TABLE "from".`, quoted("copy of "+table), ` (LIKE `, b.table, ` INCLUDING ALL);
		CREATE TABLE "from".refers ("tidemill_ref" int REFERENCES `, b.table, `); CREATE INDEX ON "from".refers (tidemill_ref); INSERT INTO "from".refers VALUES (2)`))
	workOn(t, b.app, "default")
	return b
}

func (b *namesBundle) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := b.app.Pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// done waits for the end of a run that must succeed.
func (b *namesBundle) done(t *testing.T, id int64) *batch.Info {
	t.Helper()
	info := waitEnd(t, b.app, id)
	if info.Status != batch.Succeeded {
		why := ""
		if info.Error != nil {
			why = *info.Error
		}
		t.Fatalf("run %d of %s is %s: %s", id, info.Job, info.Status, why)
	}
	return info
}

func (b *namesBundle) file(t *testing.T, job string) string {
	t.Helper()
	id := startEach(t, b.app, job, nil)
	b.done(t, id)
	var file bytes.Buffer
	if err := b.app.Download(t.Context(), id, &file, nil); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

func (b *namesBundle) exports(t *testing.T) {
	t.Helper()
	for _, how := range []string{"keyset", "snapshot", "hidden", "query"} {
		for _, format := range []string{"csv", "ndjson"} {
			rows := records(t, format, b.file(t, how+"-"+format))
			if len(rows) != namesRows {
				t.Errorf("%s %s: %d rows", how, format, len(rows))
			}
			for i, row := range rows {
				for _, c := range b.columns {
					if want := fmt.Sprint(c, " of ", i+1); row[c] != want {
						t.Fatalf("%s %s: column %s of row %d is %v, want %s", how, format, c, i+1, row[c], want)
					}
				}
			}
		}
	}
}

// records are the rows of a file by their columns' names.
func records(t *testing.T, format, text string) (rows []map[string]any) {
	t.Helper()
	if format == "ndjson" {
		for line := range strings.Lines(text) {
			var row map[string]any
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
		return rows
	}
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		row := map[string]any{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func (b *namesBundle) imports(t *testing.T) {
	t.Helper()
	text := b.file(t, "keyset-csv")
	copied := `"from".` + quoted("copy of "+strings.Trim(strings.TrimPrefix(b.table, `"from".`), `"`))
	for i, step := range []struct{ job, text string }{{"load", text}, {"load", strings.ReplaceAll(text, " of 3", " of three")}, {"skip", text + "\n"}, {"load", text + "\n\n"}} {
		started, err := b.app.ImportFile(t.Context(), step.job, "file.csv", strings.NewReader(step.text), ImportOpts{})
		if err != nil {
			t.Fatal(err)
		}
		b.done(t, started.ID)
		differ := must(ask[int](t, b.app, "SELECT count(*)::int FROM (TABLE "+b.table+" EXCEPT TABLE "+copied+") x"))
		if want := []int{0, 1, 1, 0}[i]; differ != want {
			t.Errorf("step %d, %s: %d rows differ, want %d", i, step.job, differ, want)
		}
	}
}

func (b *namesBundle) each(t *testing.T) {
	t.Helper()
	b.done(t, startEach(t, b.app, "walk", nil))
	got := must(ask[string](t, b.app, `SELECT jsonb_agg(args - 'at' ORDER BY args->'id')::text FROM tidemill.river_job WHERE kind = 'letter'`))
	want := make([]map[string]any, namesRows)
	for i := range want {
		want[i] = map[string]any{"id": float64(i + 1)}
		for _, c := range b.columns {
			want[i][c] = fmt.Sprint(c, " of ", i+1)
		}
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(got), &rows); err != nil {
		t.Fatalf("%v in %.300s", err, got)
	}
	if diff := gocmp.Diff(want, rows); diff != "" {
		t.Errorf("params of the children (-want +got):\n%.2000s", diff)
	}
}

// cleans deletes all rows but the one that is referred to.
func (b *namesBundle) cleans(t *testing.T) {
	t.Helper()
	b.done(t, startEach(t, b.app, "tidy", nil))
	if got := must(ask[string](t, b.app, "SELECT string_agg(id::text, ' ') FROM "+b.table)); got != "2" {
		t.Errorf("rows %s are left, want 2", cmp.Or(got, "none"))
	}
}

// waitEnd waits until a run has ended, however it did.
func waitEnd(t *testing.T, app *App, id int64) *batch.Info {
	t.Helper()
	var last *batch.Info
	ended := errors.New("ended")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err := app.Ledger.Watch(ctx, id, 10*time.Millisecond, func(info *batch.Info) error {
		if last = info; info.Status.Final() {
			return ended
		}
		return nil
	})
	if !errors.Is(err, ended) {
		if last != nil && last.Error != nil {
			t.Fatalf("run %d is %s: %s", id, last.Status, *last.Error)
		}
		t.Fatalf("run %d has not ended: %v", id, err)
	}
	return last
}
