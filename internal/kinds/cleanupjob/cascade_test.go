package cleanupjob_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/cleanupjob"
)

const (
	cascadeOrders = `CREATE TABLE orders (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON orders (at);
		INSERT INTO orders SELECT i, '2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 200) i;`
	cascadeLines = `CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE, made date);
		CREATE INDEX ON lines (order_id); CREATE INDEX ON lines (made);
		INSERT INTO lines SELECT i, i, '2026-01-01' FROM generate_series(1, 200) i WHERE i % 3 > 0;`
	cascadeNotes = `CREATE TABLE notes (id int PRIMARY KEY, line_id int REFERENCES lines ON DELETE CASCADE, at timestamptz);
		CREATE INDEX ON notes (line_id); CREATE INDEX ON notes (at);
		INSERT INTO notes SELECT id, id, '2026-01-02' FROM lines WHERE id % 2 = 0;`
	archiveOrders = "rules: [{table: orders, column: at, older_than: 30d}]\narchive: csv"
)

// archived counts the rows of a table in the archive of a run, by their first column.
func (b *cleanupBundle) archived(t *testing.T, into map[string]int, result cleanupjob.Result, table string) {
	t.Helper()
	if result.Archive == nil {
		return
	}
	var files []string
	err := filepath.WalkDir(filepath.Join(b.folder, result.Archive.Folder), func(path string, entry os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "-"+table+".csv") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(file).ReadAll()
		file.Close()
		if err != nil || len(rows) < 2 {
			t.Fatalf("%s: %d rows, %v", name, len(rows), err)
		}
		for _, row := range rows[1:] {
			into[row[0]]++
		}
	}
}

func TestCleanupWithArchiveRefusesCascades(t *testing.T) {
	t.Parallel()

	tests := []struct{ name, tables, fields, rule, want, hint string }{
		{
			"no rule for the children", cascadeOrders + cascadeLines, archiveOrders, "0",
			"rows of public.lines are deleted with those of orders (lines_order_id_fkey, ON DELETE CASCADE), and would be in no archive",
			"add a rule for the children before this one: {table: public.lines, column: made, older_than: 30d}; or say archive: none",
		},
		{
			"the children's rule comes later", cascadeOrders + cascadeLines,
			"rules: [{table: orders, column: at, expired: true}, {table: lines, column: made, expired: true}]\narchive: csv", "0",
			"rows of public.lines are deleted", "{table: public.lines, column: made, expired: true}",
		},
		{
			"children of the children", cascadeOrders + cascadeLines + cascadeNotes,
			"rules: [{table: lines, column: made, older_than: 30d}, {table: orders, column: at, older_than: 30d}]\narchive: csv", "0",
			"rows of public.notes are deleted with those of lines (notes_line_id_fkey", "{table: public.notes, column: at, older_than: 30d}",
		},
		{
			"a partition whose parent is referred to",
			`CREATE TABLE orders (id int, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE TABLE orders_a PARTITION OF orders DEFAULT;
				CREATE INDEX ON orders (at); CREATE TABLE lines (order_id int, at timestamptz, FOREIGN KEY (order_id, at) REFERENCES orders ON DELETE CASCADE);
				CREATE INDEX ON lines (order_id, at)`,
			"rules: [{table: orders_a, column: at, older_than: 30d}]\narchive: csv", "0", "rows of public.lines are deleted with those of orders_a", "column: at",
		},
		{
			"children without a date", cascadeOrders + `CREATE TABLE tags (order_id int REFERENCES orders ON DELETE CASCADE); CREATE INDEX ON tags (order_id)`,
			archiveOrders, "0", "rows of public.tags are deleted", "{table: public.tags, column: COLUMN, older_than: 30d}",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setupCleanup(t, tt.tables, tt.fields)
			info, _ := b.run(t)
			if info.Status != batch.Failed || !strings.Contains(*info.Error, tt.want) || !strings.Contains(*info.Error, tt.hint) {
				t.Errorf("%s: %s", info.Status, *info.Error)
			}
			if info.Counters.Deleted != 0 {
				t.Errorf("%d rows were deleted", info.Counters.Deleted)
			}
			problems, err := cleanupjob.CheckLive(context.Background(), b.Pool, b.cfg, b.cfg.Jobs["tidy"])
			if err != nil || len(problems) != 1 || problems[0].Path != "jobs.tidy.rules["+tt.rule+"].table" || !strings.Contains(problems[0].Message, tt.want) {
				t.Errorf("check: %v, %v", problems, err)
			}
			if _, err := cleanupjob.CountDue(context.Background(), b.Pool, b.cfg.Jobs["tidy"], cleanupDue, b.cfg.Location()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("dry run: %v", err)
			}
		})
	}
}

