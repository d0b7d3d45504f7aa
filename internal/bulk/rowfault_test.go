package bulk

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFaultsOfRows has the server refuse row 3 of 5 for reasons of every kind: it is put aside, whichever way rows go in.
func TestFaultsOfRows(t *testing.T) {
	t.Parallel()
	trigger := func(when, body string) string {
		return `CREATE FUNCTION check_row() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE x int; BEGIN IF NEW.k = 3 THEN ` + body + `; END IF; RETURN NEW; END $$;
			CREATE ` + when + ` ON t FOR EACH ROW EXECUTE FUNCTION check_row()`
	}
	tests := []struct{ name, code, ddl string }{
		{"raise", "P0001", trigger("TRIGGER c BEFORE INSERT", `RAISE 'no to %', NEW.k`)},
		{"raise after", "P0001", trigger("TRIGGER c AFTER INSERT", `RAISE 'no'`)},
		{"raise at the end", "P0001", trigger("CONSTRAINT TRIGGER c AFTER INSERT", `RAISE 'no'`)},
		{"raise with a code", "UE042", trigger("TRIGGER c BEFORE INSERT", `RAISE 'no' USING ERRCODE = 'UE042'`)},
		{"raise as if without rights", "42501", trigger("TRIGGER c BEFORE INSERT", `RAISE 'no' USING ERRCODE = '42501'`)},
		{"no data", "P0002", trigger("TRIGGER c BEFORE INSERT", `SELECT 1 INTO STRICT x WHERE false`)},
		{"too many rows", "P0003", trigger("TRIGGER c BEFORE INSERT", `SELECT i INTO STRICT x FROM generate_series(1, 2) i`)},
		{"a query with two rows", "21000", trigger("TRIGGER c BEFORE INSERT", `x := (SELECT i FROM generate_series(1, 2) i)`)},
		{"assert", "P0004", trigger("TRIGGER c BEFORE INSERT", `ASSERT NEW.k <> 3`)},
		{"a view's check option", "44000", `CREATE TABLE u (k int); CREATE VIEW small AS SELECT k FROM u WHERE k < 3 WITH CHECK OPTION;` +
			trigger("TRIGGER c BEFORE INSERT", `INSERT INTO small VALUES (NEW.k)`)},
		{"too large for an index", "54000", `CREATE INDEX ON t (v)`},
		{"too deep for the stack", "54001", `ALTER TABLE t ADD j jsonb; ` + trigger("TRIGGER c BEFORE INSERT", `NEW.j := (repeat('[', 100000) || repeat(']', 100000))::jsonb`)},
		{"a constraint", "23514", `ALTER TABLE t ADD CHECK (k <> 3)`},
	}
	large := fmt.Sprintf("%x", noise(6000)) // that no compression makes fit
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, "CREATE TABLE t (k int PRIMARY KEY, v text);"+tt.ddl)
			for _, spec := range []Spec{{}, {Match: []string{"k"}}, {Match: []string{"k"}, OnConflict: Update}, {Match: []string{"k"}, OnConflict: Error}} {
				for _, staged := range []bool{false, true} {
					s.exec("TRUNCATE t")
					spec.Columns = []string{"k", "v"}
					w := s.writer("t", spec)
					w.SetStaged(staged)
					got, _ := s.write(w, [][][]byte{row(1, "a"), row(2, "a"), row(3, large), row(4, "a"), row(5, "a")})
					if got.Inserted != 4 || len(got.Rejected) != 1 || got.Rejected[0].Row != 2 || got.Rejected[0].Code != tt.code {
						t.Errorf("%+v, staged %v: %d inserted, rejects %+v", spec, staged, got.Inserted, got.Rejected)
					}
					if d := cmp.Diff([][]string{{"1"}, {"2"}, {"4"}, {"5"}}, s.rows("SELECT k FROM t ORDER BY k")); d != "" {
						t.Error(d)
					}
				}
			}
		})
	}
}

// noise is the same bytes each time.
func noise(n int) []byte {
	out, x := make([]byte, n), uint32(1)
	for i := range out {
		x = x*1664525 + 1013904223
		out[i] = byte(x >> 24)
	}
	return out
}
