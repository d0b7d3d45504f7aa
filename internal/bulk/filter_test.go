package bulk

import (
	"strconv"
	"testing"
)

func testFilter(lines int) *keyFilter {
	w := &Writer{
		table:   textTable(),
		spec:    Spec{Columns: []string{"k", "n"}, Match: []string{"n"}},
		columns: []*Column{{BaseOID: oidText}, {BaseOID: oidInt8}},
		isMatch: []bool{false, true},
	}
	f := newKeyFilter(w)
	f.size = lines
	return f
}

func TestFilterKnowsItsKeys(t *testing.T) {
	t.Parallel()
	for _, lines := range []int{1, 4, 1 << 10} {
		f := testFilter(lines)
		add := func(from, to int) (known int) {
			for i := from; i < to; i++ {
				// The first column is not in the key.
				_, yes, sure := f.add([][]byte{[]byte(strconv.Itoa(known)), []byte(strconv.Itoa(i))})
				if !sure {
					t.Fatalf("not sure of %d", i)
				}
				if yes {
					known++
				}
			}
			return known
		}
		f.begin()
		n := 32 * lines
		if known := add(0, n); known > n/4+8 {
			t.Errorf("%d lines: %d of %d new keys are known", lines, known, n)
		}
		if known := add(0, n); known != n {
			t.Errorf("%d lines: %d of %d keys are known the second time", lines, known, n)
		}
	}
}

func TestFilterIsPreciseForAMillionKeys(t *testing.T) {
	t.Parallel()
	f := testFilter(filterLines)
	f.begin()
	known := 0
	for i := range 1_000_000 {
		if _, yes, _ := f.add([][]byte{nil, strconv.AppendInt(nil, int64(i), 10)}); yes {
			known++
		}
	}
	if known > 20 {
		t.Errorf("%d of a million new keys are known", known)
	}
	if f.count != 1_000_000-known {
		t.Errorf("count: %d", f.count)
	}
}

// TestFilterForgetsBetweenBatches: a full filter is emptied, but not under a batch that is being filled.
func TestFilterForgetsBetweenBatches(t *testing.T) {
	t.Parallel()
	f := testFilter(1)
	key := func(i int) [][]byte { return row("", i) }
	generation := f.begin()
	for i := 0; f.count < keysPerLine; i++ {
		f.add(key(i))
		if i > 1_000_000 {
			t.Fatal("the filter knows all keys before it is full")
		}
	}
	if _, known, _ := f.add(key(0)); !known || f.generation != generation {
		t.Error("the filter forgot a key under way")
	}
	if f.begin() == generation {
		t.Error("a full filter is not emptied")
	}
	if _, known, _ := f.add(key(0)); known {
		t.Error("a key is known in an empty filter")
	}
}

func TestFilterIsForKeysOfKnownForm(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE EXTENSION IF NOT EXISTS citext;
		CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE DOMAIN code AS varchar(5); CREATE DOMAIN loosely AS text COLLATE loose;
		CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`)
	tests := []struct {
		kind string
		mode Conflict
		want bool
	}{
		{"text", Skip, true},
		{"text", Error, true},
		{"text", Update, true},
		{`text COLLATE "C"`, Skip, true},
		{"text COLLATE loose", Skip, false},
		{"loosely", Skip, false},
		{"varchar", Skip, true},
		{"code", Skip, true},
		{"char(3)", Skip, true},
		{"smallint", Skip, true},
		{"bigint", Skip, true},
		{"uuid", Skip, true},
		{"date", Skip, true},
		{"citext", Skip, false},
		{"numeric", Skip, false},
		{"timestamptz", Skip, false},
	}
	for _, tt := range tests {
		s.exec("DROP TABLE IF EXISTS t; CREATE TABLE t (n int, k " + tt.kind + ", UNIQUE (n, k))")
		w := s.writer("t", Spec{Columns: []string{"k", "n"}, Match: []string{"n", "k"}, OnConflict: tt.mode})
		if got := w.keys != nil; got != tt.want {
			t.Errorf("%s, mode %d: filter = %v", tt.kind, tt.mode, got)
		}
	}
	s.exec("DROP TABLE t; CREATE TABLE t (k int UNIQUE); CREATE TRIGGER same BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION same()")
	if w := s.writer("t", Spec{Columns: []string{"k"}, Match: []string{"k"}}); w.keys != nil {
		t.Error("a filter for a table whose rows are all staged")
	}
}
