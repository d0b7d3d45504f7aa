package keyset_test

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/testdb"
)

// A page reads its rows and no others, in the order of an index, wherever that has its NULLs.
func TestPagesFollowIndexes(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.URL(t))
	exec(t, pool, `CREATE TABLE many (a int, b int, filler text); INSERT INTO many SELECT i / 100, i % 100, repeat('x', 100) FROM generate_series(0, 29999) i`)
	for _, tt := range []struct {
		order []keyset.Column
		index string
	}{
		{columns("a", "b"), "a, b"},
		{columns("a", "b"), "a NULLS FIRST, b NULLS FIRST"},
		{columns("a", "b"), "a DESC NULLS LAST, b DESC NULLS LAST"},
		{columns("-a", "-b"), "a, b"},
		{columns("-a", "-b"), "a DESC NULLS LAST, b DESC NULLS LAST"},
		{columns("a", "-b"), "a, b DESC"},
		{columns("a", "-b"), "a DESC, b"},
		{columns("-a", "b"), "a NULLS FIRST, b DESC NULLS LAST"},
	} {
		exec(t, pool, "DROP INDEX IF EXISTS way; CREATE UNIQUE INDEX way ON many ("+tt.index+"); ANALYZE many")
		w := &keyset.Walk{Query: "SELECT * FROM many", Columns: tt.order}
		if err := w.Prepare(t.Context(), pool, 100); err != nil {
			t.Fatal(err)
		}
		args := w.NewArgs()
		until := map[bool]string{false: "299", true: "0"}
		query := w.Page("r.*", args, keyset.Span{After: []string{"150", "50"}, Until: []string{until[tt.order[0].Desc], "50"}}, 100)
		var plan string
		if err := pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+query, args.All()...).Scan(&plan); err != nil {
			t.Fatal(err)
		}
		var scans, read int64
		var look func(node gjson.Result)
		look = func(node gjson.Result) {
			if node.Get("Index Name").String() == "way" {
				scans++
				read += node.Get("Actual Rows").Int() + node.Get("Rows Removed by Filter").Int()
			}
			for _, below := range node.Get("Plans").Array() {
				look(below)
			}
		}
		look(gjson.Get(plan, "0.Plan"))
		// Where the direction changes the index leads to the first column's value.
		if scans != 1 || read < 101 || read > 201 || strings.Contains(plan, `Sort"`) {
			t.Errorf("by %v with an index on %s: %d scans read %d rows\n%s", tt.order, tt.index, scans, read, plan)
		}
	}
}
