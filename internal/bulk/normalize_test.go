package bulk

import (
	"strconv"
	"testing"
)

// TestFoldAgreesWithServer lets the server say which spellings are equal: those must have the same form, or none.
func TestFoldAgreesWithServer(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE DOMAIN code AS varchar(3)")
	tests := []struct {
		kind     string
		formless int // how many of the spellings have no form
		values   []string
	}{
		{"text", 0, []string{"", "a", "A", "a ", " a", "é", "e\u0301", "a\tb", "ab", "\\N", "\\"}},
		{"varchar", 0, []string{"", "a", "A", "a ", "a  "}},
		{"varchar(3)", 4, []string{"", "abc", "abc ", "abc   ", "ab", "ab ", "é  "}},
		{"code", 2, []string{"abc", "abc ", "abC", "abc  "}},
		{"char(3)", 0, []string{"", " ", "a", "a ", "a  ", "a    ", "A", " a", "a\t"}},
		{"int", 0, []string{"1", "+1", "01", " 1", "1 ", "\t1\n", "-1", "-01", "0", "-0", "+0", "00", "10", "100"}},
		{"bigint", 0, []string{"9223372036854775807", "09223372036854775807", "-9223372036854775808", "9223372036854775806"}},
		{"smallint", 0, []string{"7", "07", "-7"}},
		{"uuid", 0, []string{
			"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
			"a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "b0eebc999c0b4ef8bb6d6bb9bd380a11",
		}},
		{"date", 5, []string{"2026-02-03", "2026-02-04", "Feb 3 2026", "20260203", "2026-02-03 10:11:12", "2026-02-03 BC", "infinity"}},
	}
	for _, tt := range tests {
		s.exec("DROP TABLE IF EXISTS t; CREATE TABLE t (i int, k " + tt.kind + ")")
		var input [][][]byte
		forms := map[string]string{} // by index
		f := foldOf(s.describe("t").Column("k"))
		for i, v := range tt.values {
			input = append(input, row(i, v))
			if form, ok := f.append([]byte("x"), []byte(v)); ok {
				forms[strconv.Itoa(i)] = string(form)
			}
		}
		if n := len(tt.values) - len(forms); n != tt.formless {
			t.Errorf("%s: %d spellings without a form, want %d", tt.kind, n, tt.formless)
		}
		res, _ := s.write(s.writer("t", Spec{Columns: []string{"i", "k"}}), input)
		if res.Inserted != int64(len(input)) {
			t.Fatalf("%s: the server does not take the values: %+v", tt.kind, res.Rejected)
		}
		for _, pair := range s.rows("SELECT x.i, y.i FROM t x JOIN t y ON x.k = y.k") {
			x, knownX := forms[pair[0]]
			y, knownY := forms[pair[1]]
			if knownX && knownY && x != y {
				t.Errorf("%s: equal values have the forms %q and %q", tt.kind, x, y)
			}
		}
		for _, pair := range s.rows("SELECT x.i, y.i FROM t x JOIN t y ON x.k <> y.k") {
			if x, known := forms[pair[0]]; known && x == forms[pair[1]] {
				t.Errorf("%s: different values have the form %q", tt.kind, x)
			}
		}
	}
}