// Every row that is gone is in the archive, also those to which rows referred.
func TestCleanupArchivesChildrenFirst(t *testing.T) {
	t.Parallel()
	b := setupCleanup(t, cascadeOrders+cascadeLines+cascadeNotes+`
		UPDATE notes SET at = '2026-03-09' WHERE id = 20; UPDATE lines SET made = '2026-03-09' WHERE id = 50`,
		"rules: [{table: notes, column: at, older_than: 30d}, {table: lines, column: made, older_than: 30d}, {table: orders, column: at, older_than: 30d}]\nbatch: 30\nmax_batch: 30\narchive: csv")
	b.exec(t, "CREATE TABLE was AS SELECT 'notes' AS t, id FROM notes UNION ALL SELECT 'lines', id FROM lines UNION ALL SELECT 'orders', id FROM orders")
	_, result := b.done(t)
	for _, table := range []string{"notes", "lines", "orders"} {
		got := map[string]int{}
		b.archived(t, got, result, table)
		var gone []string
		rows := b.list(t, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM was WHERE t = '"+table+"' AND id NOT IN (SELECT id FROM "+table+")")
		gone = strings.Fields(rows)
		if len(got) != len(gone) {
			t.Errorf("%s: %d rows are gone, %d in the archive", table, len(gone), len(got))
		}
		for _, id := range gone {
			if got[id] != 1 {
				t.Errorf("%s: row %s is in the archive %d times", table, id, got[id])
			}
		}
	}
	if got := b.list(t, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM orders"); got != "20 50" {
		t.Errorf("orders left: %s, want those with lines", got)
	}
	if got := b.list(t, "SELECT (SELECT string_agg(id::text, ' ' ORDER BY id) FROM lines) || ', ' || (SELECT string_agg(id::text, ' ') FROM notes)"); got != "20 50, 20 50" && got != "20 50, 20" {
		t.Errorf("left: %s", got)
	}
	if rule := result.Rules[2]; rule.Deleted != 198 || rule.Kept != 2 || rule.Why != "other rows refer to them" {
		t.Errorf("%+v", rule)
	}
}

// Trees within one table go from the leaves, however they lie in chunks; rows that come meanwhile keep what they refer to.
func TestCleanupArchivesTrees(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var values []string
	for id := range 300 {
		parent := "NULL"
		if id > 0 && random.IntN(4) > 0 {
			parent = fmt.Sprint(random.IntN(id))
		}
		values = append(values, fmt.Sprintf("(%d, %s, '2026-01-01'::timestamptz + %d * interval '1 minute')", id, parent, random.IntN(100)))
	}
	b := setupCleanup(t, `CREATE TABLE posts (id int PRIMARY KEY, parent int REFERENCES posts ON DELETE CASCADE, at timestamptz);
		CREATE INDEX ON posts (at); CREATE INDEX ON posts (parent); INSERT INTO posts VALUES `+strings.Join(values, ", "),
		"rules: [{table: posts, column: at, older_than: 30d}]\nbatch: "+fmt.Sprint(1+random.IntN(60))+"\nmax_batch: 100\narchive: csv")

	stop := make(chan struct{})
	var inserting sync.WaitGroup
	come := map[string]bool{}
	inserting.Go(func() {
		for id := 1000; ; id++ {
			select {
			case <-stop:
				return
			default:
			}
			tag, err := b.Pool.Exec(context.Background(), `INSERT INTO posts SELECT $1, id, '2026-03-09' FROM posts ORDER BY random() LIMIT 1 ON CONFLICT DO NOTHING`, id)
			if err == nil && tag.RowsAffected() > 0 {
				come[fmt.Sprint(id)] = true
			}
		}
	})
	got := map[string]int{}
	_, result := b.done(t)
	close(stop)
	inserting.Wait()
	b.archived(t, got, result, "posts")
	left := strings.Fields(b.list(t, "SELECT string_agg(id::text, ' ') FROM posts"))
	for id := range come {
		if !slices.Contains(left, id) {
			t.Errorf("row %s, which was not due, is gone", id)
		}
	}
	if n := len(left) - len(come); n+len(got) != 300 {
		t.Errorf("of 300 rows %d are left and %d in the archive", n, len(got))
	}
	if rule := result.Rules[0]; rule.Deleted != int64(len(got)) || rule.Deleted+rule.Kept+rule.Skipped != 300 {
		t.Errorf("%+v, and %d in the archive", rule, len(got))
	}

	b.exec(t, "DELETE FROM posts WHERE id >= 1000")
	for runs := 0; b.list(t, "SELECT count(*)::text FROM posts") != "0"; runs++ {
		if runs > 60 {
			t.Fatal("some rows never go")
		}
		_, result := b.done(t)
		b.archived(t, got, result, "posts")
	}
	for id := range 300 {
		if got[fmt.Sprint(id)] != 1 {
			t.Errorf("row %d is in the archive %d times", id, got[fmt.Sprint(id)])
		}
	}
}

func TestCleanupNamesWhatGoesAlong(t *testing.T) {
	t.Parallel()
	const more = `CREATE TABLE audit (line int REFERENCES lines ON DELETE SET NULL); CREATE INDEX ON audit (line);
		CREATE TABLE parts (note int REFERENCES notes ON DELETE CASCADE, k int) PARTITION BY LIST (k); CREATE TABLE parts_a PARTITION OF parts (PRIMARY KEY (k)) DEFAULT;
		CREATE TABLE below (k int REFERENCES parts_a ON DELETE CASCADE);
		CREATE TABLE bills (order_id int REFERENCES orders); CREATE INDEX ON bills (order_id)`
	b := setupCleanup(t, cascadeOrders+cascadeLines+cascadeNotes+more, "rules: [{table: orders, column: at, older_than: 30d}]")
	want := []cleanupjob.Effect{
		{Table: "lines", Key: "lines_order_id_fkey", Of: "orders", Action: cleanupjob.EffectDelete},
		{Table: "audit", Key: "audit_line_fkey", Of: "lines", Action: cleanupjob.EffectSetNull},
		{Table: "below", Key: "below_k_fkey", Of: "parts_a", Action: cleanupjob.EffectDelete},
		{Table: "notes", Key: "notes_line_id_fkey", Of: "lines", Action: cleanupjob.EffectDelete},
		{Table: "parts", Key: "parts_note_fkey", Of: "notes", Action: cleanupjob.EffectDelete},
	}
	counts, err := cleanupjob.CountDue(context.Background(), b.Pool, b.cfg.Jobs["tidy"], cleanupDue, b.cfg.Location())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, counts[0].Effects); diff != "" {
		t.Errorf("dry run: %s", diff)
	}
	effects, err := cleanupjob.Effects(context.Background(), b.Pool, b.cfg.Jobs["tidy"])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]cleanupjob.Effect{want}, effects); diff != "" {
		t.Errorf("check: %s", diff)
	}
	_, result := b.done(t)
	if diff := cmp.Diff(want, result.Rules[0].Effects); diff != "" {
		t.Errorf("run: %s", diff)
	}
	job := *b.cfg.Jobs["tidy"].Spec.(*cleanupjob.Config)
	job.Archive = "csv"
	def := *b.cfg.Jobs["tidy"]
	def.Spec = &job
	effects, err = cleanupjob.Effects(context.Background(), b.Pool, &def)
	kept := []cleanupjob.Effect{{Table: "lines", Key: "lines_order_id_fkey", Of: "orders", Action: cleanupjob.EffectKeep}}
	if diff := cmp.Diff([][]cleanupjob.Effect{kept}, effects); diff != "" || err != nil {
		t.Errorf("with an archive: %v %s", err, diff)
	}
}
