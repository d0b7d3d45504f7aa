package cleanupjob_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testkind"
)

func TestCleanupOfWideTables(t *testing.T) {
	t.Parallel()
	tables := strings.Replace(testkind.WideTable(1600), "c1 smallint", "at date", 1) + "CREATE INDEX ON wide (at); INSERT INTO wide (c0, at, c1599) SELECT i, '2026-01-01', i FROM generate_series(1, 300) i"
	b := setupCleanup(t, tables, "rules: [{table: wide, column: at, older_than: 30d}]\narchive: csv")
	info, result := b.done(t)
	if diff := cmp.Diff(batch.Counters{Read: 300, Deleted: 300}, info.Counters); diff != "" || result.Archive == nil {
		t.Errorf("%s, archive %v", diff, result.Archive)
	}
}
