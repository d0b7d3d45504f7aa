package valuefmt

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

func place(t testing.TB, name string) *time.Location {
	t.Helper()
	at, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAppend(t *testing.T) {
	t.Parallel()

	german := Format{Type: Number, Decimal: ",", Grouping: "."}
	french := Format{Type: Number, Decimal: ",", Grouping: " "}
	english := Format{Type: Number, Grouping: ","}
	dates := func(layouts ...string) Format { return Format{Type: Date, Layouts: layouts} }
	stamps := func(layouts ...string) Format { return Format{Type: Timestamp, Layouts: layouts} }
	in := func(name string) Format {
		return Format{Type: Timestamp, Layouts: []string{"yyyy-MM-dd HH:mm"}, Location: place(t, name)}
	}
	tests := []struct {
		f         Format
		in, want  string
		different string // part of the error
	}{
		{Format{}, " as it is ", " as it is ", ""},

		{german, "1.234,56", "1234.56", ""}, {german, " -1.234.567 ", "-1234567", ""}, {german, "1234,5", "1234.5", ""}, {german, ",5", "0.5", ""},
		{german, "5,", "5", ""}, {german, "12-", "-12", ""}, {german, "\u22121,0", "-1.0", ""}, {german, "+007,10", "007.10", ""},
		{german, "1234.56", "", `"1234.56" is not a number like 1234,56 or 1.234,56`}, {german, "1.23", "", "not a number"}, {german, "12.34.567", "", "not a number"},
		{german, ".123", "", "not a number"}, {german, "1..234", "", "not a number"}, {german, "1.234.", "", "not a number"}, {german, "1,5.000", "", "not a number"},
		{german, "", "", "not a number"}, {german, "-", "", "not a number"}, {german, ",", "", "not a number"}, {german, "12 €", "", "not a number"}, {german, "--1", "", "not a number"},
		{french, "1 234\u00a0567,8", "1234567.8", ""}, {french, "1\u202f234", "1234", ""}, {french, "1 2", "", "not a number"},
		{english, "12,345.60", "12345.60", ""}, {english, "1,234,567", "1234567", ""}, {english, "1234,567", "", "not a number"},
		{Format{Type: Number}, "1.50e-3", "1.50e-3", ""}, {Format{Type: Number}, "1e", "", "not a number"}, {Format{Type: Number}, "1e+", "", "not a number"},
		{Format{Type: Number}, "123456789012345678901234567890.123456789012345678901234567890", "123456789012345678901234567890.123456789012345678901234567890", ""},
		{Format{Type: Number}, "1,5", "", "like 1234.56"}, {Format{Type: Number}, "１２", "", "not a number"},

		{dates(), "2024-02-29", "2024-02-29", ""}, {dates(), "2023-02-29", "", `"2023-02-29" is not a date like iso`}, {dates(), "0000-01-01", "", "not a date"},
		{dates("dd.MM.yyyy"), "31.12.2024", "2024-12-31", ""}, {dates("dd.MM.yyyy"), "1.2.2024", "", "like dd.MM.yyyy"}, {dates("d.M.yyyy"), "1.2.2024", "2024-02-01", ""},
		{dates("d.M.yyyy"), "31.12.2024", "2024-12-31", ""}, {dates("dd/MM/yyyy", "yyyyMMdd"), "20240105", "2024-01-05", ""}, {dates("dd/MM/yyyy", "yyyyMMdd"), "13/13/2024", "", "dd/MM/yyyy or yyyyMMdd"},
		{dates("d-MMM-yy"), "5-jan-69", "1969-01-05", ""}, {dates("d-MMM-yy"), "5-Feb-68", "2068-02-05", ""}, {dates("MMMM d, yyyy"), "August 5, 2024", "2024-08-05", ""},
		{dates("yyyy年M月d日"), "2024年3月9日", "2024-03-09", ""}, {dates("dd.MM.yyyy HH:mm:ss"), "31.12.2024 00:00:00", "2024-12-31", ""},
		{dates("dd.MM.yyyy"), "31.12.2024x", "", "not a date"}, {dates("excel"), "45292", "2024-01-01", ""}, {dates("excel"), "60", "", "not a date"}, {dates("unix"), "-1", "1969-12-31", ""},

		{stamps(), "2024-01-02T03:04:05.123456Z", "2024-01-02 03:04:05.123456+00:00", ""}, {stamps(), "2024-01-02 03:04", "2024-01-02 03:04:00", ""},
		{stamps(), "2024-01-02 03:04:05+0930", "2024-01-02 03:04:05+09:30", ""}, {stamps(), "2024-01-02", "2024-01-02 00:00:00", ""}, {stamps(), "2024-01-02T03:04:05-03", "2024-01-02 03:04:05-03:00", ""},
		{stamps(), "2024-01-02 24:00", "", "not a timestamp"}, {stamps("dd.MM.yyyy HH:mm:ss"), "31.12.2024 23:59:01", "2024-12-31 23:59:01", ""},
		{stamps("M/d/yyyy h:mm a"), "1/2/2024 12:05 AM", "2024-01-02 00:05:00", ""}, {stamps("M/d/yyyy h:mm a"), "1/2/2024 12:05 pm", "2024-01-02 12:05:00", ""}, {stamps("M/d/yyyy a h:mm"), "1/2/2024 PM 3:05", "2024-01-02 15:05:00", ""},
		{stamps("M/d/yyyy h:mm a"), "1/2/2024 13:05 PM", "", "not a timestamp"}, {stamps("yyyy-MM-dd'T'HH 'o''clock'"), "2024-01-02T03 o", "", "not a timestamp"},
		{stamps("yyyyMMddHHmmss.S"), "20240102030405.9", "2024-01-02 03:04:05.9", ""}, {stamps("unix"), "1704164645.25", "2024-01-02 03:04:05.25+00:00", ""},
		{stamps("unix_ms"), "1704164645007", "2024-01-02 03:04:05.007+00:00", ""}, {stamps("excel"), "45293.5", "2024-01-02 12:00:00", ""}, {stamps("excel"), "NaN", "", "not a timestamp"},
		{in("Asia/Tokyo"), "2024-01-02 03:04", "2024-01-02 03:04:00+09:00", ""}, {in("Europe/Berlin"), "2024-03-31 02:30", "", "was skipped in Europe/Berlin"},
		{in("Europe/Berlin"), "2024-10-27 02:30", "2024-10-27 02:30:00+02:00", ""}, {in("Europe/Berlin"), "2024-10-27 03:00", "2024-10-27 03:00:00+01:00", ""}, {in("America/New_York"), "2024-11-03 01:30", "2024-11-03 01:30:00-04:00", ""},
		{Format{Type: Time}, "23:59", "23:59:00", ""}, {Format{Type: Time, Layouts: []string{"Hmm"}}, "930", "", "not a time"}, {Format{Type: Time, Layouts: []string{"HHmm"}}, "0930", "09:30:00", ""},

		{Format{Type: Boolean}, " YES ", "true", ""}, {Format{Type: Boolean}, "0", "false", ""}, {Format{Type: Boolean}, "ja", "", `"ja" is neither true, t,`},
		{Format{Type: Boolean, True: []string{"ja", "○"}, False: []string{"nein", ""}}, "JA", "true", ""}, {Format{Type: Boolean, True: []string{"ja", "○"}, False: []string{"nein", ""}}, "○", "true", ""},
		{Format{Type: Boolean, True: []string{"ja"}, False: []string{""}}, "", "false", ""},

		{Format{Type: Array, Separator: ";"}, `a; b"c\ ;;NULL,{}`, `{"a","b\"c\\","","NULL,{}"}`, ""}, {Format{Type: Array, Separator: "||"}, "a|b||c", `{"a|b","c"}`, ""}, {Format{Type: Array, Separator: ";"}, " ", "{}", ""},
		{Format{Type: Array, Separator: " ", Element: &german}, "1,5 2.000", `{"1.5","2000"}`, ""}, {Format{Type: Array, Separator: ";", Element: &german}, "1;;2", `{"1",NULL,"2"}`, ""},
		{Format{Type: Array, Separator: ";", Element: &german}, "1;x", "", `element 2: "x" is not a number`},
		{Format{Type: Array}, `["a\"b", 1.50, null, true, {"x":1}]`, `{"a\"b","1.50",NULL,"true","{\"x\":1}"}`, ""}, {Format{Type: Array}, "[]", "{}", ""},
		{Format{Type: Array}, `{"a":1}`, "", "not a JSON array"}, {Format{Type: Array}, `[1`, "", "not a JSON array"}, {Format{Type: Array}, `[[1]]`, "", "element 1 is an array"}, {Format{Type: Array, Element: &german}, `["x"]`, "", "element 1: "},

		{Format{Type: JSON}, `{"a": 1.10}`, `{"a": 1.10}`, ""}, {Format{Type: JSON}, `{a}`, "", "not valid JSON"},
	}
	for _, tt := range tests {
		c, err := tt.f.Compile()
		if err != nil {
			t.Errorf("%+v: %v", tt.f, err)
			continue
		}
		got, err := c.Append([]byte("before "), []byte(tt.in))
		if err != nil {
			if tt.different == "" || !strings.Contains(err.Error(), tt.different) || string(got) != "before " {
				t.Errorf("%+v: %q: error %v, %q", tt.f, tt.in, err, got)
			}
			continue
		}
		if tt.different != "" || string(got) != "before "+tt.want {
			t.Errorf("%+v: %q: %q, want %q%s", tt.f, tt.in, got, tt.want, tt.different)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	t.Parallel()

	tests := []struct {
		f    Format
		want string
	}{
		{Format{Type: "money"}, "is no type"}, {Format{Decimal: ","}, "decimal: has no meaning for type text"}, {Format{Type: Date, Location: time.UTC}, "timezone: has no meaning for type date; it is of type timestamp"},
		{Format{Type: Number, Grouping: "."}, "grouping: \".\" is decimal, too"}, {Format{Type: Number, Decimal: "5"}, "decimal"}, {Format{Type: Number, Grouping: ",,"}, "grouping"}, {Format{Type: Number, Decimal: "-"}, "sign"},
		{Format{Type: Boolean, True: []string{"x"}}, "false_if: is missing"}, {Format{Type: Boolean, True: []string{"x"}, False: []string{"X"}}, "in true_if, too"},
		{Format{Type: Date, Layouts: []string{"DD.MM.YYYY"}}, `"DD", which means nothing`}, {Format{Type: Date, Layouts: []string{"dd.MM"}}, "lacks a year"}, {Format{Type: Date, Layouts: []string{"yyyy-mm-dd"}}, "lacks a year, a month"},
		{Format{Type: Timestamp, Layouts: []string{"yyyy-MM-dd hh:mm"}}, "belong together"}, {Format{Type: Timestamp, Layouts: []string{"yyyy-MM-dd HH:MM"}}, "twice"}, {Format{Type: Time, Layouts: []string{"mm"}}, "hour"},
		{Format{Type: Time, Layouts: []string{"HH.S"}}, "no second"}, {Format{Type: Time, Layouts: []string{"unix"}}, "no time of the day"}, {Format{Type: Date, Layouts: []string{"yyyy-MM-dd'T"}}, "not closed"},
		{Format{Type: Array, Element: &Format{Type: Array}}, "element: is an array itself"}, {Format{Type: Array, Element: &Format{Type: "x"}}, `element: type: "x" is no type`},
	}
	for _, tt := range tests {
		if _, err := tt.f.Compile(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.f, err, tt.want)
		}
	}
}

// FuzzNumber: what is accepted is a number without grouping, and reading the answer
// again in PostgreSQL's own form gives the same.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1.234,56", "-1 2", "1e5", ",", "5-"} {
		f.Add([]byte(s), ",", ".")
	}
	f.Fuzz(func(t *testing.T, value []byte, decimal, grouping string) {
		c, err := Format{Type: Number, Decimal: decimal, Grouping: grouping}.Compile()
		if err != nil {
			return
		}
		out, err := c.Append(nil, value)
		if err != nil {
			return
		}
		if strings.Trim(string(out), "0123456789.-+eE") != "" || strings.Count(string(out), ".") > 1 {
			t.Fatalf("%q became %q", value, out)
		}
		plain, err := Format{Type: Number}.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := plain.Append(nil, out); err != nil || string(again) != string(out) {
			t.Errorf("%q became %q, then %q, %v", value, out, again, err)
		}
	})
}

