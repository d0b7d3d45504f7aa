package bulk

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

func BenchmarkAppend(b *testing.B) {
	t := &Table{Schema: "public", Name: "t", Kind: 'r'}
	types := []uint32{oidInt8, oidText, oidText, oidText, oidInt4, oidBool, oidTimestamptz, oidNumeric}
	var names []string
	for i, oid := range types {
		names = append(names, fmt.Sprintf("c%d", i))
		t.Columns = append(t.Columns, Column{Name: names[i], BaseOID: oid, BaseMod: -1})
	}
	w, err := NewWriter(t, Spec{Columns: names})
	if err != nil {
		b.Fatal(err)
	}
	batch := w.NewBatch()
	r := row(1234567, "ann.example@example.com", "Ann", "Example", 42, "true", "2026-02-03 10:11:12", "1234.56")
	b.ReportAllocs()
	for b.Loop() {
		if batch.Size() > 8<<20 {
			batch.Reset()
		}
		if e := batch.Append(r); e != nil {
			b.Fatal(e)
		}
	}
	b.SetBytes(int64(batch.Size() / batch.Len()))
}

// BenchmarkWrite writes chunks of 50,000 rows of 80 bytes.
func BenchmarkWrite(b *testing.B) {
	const rows = 50_000
	for _, bench := range []struct {
		name   string
		mode   Conflict
		staged bool
		fresh  bool // new keys every time
	}{
		{"direct", Skip, false, true},
		{"staged/new", Skip, true, true},
		{"staged/update-unchanged", Update, true, false},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := setup(b, "CREATE TABLE t (id bigserial PRIMARY KEY, email text NOT NULL UNIQUE, first text, last text, age int, at timestamptz)")
			w := s.writer("t", Spec{Columns: []string{"email", "first", "last", "age", "at"}, Match: []string{"email"}, OnConflict: bench.mode})
			w.SetStaged(bench.staged)
			batch := w.NewBatch()
			n := 0
			for b.Loop() {
				if bench.fresh || n == 0 {
					batch.Reset()
					for range rows {
						n++
						if e := batch.Append(row(fmt.Sprintf("user%09d@example.com", n), "Firstname", "Lastname", 42, "2026-02-03 10:11:12")); e != nil {
							b.Fatal(e)
						}
					}
				}
				err := pgx.BeginFunc(s.ctx, s.conn, func(tx pgx.Tx) error {
					_, err := w.Write(s.ctx, tx, batch, 0)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkDuplicates imports 200,000 rows in chunks of 40,000: one row in a hundred has a key that came before, or none.
func BenchmarkDuplicates(b *testing.B) {
	few := fewDuplicates(200_000)
	none := make([][][]byte, len(few))
	for i := range none {
		none[i] = row(fmt.Sprintf("user%d@example.com", i), i)
	}
	for _, bench := range []struct {
		name   string
		rows   [][][]byte
		filter bool
	}{
		{"few/filter", few, true},
		{"few/no-filter", few, false},
		{"none/filter", none, true},
		{"none/no-filter", none, false},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := setup(b, "CREATE TABLE t (id bigserial PRIMARY KEY, k text NOT NULL UNIQUE, v int)")
			for b.Loop() {
				s.exec("TRUNCATE t")
				w := s.writer("t", Spec{Columns: []string{"k", "v"}, Match: []string{"k"}})
				if !bench.filter {
					w.keys = nil
				}
				for chunk := range slices.Chunk(bench.rows, 40_000) {
					s.write(w, chunk)
				}
			}
			b.ReportMetric(float64(len(bench.rows))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
