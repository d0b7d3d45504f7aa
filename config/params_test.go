package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgtype"
)

// everyParam is a job with a required param of each type.
func everyParam() *Job {
	j := &Job{Name: "stats", Kind: "http"}
	for _, typ := range paramTypes() {
		j.Params = append(j.Params, Param{Name: "a_" + typ, Type: typ})
	}
	return j
}

func TestResolveParams(t *testing.T) {
	t.Parallel()
	const uuid = "123e4567-e89b-12d3-a456-42661417400f"
	tokyo := time.FixedZone("", 9*3600)
	tests := map[string]map[string]any{
		`{"a_text":"é","a_integer":-12,"a_number":-1.50e+400,"a_boolean":true,"a_date":"2024-02-29","a_timestamp":"2026-01-31T09:00:00.5+09:00","a_uuid":"` + uuid + `","a_json":{"b": [1, null]}}`: {
			"a_text": "é", "a_integer": int64(-12), "a_number": json.Number("-1.50e+400"), "a_boolean": true,
			"a_date": Date{2024, time.February, 29}, "a_timestamp": time.Date(2026, 1, 31, 9, 0, 0, 5e8, tokyo),
			"a_uuid": uuid, "a_json": json.RawMessage(`{"b":[1,null]}`),
		},
		` {"a_text":"","a_integer":"9223372036854775807","a_number":"0.10","a_boolean":"false","a_date":"0001-01-01","a_timestamp":"2026-01-31T09:00:00Z","a_uuid":"` + strings.ToUpper(uuid) + `","a_json":"5"} `: {
			"a_text": "", "a_integer": int64(9223372036854775807), "a_number": json.Number("0.10"), "a_boolean": false,
			"a_date": Date{1, time.January, 1}, "a_timestamp": time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC),
			"a_uuid": uuid, "a_json": json.RawMessage(`"5"`),
		},
	}
	for given, want := range tests {
		got, err := everyParam().ResolveParams(json.RawMessage(given), time.Time{})
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", given, diff)
		}
	}
}

func TestResolveParamsRefuses(t *testing.T) {
	t.Parallel()
	const (
		date    = "; write it like 2026-01-31"
		moment  = "; write it like 2026-01-31T09:00:00Z or 2026-01-31T09:00:00+09:00"
		uuid    = "; write it like 123e4567-e89b-12d3-a456-426614174000"
		integer = "; write it like 12 or -5"
		number  = "; write it like 12, -0.5 or 1e6"
	)
	for _, tt := range []struct{ typ, given, want string }{
		{TextParam, `5`, "5 is not a text; put it in quotes"},
		{TextParam, `["a", 1]`, `["a",1] is not a text; put it in quotes`},
		{TextParam, `"a\u0000"`, `"a\x00" holds a NUL character; PostgreSQL stores none; remove it`},
		{IntegerParam, `1.0`, "1.0 is not a whole number" + integer},
		{IntegerParam, `"007"`, `"007" is not a whole number` + integer},
		{IntegerParam, `"+7"`, `"+7" is not a whole number` + integer},
		{IntegerParam, `""`, `"" is not a whole number` + integer},
		{IntegerParam, `true`, "true is not a whole number" + integer},
		{IntegerParam, `9223372036854775808`, "9223372036854775808 has more than 64 bits; declare the param as number"},
		{NumberParam, `"NaN"`, `"NaN" is not a number` + number},
		{NumberParam, `".5"`, `".5" is not a number` + number},
		{NumberParam, `{}`, "{} is not a number" + number},
		{BooleanParam, `1`, "1 is not true or false"},
		{BooleanParam, `"True"`, `"True" is not true or false`},
		{DateParam, `"tomorrow"`, `"tomorrow" is not a date` + date},
		{DateParam, `"scheduled_for"`, `"scheduled_for" is not a date` + date},
		{DateParam, `"2026-02-29"`, `"2026-02-29" is not a date` + date},
		{DateParam, `"2026-1-31"`, `"2026-1-31" is not a date` + date},
		{DateParam, `"0000-01-01"`, `"0000-01-01" is not a date` + date},
		{DateParam, `"2026-01-31T00:00:00Z"`, `"2026-01-31T00:00:00Z" is not a date` + date},
		{DateParam, `20260131`, "20260131 is not a date" + date},
		{TimestampParam, `"2026-01-31"`, `"2026-01-31" is not a timestamp` + moment},
		{TimestampParam, `"2026-01-31T09:00:00"`, `"2026-01-31T09:00:00" is not a timestamp` + moment},
		{TimestampParam, `"2026-01-31T9:00:00Z"`, `"2026-01-31T9:00:00Z" is not a timestamp` + moment},
		{TimestampParam, `"2026-01-31T09:00:00+24:00"`, `"2026-01-31T09:00:00+24:00" is not a timestamp` + moment},
		{TimestampParam, `"2026-01-31T09:00:00,5Z"`, `"2026-01-31T09:00:00,5Z" is not a timestamp` + moment},
		{TimestampParam, `"0000-01-31T09:00:00Z"`, `"0000-01-31T09:00:00Z" is not a timestamp` + moment},
		{TimestampParam, `1769850000`, "1769850000 is not a timestamp" + moment},
		{UUIDParam, `"123e4567e89b12d3a456426614174000"`, `"123e4567e89b12d3a456426614174000" is not a UUID` + uuid},
		{UUIDParam, `[]`, "[] is not a UUID" + uuid},
		{UUIDParam, `"` + strings.Repeat("x", 100) + `"`, `"` + strings.Repeat("x", 59) + `…" is not a UUID` + uuid},
	} {
		job := &Job{Name: "stats", Kind: "own", Params: []Param{{Name: "p", Type: tt.typ}}}
		err := job.CheckParams(json.RawMessage(`{"p": ` + tt.given + `}`))
		if want := `param "p": ` + tt.want; err == nil || err.Error() != want {
			t.Errorf("%s %s\n got %v\nwant %s", tt.typ, tt.given, err, want)
		}
	}
}