// FuzzTime: no layout and value panic, and what comes out is a timestamp in ISO's form.
func FuzzTime(f *testing.F) {
	f.Add("dd.MM.yyyy HH:mm:ss.SXXX", []byte("31.12.2024 23:59:59.5+09"))
	f.Add("M/d/yy h:m a", []byte("1/2/70 1:05 PM"))
	f.Add("excel", []byte("45292.999999999"))
	f.Add("unix", []byte("-1.5"))
	f.Fuzz(func(t *testing.T, layout string, value []byte) {
		c, err := Format{Type: Timestamp, Layouts: []string{layout}}.Compile()
		if err != nil {
			return
		}
		out, err := c.Append(nil, value)
		if err != nil {
			return
		}
		again, err := Format{Type: Timestamp}.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := again.Append(nil, out); err != nil || string(back) != string(out) {
			t.Errorf("%q %q: %q, then %q, %v", layout, value, out, back, err)
		}
	})
}

// FuzzArray: elements of a JSON array come out in quotes that hold.
func FuzzArray(f *testing.F) {
	f.Add([]byte(`["a\"b\\",null,1]`))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := Format{Type: Array}.Compile()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.Append(nil, value)
		if err != nil {
			return
		}
		elements, inside := 0, false
		for i := 1; i < len(out)-1; i++ {
			switch {
			case out[i] == '\\' && inside:
				i++
			case out[i] == '"':
				if inside = !inside; inside {
					elements++
				}
			}
		}
		want := 0
		for _, v := range gjson.ParseBytes(value).Array() {
			if v.Type != gjson.Null {
				want++
			}
		}
		if inside || elements != want {
			t.Errorf("%q became %q: %d elements, want %d", value, out, elements, want)
		}
	})
}

