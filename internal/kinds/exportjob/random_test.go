package exportjob_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var roundTripSeed = flag.Uint64("roundtrip.seed", 0, "of the first table; those after it have the next ones; 0 = by the clock, printed")

// What is exported and imported again is what it was, whatever the table: of 1 to 40 columns of any type, with NULL anywhere.
func TestRandomTablesComeBack(t *testing.T) {
	t.Parallel()
	seed := *roundTripSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	b := setupExport(t, "CREATE TABLE public.source (n int); CREATE TABLE public.copy (n int)", "table: source")
	ctx := context.Background()
	for round := range uint64(12) {
		r := rand.New(rand.NewPCG(seed+round, 7))
		width := 1 + r.IntN(40)
		if round < 4 {
			width = 1 + int(round)/2 // 1 and 2 are where blank lines and single fields are
		}
		repeat := fmt.Sprintf("seed %d, %d columns: go test ./internal/kinds/exportjob -run RandomTablesComeBack -roundtrip.seed %[1]d", seed+round, width)
		if _, err := b.catalog.Exec(ctx, "DROP TABLE source, copy;"+randomTable(r, width)+"; CREATE TABLE public.copy (LIKE source)"); err != nil {
			t.Fatalf("%v\n%s", err, repeat)
		}
		form := ""
		if r.IntN(2) == 0 {
			form = "\nline_end: crlf"
		}
		b.define(t, "query: SELECT * FROM source\nconsistency: snapshot\nformulas: keep"+form)
		file, result := b.dump(t, "")
		importFile(t, b, file, form)
		var lost, added, count int64
		if err := b.catalog.QueryRow(ctx, `SELECT (SELECT count(*) FROM (SELECT s::text FROM source s EXCEPT ALL SELECT c::text FROM copy c) x),
			(SELECT count(*) FROM (SELECT c::text FROM copy c EXCEPT ALL SELECT s::text FROM source s) x), (SELECT count(*) FROM copy)`).Scan(&lost, &added, &count); err != nil {
			t.Fatal(err)
		}
		if lost != 0 || added != 0 || count != result.Rows {
			t.Errorf("%d rows are lost, %d are new, %d of %d are there\n%s\n%.400q", lost, added, count, result.Rows, repeat, file)
		}
		t.Log(repeat)
	}
}

// randomTable is the SQL that makes the table source.
func randomTable(r *rand.Rand, width int) string {
	types := slices.Sorted(maps.Keys(typeSamples))
	var define []string
	var pick [][]string
	for len(define) < width {
		name := types[r.IntN(len(types))]
		samples := typeSamples[name]
		if len(samples) == 0 {
			continue
		}
		kind := "pg_catalog." + pgx.Identifier{name}.Sanitize()
		values := []string{"NULL"}
		for _, sample := range samples {
			values = append(values, "'"+strings.ReplaceAll(sample, "'", "''")+"'")
		}
		if r.IntN(4) == 0 && name != "int2vector" && name != "oidvector" {
			values = []string{"NULL", "'{}'", fmt.Sprintf("ARRAY[NULL, %s]::%s[]", strings.Join(values[1:], ", "), kind)}
			kind += "[]"
		}
		define = append(define, fmt.Sprintf("c%d %s", len(define), kind))
		pick = append(pick, values)
	}
	sql := "CREATE TABLE public.source (" + strings.Join(define, ", ") + ")"
	for range 1 + r.IntN(60) {
		row := make([]string, width)
		for i := range row {
			row[i] = pick[i][0]
			if r.IntN(3) > 0 {
				row[i] = pick[i][r.IntN(len(pick[i]))]
			}
		}
		sql += ";INSERT INTO source VALUES (" + strings.Join(row, ", ") + ")"
	}
	return sql
}