func TestMissingAndUnknownParams(t *testing.T) {
	t.Parallel()
	day := Param{Name: "day", Type: DateParam}
	name := Param{Name: "name", Type: TextParam, Default: []byte(`"all"`)}
	declared := &Job{Name: "stats", Kind: "http", Params: []Param{day, name}}
	for _, tt := range []struct {
		job   *Job
		given string
		want  string
	}{
		{declared, `{"day": "2026-01-31"}`, ""},
		{declared, ``, `param "day": is missing; job stats needs it: a date, like 2026-01-31`},
		{declared, `null`, `param "day": is missing; job stats needs it: a date, like 2026-01-31`},
		{declared, `{"day": null}`, `param "day": is missing; job stats needs it: a date, like 2026-01-31`},
		{
			declared, `{"Day": "2026-01-31", "zzz": null, "name": 5}`,
			"param \"day\": is missing; job stats needs it: a date, like 2026-01-31\n" +
				"param \"name\": 5 is not a text; put it in quotes\n" +
				"param \"Day\": job stats has no such param; did you mean day?\n" +
				"param \"zzz\": job stats has no such param; known here: day, name",
		},
		{&Job{Name: "a", Kind: "http", Params: []Param{}}, `{"x": 1}`, `param "x": job a has no such param; it takes none`},
		{&Job{Name: "a", Kind: "sql", Params: []Param{}}, `{"x": 1}`, `param "x": job a has no such param; it takes none`},
		{&Job{Name: "a", Kind: "sql", Params: []Param{}}, `{}`, ""},
		{&Job{Name: "a", Kind: "import", Params: []Param{}}, `{"x": 1}`, `param "x": job a has no such param; it takes none`},
		{declared, `[1]`, `params: [1] is not a JSON object; write {"name": "value"}`},
		{declared, `"x"`, `params: "x" is not a JSON object; write {"name": "value"}`},
		{declared, `{"day"`, `params: not JSON: unexpected EOF; write {"name": "value"}`},
		{declared, `{} {}`, `params: not JSON: something follows the object; write {"name": "value"}`},
		{&Job{Name: "a", Kind: "http"}, `5`, `params: 5 is not a JSON object; write {"name": "value"}`},
	} {
		err := tt.job.CheckParams(json.RawMessage(tt.given))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s of %s\n got %s\nwant %s", tt.given, tt.job.Kind, got, tt.want)
		}
	}
	unknown := map[string]int{}
	for i := range 101 {
		unknown[fmt.Sprintf("x%d", i)] = 1
	}
	given, err := json.Marshal(unknown)
	if err != nil {
		t.Fatal(err)
	}
	flood := declared.CheckParams(given)
	if lines := strings.Count(flood.Error(), "\n") + 1; lines != 11 {
		t.Errorf("%d lines, want one about the missing param and 10 about unknown ones:\n%v", lines, flood)
	}
	var problem *ParamError
	if err := declared.CheckParams(nil); !errors.As(err, &problem) || problem.Job != "stats" || problem.Param != "day" {
		t.Errorf("got %#v, want a ParamError of job stats and param day", problem)
	}
}

