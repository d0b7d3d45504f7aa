package workers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/workers"
)

// wideTable has as many columns as PostgreSQL allows.
func wideTable(columns int) string {
	list := make([]string, columns)
	for i := range list {
		list[i] = fmt.Sprintf("c%d smallint", i)
	}
	return "CREATE TABLE wide (" + strings.Join(list, ", ") + "); CREATE UNIQUE INDEX ON wide (c0);"
}

// wideFile has rows of which each field is the row's number.
func wideFile(columns, rows int) string {
	var b strings.Builder
	for row := range rows + 1 {
		for i := range columns {
			if i > 0 {
				b.WriteByte(',')
			}
			if row == 0 {
				fmt.Fprintf(&b, "c%d", i)
			} else {
				fmt.Fprint(&b, row)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestImportOfWideTables(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{
		"", "\nmatch: [c0]\non_conflict: skip", "\nmatch: [c0]\non_conflict: update", "\nmatch: [c0]\non_conflict: error",
	} {
		t.Run(fields, func(t *testing.T) {
			t.Parallel()
			b := setup(t, wideTable(1599)+"INSERT INTO wide (c0, c1598) VALUES (2, 0)", "table: wide\nreject_limit: {rows: 10}"+fields)
			info := b.load(t, wideFile(1599, 3)+"x"+strings.Repeat(",9", 1598)+"\n")
			if info.Status != batch.SucceededWithRejects {
				t.Fatalf("%s: %v", info.Status, info.Error)
			}
			want := []string{"1|1", "2|0", "3|3"}
			if strings.Contains(fields, "update") {
				want[1] = "2|2"
			}
			if diff := cmp.Diff(want, b.rows(t, "SELECT c0, c1598 FROM wide ORDER BY c0")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// One column more is taken by the table in which rows wait.
func TestImportOfTooManyColumns(t *testing.T) {
	t.Parallel()
	b := setup(t, wideTable(1600), "table: wide\nmatch: [c0]")
	info := b.load(t, wideFile(1600, 3)+"1"+strings.Repeat(",9", 1599)+"\n") // a row with a key that is there already
	const want = "columns: 1600 columns are written, and an import can write 1599 (leave one out)"
	if info.Error == nil {
		t.Fatal(info.Status)
	}
	if !strings.Contains(*info.Error, want) {
		t.Errorf("%s: %s, want %s", info.Status, *info.Error, want)
	}
	problems, err := workers.CheckImport(t.Context(), b.Pool, b.cfg, b.cfg.Jobs["load"])
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Error(), "an import can write 1599") {
		t.Errorf("config check: %v, %v", problems, err)
	}
}

func TestExportOfWideTables(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "ndjson"} {
		for _, consistency := range []string{"keyset", "snapshot"} {
			t.Run(format+" "+consistency, func(t *testing.T) {
				t.Parallel()
				insert := "INSERT INTO wide SELECT " + strings.TrimSuffix(strings.Repeat("i, ", 1600), ", ") + " FROM generate_series(1, 3) i"
				b := setupExport(t, wideTable(1600)+insert, fmt.Sprintf("table: wide\nformat: %s\nconsistency: %s\norder_by: [c0]", format, consistency))
				file, _ := b.dump(t, "{}")
				text := string(file)
				if format == "csv" && text != wideFile(1600, 3) {
					t.Errorf("%.200s", text)
				}
				if n := strings.Count(text, "\n"); format == "ndjson" && (n != 3 || !strings.Contains(text, `"c1599":3`)) {
					t.Errorf("%d lines, %.200s", n, text)
				}
			})
		}
	}
}

func TestCleanupOfWideTables(t *testing.T) {
	t.Parallel()
	tables := strings.Replace(wideTable(1600), "c1 smallint", "at date", 1) + "CREATE INDEX ON wide (at); INSERT INTO wide (c0, at, c1599) SELECT i, '2026-01-01', i FROM generate_series(1, 300) i"
	b := setupCleanup(t, tables, "rules: [{table: wide, column: at, older_than: 30d}]\narchive: csv")
	info, result := b.done(t)
	if diff := cmp.Diff(batch.Counters{Read: 300, Deleted: 300}, info.Counters); diff != "" || result.Archive == nil {
		t.Errorf("%s, archive %v", diff, result.Archive)
	}
}
