package bulk

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// textTable is a table that needs no server: three text columns and an int.
func textTable() *Table {
	return &Table{Schema: "public", Name: "t", Kind: 'r', OID: 1, Columns: []Column{
		{Name: "k", Num: 1, TypeOID: oidText, BaseOID: oidText, BaseMod: -1, TypeName: "text", NotNull: true},
		{Name: "n", Num: 2, TypeOID: oidInt4, BaseOID: oidInt4, BaseMod: -1, TypeName: "integer"},
		{Name: "v", Num: 3, TypeOID: oidVarchar, BaseOID: oidVarchar, BaseMod: 4 + 5, TypeName: "character varying(5)", NotNull: true},
		{Name: "o", Num: 4, TypeOID: oidText, BaseOID: oidText, BaseMod: -1, TypeName: "text"},
	}}
}

func textBatch(tb testing.TB) *Batch {
	tb.Helper()
	w, err := NewWriter(textTable(), Spec{Columns: []string{"k", "n", "v", "o"}})
	if err != nil {
		tb.Fatal(err)
	}
	return w.NewBatch()
}

func TestAppendEncodes(t *testing.T) {
	t.Parallel()
	b := textBatch(t)
	rows := [][][]byte{
		row("a", 1, "", nil),
		row("\\\t\n\r\\N\\.", nil, "日本", "x\\"),
		row("", -5, "é", ""),
	}
	for _, r := range rows {
		if e := b.Append(r); e != nil {
			t.Fatal(e)
		}
	}
	want := "a\t1\t\t\\N\n" + `\\\t\n\r\\N\\.` + "\t\\N\t日本\tx\\\\\n" + "\t-5\té\t\n"
	if d := cmp.Diff(want, string(b.buf)); d != "" {
		t.Error(d)
	}
	for i, r := range rows {
		for j, v := range r {
			if got := b.field(i, j); (got == nil) != (v == nil) || string(got) != string(v) {
				t.Errorf("field(%d, %d) = %q, want %q", i, j, got, v)
			}
		}
	}
	b.Reset()
	if b.Len() != 0 || b.Size() != 0 {
		t.Errorf("after Reset: %d rows, %d bytes", b.Len(), b.Size())
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 70)
	tests := []struct {
		name string
		row  [][]byte
		want RowError
	}{
		{"null", row(nil, 1, "v", "o"), RowError{0, "23502", "", "k", `column "k" is empty (NULL) and must not be`}},
		{"nul", row("a\x00b", 1, "v", "o"), RowError{0, "22021", "", "k", `column "k": "a\x00b" contains a NUL byte, which text cannot hold`}},
		{"utf-8", row("a", 1, "v", "\xff"), RowError{0, "22021", "", "o", `column "o": "\xff" is not valid UTF-8`}},
		{"utf-8 before type", row("a", "\xff", "v", ""), RowError{0, "22021", "", "n", `column "n": "\xff" is not valid UTF-8`}},
		{"int", row("a", "x", "v", ""), RowError{0, "22P02", "", "n", `column "n": "x" is not of type integer`}},
		{"range", row("a", "3000000000", "v", ""), RowError{0, "22003", "", "n", `column "n": "3000000000" is out of range for type integer`}},
		{"long", row("a", "1", long, ""), RowError{0, "22001", "", "v",
			`column "v": "` + strings.Repeat("ä", 60) + `"... has 70 characters, too long for type character varying(5)`}},
		{"count", row("a"), RowError{0, "22000", "", "", "the row has 1 values, expected 4"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := textBatch(t)
			e := b.Append(tt.row)
			if e == nil {
				t.Fatal("accepted")
			}
			if d := cmp.Diff(tt.want, *e); d != "" {
				t.Error(d)
			}
			if b.Len() != 0 || b.Size() != 0 {
				t.Errorf("the batch has %d rows, %d bytes", b.Len(), b.Size())
			}
			if e := b.Append(row("a", 1, "v", "o")); e != nil || string(b.buf) != "a\t1\tv\to\n" || b.Index(0) != 1 {
				t.Errorf("next row: %v, %q, index %d", e, b.buf, b.Index(0))
			}
		})
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	b := textBatch(t)
	r := row("ann@example.com", 12345, "a\tb", "日本語")
	fill := func() {
		b.Reset()
		for range 1000 {
			if e := b.Append(r); e != nil {
				t.Fatal(e)
			}
		}
	}
	if n := testing.AllocsPerRun(10, fill); n != 0 {
		t.Errorf("%v allocations for 1000 rows", n)
	}
}

func FuzzAppend(f *testing.F) {
	f.Add([]byte("a\\\t\n\r"), []byte("\\N"))
	f.Add([]byte("日本"), []byte("\xff\x00"))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		if x == nil || y == nil {
			return // not what the fuzzer is about: nil is NULL
		}
		b := textBatch(t)
		e := b.Append([][]byte{x, nil, []byte("v"), y})
		text := func(v []byte) bool { return utf8.Valid(v) && !strings.Contains(string(v), "\x00") }
		if (e == nil) != (text(x) && text(y)) {
			t.Fatalf("%q, %q: %v", x, y, e)
		}
		if e != nil {
			return
		}
		if strings.Count(string(b.buf), "\n") != 1 || strings.Count(string(b.buf), "\t") != 3 {
			t.Errorf("not one line of four: %q", b.buf)
		}
		if string(b.field(0, 0)) != string(x) || string(b.field(0, 3)) != string(y) {
			t.Errorf("%q, %q come back as %q, %q", x, y, b.field(0, 0), b.field(0, 3))
		}
	})
}