func TestParamDefaults(t *testing.T) {
	t.Parallel()
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse("", []byte(`
jobs:
  a:
    kind: own
    params:
      day: {type: date, default: scheduled_for}
      at: {type: timestamp, default: scheduled_for}
      fixed: {type: date, default: 2026-01-31}
      n: {type: integer, default: "5"}
      ratio: {type: number, default: 0.10}
      flag: {type: boolean, default: true}
      name: {type: text, default: ""}
      filter: {type: json, default: [1, {a: null}]}
      none: {type: integer, default: null}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	job := cfg.Jobs["a"]
	due := time.Date(2026, 11, 21, 22, 30, 0, 0, time.UTC).In(tokyo)
	got, err := job.ResolveParams([]byte(`{"flag": null}`), due)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"day": Date{2026, time.November, 22}, "at": due, "fixed": Date{2026, time.January, 31}, "n": int64(5),
		"ratio": json.Number("0.10"), "flag": true, "name": "", "filter": json.RawMessage(`[1,{"a":null}]`), "none": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("params (-want +got):\n%s", diff)
	}
}

func TestUndeclaredParams(t *testing.T) {
	t.Parallel()
	got, err := (&Job{Kind: "own"}).ResolveParams([]byte(`{"n": 12345678901234567890.10, "x": null, "l": [1]}`), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"n": json.Number("12345678901234567890.10"), "x": nil, "l": []any{json.Number("1")}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("params (-want +got):\n%s", diff)
	}
	for _, nothing := range []string{"", " ", "null", "{}"} {
		if got, err := (&Job{Kind: "own"}).ResolveParams([]byte(nothing), time.Time{}); err != nil || got == nil || len(got) > 0 {
			t.Errorf("%q: %v, %v, want an empty map", nothing, got, err)
		}
	}
}

func TestDate(t *testing.T) {
	t.Parallel()
	d := Date{2026, time.January, 5}
	const want = "2026-01-05"
	text, err := json.Marshal(map[string]any{"d": d})
	if string(text) != `{"d":"`+want+`"}` || err != nil || d.String() != want {
		t.Errorf("%s as JSON is %s, %v", d, text, err)
	}
	for _, format := range []int16{pgtype.TextFormatCode, pgtype.BinaryFormatCode} {
		types := pgtype.NewMap()
		bound, err := types.Encode(pgtype.DateOID, format, d, nil)
		if err != nil && format == pgtype.BinaryFormatCode {
			continue // the driver then takes the other format
		}
		if err != nil {
			t.Fatal(err)
		}
		var back time.Time
		if err := types.Scan(pgtype.DateOID, format, bound, &back); err != nil || DateOf(back) != d {
			t.Errorf("format %d: bound as %q, read as %v, %v", format, bound, back, err)
		}
	}
	if got := d.In(time.UTC); !got.Equal(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("first moment is %s", got)
	}
}

func FuzzResolveParams(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{}`, `{"a_text":"x","a_integer":"5","a_number":1e9,"a_boolean":"true","a_date":"2026-01-31","a_timestamp":"2026-01-31T09:00:00.123+09:30","a_uuid":"123E4567-e89b-12d3-a456-426614174000","a_json":{"<":[1]}}`,
		`{"a_text":null,"b":1}`, `[`, `{"a_date":"0000-00-00"}`, `{"a_timestamp":"9999-12-31T23:59:60Z"}`, "{\"a_text\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		job := everyParam()
		for i := range job.Params {
			job.Params[i].Default = []byte("null")
		}
		first, err := job.ResolveParams(given, time.Time{})
		if err != nil {
			var problem *ParamError
			if !errors.As(err, &problem) || strings.TrimSpace(problem.Error()) == "" {
				t.Fatalf("%q: %v is no ParamError", given, err)
			}
			return
		}
		var written bytes.Buffer
		enc := json.NewEncoder(&written)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(first); err != nil {
			t.Fatalf("%q: %v", given, err)
		}
		again, err := job.ResolveParams(written.Bytes(), time.Time{})
		if err != nil {
			t.Fatalf("%q became %s, which is refused: %v", given, written.Bytes(), err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("%q is not what it was (-first +again):\n%s", given, diff)
		}
	})
}
