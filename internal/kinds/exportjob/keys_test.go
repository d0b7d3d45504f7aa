package exportjob_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testkeys"
)

// Whatever the keys, the file has each row once and in order, or the run fails with an error that names the key.
func TestExportByRandomKeys(t *testing.T) {
	t.Parallel()
	b := setupExport(t, testkeys.Types, "table: public.walked")
	testkeys.Random(t, 40, false, func(t *testing.T, r *rand.Rand, table *testkeys.Table) {
		table.Create(t, b.catalog)
		source := []string{"table: public.walked\ncolumns: [id]", "query: SELECT * FROM public.walked", "query: SELECT * FROM public.walked -- all"}
		order, err := json.Marshal(table.Order)
		if err != nil {
			t.Fatal(err)
		}
		b.define(t, fmt.Sprintf("%s\norder_by: %s\nchunk: %d\nformat: ndjson", source[r.IntN(len(source))], order, 1+r.IntN(5)))
		info := b.WaitStatus(t, b.start(t, ""), batch.Succeeded, batch.Failed)
		var ids []int
		if info.Error == nil {
			file, _ := b.file(t, info)
			for lines := json.NewDecoder(bytes.NewReader(file)); ; {
				var row struct{ ID int }
				err := lines.Decode(&row)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, row.ID)
			}
		}
		table.Check(t, b.catalog, ids, deref(info.Error))
	})
}
