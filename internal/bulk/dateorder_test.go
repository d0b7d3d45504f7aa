package bulk

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUnclearDates has servers of each DateStyle read dates of many forms: a date is unclear if they do not agree, and only then.
func TestUnclearDates(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE FUNCTION read(style text, v text) RETURNS text LANGUAGE plpgsql AS $$
		BEGIN PERFORM set_config('datestyle', 'ISO, ' || style, false); RETURN v::timestamptz::text; EXCEPTION WHEN data_exception THEN RETURN 'error'; END $$`)
	rng := rand.New(rand.NewPCG(8, 15))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	var values []string
	for range 4000 {
		number := func() string { return pick("1", "01", "2", "02", "12", "13", "25", "31", "32", "70", "99") }
		year := pick("2025", "25", "1999", "0099", "5")
		month := pick("Jan", "FEB", "sept", "December", "02", "2", "12", "13")
		sep := pick("/", "-", ".", " ")
		v := pick(
			number()+sep+number()+sep+year, year+sep+number()+sep+number(), number()+sep+month+sep+year, month+sep+number()+sep+year,
			year+sep+month+sep+number(), "20250102", "250102", month+" "+number()+", "+year)
		v = pick("", "", "Mon ", " ") + v + pick("", "", "", " 10:00", " 10:00:05.123", "T10:00", " 10:00 pm", " 10:00+02", " 10:00 -08", " UTC")
		if rng.IntN(8) == 0 {
			v = "10:00 " + v
		}
		values = append(values, v)
	}
	unclear := 0
	for _, v := range values {
		var got []string
		for _, style := range []string{"YMD", "MDY", "DMY"} {
			got = append(got, s.rows(fmt.Sprintf("SELECT read('%s', '%s')", style, v))[0][0])
		}
		differ := got[0] != got[1] || got[1] != got[2]
		u := unclearDate([]byte(v))
		switch {
		case differ && u == nil:
			t.Errorf("%q is %s: not seen", v, strings.Join(got, ", "))
		case !differ && got[0] != "error" && u != nil:
			t.Errorf("%q is %s whatever the style, and refused: %s", v, got[0], u.why(&Column{Name: "c", TypeName: "date"}))
		case u != nil && differ:
			unclear++
			for _, o := range u.orders() { // what the reject says is what a server would have made of it
				year, month, day := u.date(o)
				if text := fmt.Sprintf("%04d-%02d-%02d", year, month, day); !strings.Contains(strings.Join(got, " "), text) {
					t.Errorf("%q is %s, and the reject says %s", v, strings.Join(got, ", "), text)
				}
			}
		}
	}
	if unclear < 500 {
		t.Errorf("only %d values are unclear", unclear)
	}
}

func TestUnclearDatesSayTheirReadings(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE DOMAIN birthday AS date; CREATE TABLE t (d date, b birthday, z timestamptz, many date[], r daterange)")
	tests := []struct{ column, value, want string }{
		{"d", "01/02/2025", `column "d": "01/02/2025" may be 2025-01-02 (layout: MM/dd/yyyy) or 2025-02-01 (layout: dd/MM/yyyy); say how the column is written: type: date, and its layout`},
		{"d", "1.2.03", `column "d": "1.2.03" may be 2003-01-02 (layout: M.d.yy) or 2003-02-01 (layout: d.M.yy) or 2001-02-03 (layout: yy.M.dd); say how the column is written: type: date, and its layout`},
		{"d", "02-Jan-25", `column "d": "02-Jan-25" may be 2025-01-02 (layout: dd-MMM-yy) or 2002-01-25 (layout: yy-MMM-dd); say how the column is written: type: date, and its layout`},
		{"d", "12/31/2025", `column "d": "12/31/2025" can only be 2025-12-31 (layout: MM/dd/yyyy), but other dates of this form have several readings; say how the column is written: type: date, and its layout`},
		{"d", "02/02/2025", `column "d": "02/02/2025" can only be 2025-02-02 (layout: MM/dd/yyyy or dd/MM/yyyy), but other dates of this form have several readings; say how the column is written: type: date, and its layout`},
		{"d", "31/31/2025", `column "d": there is no such date as "31/31/2025"`},
		{"b", "01/02/2025", `column "b": "01/02/2025" may be 2025-01-02 (layout: MM/dd/yyyy) or 2025-02-01 (layout: dd/MM/yyyy); say how the column is written: type: date, and its layout`},
		{"z", "01/02/2025 10:00:00", `column "z": "01/02/2025 10:00:00" may be 2025-01-02 (layout: MM/dd/yyyy HH:mm:ss) or 2025-02-01 (layout: dd/MM/yyyy HH:mm:ss); say how the column is written: type: timestamp, and its layout`},
		{"many", "{2025-01-01,01/02/2025}", `column "many": "01/02/2025" may be 2025-01-02 or 2025-02-01; write dates in arrays and ranges as yyyy-MM-dd`},
		{"r", "[01/02/2025,)", `column "r": "01/02/2025" may be 2025-01-02 or 2025-02-01; write dates in arrays and ranges as yyyy-MM-dd`},
		{"d", "2025-02-01", ""}, {"d", "2 Jan 2025", ""}, {"d", "20250102", ""}, {"d", "2025/1/2", ""}, {"z", "2025-01-02T10:00:00Z", ""}, {"z", "now", ""}, {"d", "05-May-05", ""},
	}
	for _, tt := range tests {
		w := s.writer("t", Spec{Columns: []string{tt.column}})
		got := ""
		if bad := w.NewBatch().Append([][]byte{[]byte(tt.value)}); bad != nil {
			got = bad.Message
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s %s: %s", tt.column, tt.value, d)
		}
	}
}

// TestValuesDoNotDependOnSettings writes the same values under other settings of the database, by every way.
func TestValuesDoNotDependOnSettings(t *testing.T) {
	t.Parallel()
	settings := []string{
		"RESET ALL", "SET datestyle TO 'ISO, MDY'", "SET datestyle TO 'ISO, DMY'", "SET datestyle TO 'German'", "SET intervalstyle TO 'sql_standard'",
		"SET intervalstyle TO 'iso_8601'", "SET timezone TO 'Asia/Tokyo'", "SET bytea_output TO 'escape'",
	}
	for _, staged := range []bool{false, true} {
		s := setup(t, `CREATE TABLE t (k int PRIMARY KEY, z timestamptz, i interval, d date, b bytea, seen text);
			CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.seen := concat_ws(' ', NEW.z, NEW.i, NEW.d, NEW.b); RETURN NEW; END $$;
			CREATE TRIGGER seen BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION seen()`)
		for k, setting := range settings {
			s.exec(setting)
			w := s.writer("t", Spec{Columns: []string{"k", "z", "i", "d", "b"}, Match: []string{"k"}, OnConflict: Update})
			w.SetStaged(staged)
			s.write(w, [][][]byte{row(k, "2025-03-01 10:00", "-1 2:03:04", "2 Jan 2025", `\x00ff`)})
		}
		s.exec("RESET ALL; SET timezone TO 'UTC'; SET intervalstyle TO 'postgres'; SET datestyle TO 'ISO'; SET bytea_output TO 'hex'")
		want := [][]string{{"2025-03-01 10:00:00+00", "-1 days +02:03:04", "2025-01-02", `\x00ff`, `2025-03-01 10:00:00+00 -1 days +02:03:04 2025-01-02 \x00ff`}}
		if d := cmp.Diff(want, s.rows("SELECT DISTINCT z, i, d, b, seen FROM t")); d != "" {
			t.Error(d)
		}
	}
}
