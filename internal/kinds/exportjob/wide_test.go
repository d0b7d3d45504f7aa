package exportjob_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/testkind"
)

func TestExportOfWideTables(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "ndjson"} {
		for _, consistency := range []string{"keyset", "snapshot"} {
			t.Run(format+" "+consistency, func(t *testing.T) {
				t.Parallel()
				insert := "INSERT INTO wide SELECT " + strings.TrimSuffix(strings.Repeat("i, ", 1600), ", ") + " FROM generate_series(1, 3) i"
				b := setupExport(t, testkind.WideTable(1600)+insert, fmt.Sprintf("table: wide\nformat: %s\nconsistency: %s\norder_by: [c0]", format, consistency))
				file, _ := b.dump(t, "{}")
				text := string(file)
				if format == "csv" && text != testkind.WideFile(1600, 3) {
					t.Errorf("%.200s", text)
				}
				if n := strings.Count(text, "\n"); format == "ndjson" && (n != 3 || !strings.Contains(text, `"c1599":3`)) {
					t.Errorf("%d lines, %.200s", n, text)
				}
			})
		}
	}
}