// FuzzJSONString: a text that becomes JSON is the same text there.
func FuzzJSONString(f *testing.F) {
	f.Add("a\"\\\n\x00\x1f\x7f<é\u2028")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Rule{Format: Format{Type: JSON}}.Compile()
		if err != nil {
			t.Fatal(err)
		}
		out, outcome, err := c.Append(nil, []byte(text), String)
		if err != nil || outcome.Null {
			t.Fatalf("%q: %+v, %v", text, outcome, err)
		}
		var back string
		if err := json.Unmarshal(out, &back); err != nil || back != text && utf8.ValidString(text) {
			t.Errorf("%q became %s, then %q, %v", text, out, back, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for name, tt := range map[string]struct {
		f  Format
		in string
	}{
		"number":    {Format{Type: Number, Decimal: ",", Grouping: "."}, "1.234.567,89"},
		"date":      {Format{Type: Date, Layouts: []string{"dd.MM.yyyy"}}, "31.12.2024"},
		"timestamp": {Format{Type: Timestamp, Layouts: []string{"dd.MM.yyyy HH:mm:ss"}, Location: place(b, "Europe/Berlin")}, "31.12.2024 23:59:59"},
		"boolean":   {Format{Type: Boolean}, "no"},
		"array":     {Format{Type: Array, Separator: ","}, "red,green,blue"},
	} {
		b.Run(name, func(b *testing.B) {
			c, err := tt.f.Compile()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				if dst, err = c.Append(dst[:0], []byte(tt.in)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
