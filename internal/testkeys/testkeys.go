// Package testkeys makes random tables for tests of walks by key, and says what a walk must come to: every row once and in order, or an
// error that names the key.
package testkeys

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
)

var seedFlag = flag.Uint64("keys.seed", 0, "of the first random table; those after it have the next ones; 0 = by the clock, printed")

// Table is public.walked: a few key columns and a unique id.
type Table struct {
	Order []string // key columns
	Desc  []bool   // directions of Order
	setup string
}

// kinds are types of columns with values, some of which are equal in different forms. Their text is in quotes, or NULL.
func kinds() map[string]string {
	return map[string]string{
		`"char"`:                     `a b c`,
		"bit(3)":                     `000 001 101 111`,
		"boolean":                    `t f`,
		"bytea":                      `\x \x00 \xff00`,
		"char(3)":                    `a ab abc b`,
		"date":                       `-infinity 2026-01-01 2026-01-02 infinity`,
		"float4":                     `0.1 0.3 -0 0 1e30`,
		"float8":                     `0.3 0.30000000000000004 -0 0 NaN -Infinity 1e300`,
		"inet":                       `10.0.0.1 10.0.0.1/8 ::1`,
		"int4range":                  `empty [1,3) [1,2] [1,) (,)`,
		"integer":                    `-1 0 1 2 3 4 5 6`,
		"integer[]":                  `{} {1} {1,NULL} {1,2}`,
		"interval":                   `1day 24h 30d 1mon -1h`,
		"jsonb":                      `1 1.0 12345678901234567890 12345678901234567891 "a" {"a":null}`,
		"name":                       `a B \'`,
		"numeric":                    `1 1.0 1.00 1.1 NaN 12345678901234567890.1`,
		"oid":                        `0 1 4294967295`,
		"public.few":                 `1 2 3`,
		"public.mood":                `sad ok happy`,
		"public.pair":                `(,) (1,) (1,a) (2,"b'\\") (,a)`,
		"text":                       `a A b É z ' \ ,`,
		`text COLLATE "C"`:           `a A b É z ' \ ,`,
		"text COLLATE public.folded": `a A b É é z`,
		"time":                       `00:00 24:00 12:30:00.000001`,
		"timestamptz":                `-infinity 2026-01-01T00:00Z 2026-01-01T00:00:00.000001Z 0044-03-15T00:00Z`,
		"uuid":                       `00000000-0000-0000-0000-000000000001 00000000-0000-0000-0000-000000000002`,
	}
}

// Types are of the columns of random tables; a database has them once.
const Types = `CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy'); CREATE TYPE public.pair AS (x int, y text);
	CREATE DOMAIN public.few AS int CHECK (VALUE < 4);
	CREATE COLLATION public.folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);`

// Random calls fn with random tables, in databases that have Types. The name of each subtest has what to repeat it by. mixed has some keys
// descend.
func Random(t *testing.T, rounds uint64, mixed bool, fn func(t *testing.T, r *rand.Rand, table *Table)) {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for round := range rounds {
		t.Run(fmt.Sprintf("keys.seed=%d", seed+round), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed+round, 3))
			table := newTable(r, mixed)
			fn(t, r, table)
			if t.Failed() {
				t.Log(table.setup)
			}
		})
	}
}

func newTable(r *rand.Rand, mixed bool) *Table {
	all := kinds()
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	table := &Table{}
	var define []string
	var values [][]string
	for i := range 1 + r.IntN(3) {
		kind := names[r.IntN(len(names))]
		table.Order = append(table.Order, fmt.Sprintf("K %d", i))
		table.Desc = append(table.Desc, mixed && r.IntN(2) == 0)
		define = append(define, fmt.Sprintf(`"K %d" %s`, i, kind))
		samples := strings.Fields(all[kind])
		for j, sample := range samples {
			samples[j] = "'" + strings.ReplaceAll(sample, "'", "''") + "'"
		}
		values = append(values, samples)
	}
	nulls, repeats := r.IntN(3) == 0, r.IntN(5) == 0
	null := r.IntN(len(values)) // the column that has them: most often a single one
	var rows []string
	taken := map[string]bool{}
	for id := range 2 + r.IntN(40) {
		key := make([]string, len(values))
		for i, samples := range values {
			key[i] = samples[r.IntN(len(samples))]
			if nulls && i == null && r.IntN(20) == 0 {
				key[i] = "NULL"
			}
		}
		text := strings.Join(key, ", ")
		if !taken[text] || repeats {
			rows = append(rows, fmt.Sprintf("(%s, %d)", text, id))
		}
		taken[text] = true
	}
	table.setup = fmt.Sprintf("DROP TABLE IF EXISTS public.walked; CREATE TABLE public.walked (%s, id int); INSERT INTO public.walked VALUES %s;",
		strings.Join(define, ", "), strings.Join(rows, ", "))
	if r.IntN(2) == 0 {
		ends := []string{"", " DESC", " NULLS FIRST", " DESC NULLS LAST"}
		table.setup += "CREATE INDEX ON public.walked (" + table.by(func(int) string { return ends[r.IntN(len(ends))] }) + ");"
	}
	return table
}

func (table *Table) by(end func(i int) string) string {
	list := make([]string, len(table.Order))
	for i, name := range table.Order {
		list[i] = `"` + name + `"` + end(i)
	}
	return strings.Join(list, ", ")
}

// Create makes the table, in the place of the one before.
func (table *Table) Create(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if _, err := pool.Exec(context.Background(), table.setup); err != nil {
		t.Fatalf("%v\n%s", err, table.setup)
	}
}

// Check holds a walk against the table: ids are those of the rows that it has come by, in its order, and failed is its error, if any.
func (table *Table) Check(t *testing.T, pool *pgxpool.Pool, ids []int, failed string) {
	t.Helper()
	order := table.by(func(i int) string {
		if table.Desc[i] {
			return " DESC"
		}
		return ""
	})
	plain := func(int) string { return "" }
	null := table.by(func(int) string { return " IS NOT DISTINCT FROM NULL" })
	var want []int
	var bad bool
	err := pool.QueryRow(context.Background(), `SELECT (SELECT array_agg(id ORDER BY `+order+`) FROM walked),
		EXISTS (SELECT FROM walked WHERE true IN (`+null+`)) OR EXISTS (SELECT FROM walked GROUP BY `+table.by(plain)+` HAVING count(*) > 1)`).Scan(&want, &bad)
	if err != nil {
		t.Fatal(err)
	}
	if failed != "" {
		names := slices.ContainsFunc(table.Order, func(name string) bool { return strings.Contains(failed, name) })
		if !bad || !names || !strings.Contains(failed, "order_by") {
			t.Errorf("the walk failed, with repeats or NULL in the key: %t: %s", bad, failed)
		}
		return
	}
	if bad {
		// Rows of the same key have no order.
		slices.Sort(want)
		ids = slices.Sorted(slices.Values(ids))
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("rows by %s (-want +got):\n%s", order, diff)
	}
}
