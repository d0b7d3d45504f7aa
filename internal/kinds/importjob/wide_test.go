package importjob_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
	"github.com/tidemill/tidemill/internal/testkind"
)

func TestImportOfWideTables(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{
		"", "\nmatch: [c0]\non_conflict: skip", "\nmatch: [c0]\non_conflict: update", "\nmatch: [c0]\non_conflict: error",
	} {
		t.Run(fields, func(t *testing.T) {
			t.Parallel()
			b := setup(t, testkind.WideTable(1599)+"INSERT INTO wide (c0, c1598) VALUES (2, 0)", "table: wide\nreject_limit: {rows: 10}"+fields)
			info := b.load(t, testkind.WideFile(1599, 3)+"x"+strings.Repeat(",9", 1598)+"\n")
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
	b := setup(t, testkind.WideTable(1600), "table: wide\nmatch: [c0]")
	info := b.load(t, testkind.WideFile(1600, 3)+"1"+strings.Repeat(",9", 1599)+"\n") // a row with a key that is there already
	const want = "columns: 1600 columns are written, and an import can write 1599 (leave one out)"
	if info.Error == nil {
		t.Fatal(info.Status)
	}
	if !strings.Contains(*info.Error, want) {
		t.Errorf("%s: %s, want %s", info.Status, *info.Error, want)
	}
	problems, err := importjob.CheckLive(t.Context(), b.Pool, b.cfg, b.cfg.Jobs["load"])
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Error(), "an import can write 1599") {
		t.Errorf("config check: %v, %v", problems, err)
	}
}
