package importjob_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tidemill/tidemill/workers/kind"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/japanese"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
)

const valuesTable = `CREATE TABLE public.v (id int PRIMARY KEY, amount numeric, born date, seen timestamptz, active bool, tags text[], prices numeric[], doc jsonb, note text)`

// germanColumns read what a spreadsheet on a German machine writes.
const germanColumns = `table: v
match: [id]
columns: {` +
	`id: 番号, amount: {field: 金額, type: number, decimal: ",", grouping: ".", default: 0}, born: {field: 生年月日, type: date, layout: [d.M.yyyy, iso]}, ` +
	`seen: {field: 更新日時, type: timestamp, layout: "dd.MM.yyyy HH:mm", timezone: Asia/Tokyo}, active: {field: 有効, type: boolean, true_if: ja, false_if: [nein, "-"]}, ` +
	`tags: {field: 札, type: array, separator: "|"}, prices: {field: 価格, type: array, separator: " ", element: {type: number, decimal: ","}}, doc: {field: 文書, type: json, null_if: ["?"]}, note: {field: 備考, trim: true, default: なし}}`

const germanFile = "番号;金額;生年月日;更新日時;有効;札;価格;文書;備考\r\n" +
	"1;1.234,50;31.12.2024;01.03.2024 09:30;ja;赤|青;1,5 2;\"{\"\"a\"\": [1, \"\"ü\"\"]}\";\"二行\r\nの備考; 表示\"\r\n" +
	"2;-0,5;2024-02-29;;NEIN;;;?;\r\n" +
	"3;\"\";\"\";\"\";-;\"a\"\"b|\";,5;[];\"\"\r\n"

const valuesQuery = `SELECT id, amount::text, born::text, to_char(seen AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), active, tags::text, prices::text, doc::text, note FROM v ORDER BY id`

func germanRows() []string {
	return []string{
		`1|1234.50|2024-12-31|2024-03-01 00:30|true|{赤,青}|{1.5,2}|{"a": [1, "ü"]}|` + "二行\r\nの備考; 表示",
		`2|-0.5|2024-02-29|∅|false|∅|∅|∅|なし`,
		`3|0|∅|∅|false|{"a\"b",""}|{0.5}|[]|`,
	}
}

func TestImportOfWrittenValues(t *testing.T) {
	t.Parallel()
	const members = `table: v
match: [id]
format: ndjson
columns: {id, amount: {type: number, decimal: ",", grouping: ".", default: 7}, born: {type: date, layout: unix}, active: {type: boolean, true_if: ja, false_if: nein}, ` +
		`tags: {type: array, separator: ";"}, prices: {type: array, element: {type: number, decimal: ","}}, doc: {type: json}, note: {default: none}}`
	for _, tt := range []struct {
		name, fields, file string
		want               []string
	}{
		{"Excel: Shift_JIS, semicolons, CRLF", germanColumns, encoded(t, japanese.ShiftJIS, strings.ReplaceAll(germanFile, "ü", "う")),
			[]string{strings.ReplaceAll(germanRows()[0], "ü", "う"), germanRows()[1], germanRows()[2]}},
		{"the same as UTF-8 in two members of gzip", germanColumns, gzipped(t, germanFile[:120]) + gzipped(t, germanFile[120:]), germanRows()},
		{"NDJSON", members, strings.Join([]string{
			`{"id": 1, "amount": "1.234,5", "born": 0, "active": "JA", "tags": "a; b", "prices": [1.5, "2,5", null], "doc": {"deep": {"x": [1, null]}}, "note": ""}`,
			`{"id": 2, "amount": 1.234, "active": false, "tags": ["a;b", "c"], "prices": "[\"1,5\"]", "doc": "text \"q\"", "note": {"a": 1}}`,
			`{"id": 3, "amount": null, "active": null, "tags": [], "doc": null, "note": null}`,
			`{"id": 4, "amount": "", "active": "", "doc": "", "tags": ""}`,
		}, "\n"), []string{
			`1|1234.5|1970-01-01|∅|true|{a,b}|{1.5,2.5,NULL}|{"deep": {"x": [1, null]}}|`,
			`2|1.234|∅|∅|false|{a;b,c}|{1.5}|"text \"q\""|{"a": 1}`,
			`3|∅|∅|∅|∅|{}|∅|∅|∅`,
			`4|7|∅|∅|∅|∅|∅|""|none`,
		}},
		{"padded", "table: v\nragged: pad\ncolumns: {id, note: {default: none}}", "id,note\n1\n2,\n3,\"\"\n4,x\n",
			[]string{"1|∅|∅|∅|∅|∅|∅|∅|none", "2|∅|∅|∅|∅|∅|∅|∅|none", "3|∅|∅|∅|∅|∅|∅|∅|", "4|∅|∅|∅|∅|∅|∅|∅|x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, valuesTable, tt.fields)
			info := b.load(t, tt.file)
			if info.Status != batch.Succeeded {
				rejects, err := b.Ledger.Rejects(t.Context(), info.ID, 0, 10)
				t.Fatalf("%s: %v %+v %v %+v", info.Status, text(info.Error), info.Counters, err, rejects)
			}
			if diff := cmp.Diff(tt.want, b.rows(t, valuesQuery)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A value that is not written as declared costs its record, and the reject says what was expected. The preview finds the
// same, however the bytes come.
func TestImportRejectsWhatIsWrittenOtherwise(t *testing.T) {
	t.Parallel()
	b := setup(t, valuesTable, "table: v\nmatch: [id]\ncolumns: {id, amount: {type: number, decimal: \",\"}, born: {type: date, layout: dd.MM.yyyy}, active: {type: boolean}, prices: {type: array, separator: \" \", element: {type: date}}, doc: {type: json}}")
	const file = "id;amount;born;active;prices;doc\n1;1,5;31.12.2024;yes;;1\n2;1.5;;;;\n3;;12/31/2024;;;\n4;;;vielleicht;;\n5;;;;2024-01-01 x;\n6;;;;;{\n7;;30.02.2024;;;\n"
	want := []string{
		`2 3 22P02 amount: column "amount": "1.5" is not a number like 1234,56`,
		`3 4 22007 born: column "born": "12/31/2024" is not a date like dd.MM.yyyy`,
		`4 5 22P02 active: column "active": "vielleicht" is neither true, t, yes, y, on, 1 (true) nor false, f, no, n, off, 0 (false)`,
		`5 6 22007 prices: column "prices": element 2: "x" is not a date like iso`,
		`6 7 22P02 doc: column "doc": "{" is not valid JSON`,
		`7 8 22007 born: column "born": "30.02.2024" is not a date like dd.MM.yyyy`,
	}
	info := b.load(t, file)
	rejects, err := b.Ledger.Rejects(t.Context(), info.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, brief(rejects)); diff != "" {
		t.Error(diff)
	}

	b.exec(t, "TRUNCATE v")
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"as they come": func(r io.Reader) io.Reader { return r }, "one by one": iotest.OneByteReader, "with the end": iotest.DataErrReader,
	} {
		preview, err := importjob.PreviewFile(t.Context(), b.Pool, b.cfg.Jobs["load"].Spec.(*importjob.Config), kind.PreviewOpts{
			Name: "file.csv", Size: int64(len(file)),
			Open: func(offset int64) (io.ReadCloser, error) {
				return io.NopCloser(reader(strings.NewReader(file[offset:]))), nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, brief(preview.Rejects)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		var values []string
		for _, f := range preview.Fields {
			values = append(values, f.Column+": "+f.First+" "+text(f.Value))
		}
		if diff := cmp.Diff([]string{"id: 1 1", "amount: 1,5 1.5", "born: 31.12.2024 2024-12-31", "active: yes true", "prices:  ", "doc: 1 1"}, values); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func brief(rejects []batch.Reject) []string {
	var out []string
	for _, r := range rejects {
		out = append(out, fmt.Sprintf("%d %d %s %s: %s", r.Ordinal, r.Line, r.Code, r.Column, r.Reason))
	}
	return out
}

// What a definition says of values is held against the columns that are to take them.
func TestCheckImportOfFormats(t *testing.T) {
	t.Parallel()
	b := setup(t, valuesTable+"; CREATE DOMAIN tag AS text[]; CREATE TABLE public.w (tags tag, at timestamp, flag bool, doc json)",
		"table: v\ncolumns: {id: {type: array}, amount: {type: date}, born: {type: boolean}, seen: {type: timestamp, timezone: UTC}, tags: {type: number}, prices: {type: array, element: {type: number}}, doc: {type: number}, note: {type: date}}")
	check := func() []string {
		problems, err := importjob.CheckLive(t.Context(), b.Pool, b.cfg, b.cfg.Jobs["load"])
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range problems {
			got = append(got, strings.TrimPrefix(p.Path, "jobs.load.columns.")+": "+p.Message)
		}
		return got
	}
	want := []string{
		`id.type: column "id" is of type integer, which takes no array`,
		`amount.type: column "amount" is of type numeric, which takes no date`,
		`born.type: column "born" is of type date, which takes no boolean`,
		`tags.type: column "tags" is of type text[], which takes no number`,
	}
	if diff := cmp.Diff(want, check()); diff != "" {
		t.Error(diff)
	}
	b.redefine(t, "table: w\ncolumns: {tags: {type: array}, at: {type: timestamp, timezone: UTC}, flag: {type: number}, doc: {type: date}}")
	want = []string{
		`at.timezone: column "at" is of type timestamp without time zone, which keeps the time as the file has it`,
		`doc.type: column "doc" is of type json, which takes no date`,
	}
	if diff := cmp.Diff(want, check()); diff != "" {
		t.Error(diff)
	}
}

// An empty text is one from the first row on, before any value of a rule has had a length.
func TestImportOfEmptyTextsAtTheBeginning(t *testing.T) {
	t.Parallel()
	for _, column := range []string{"{field: a, trim: true}", `{field: a, null_if: ["-"]}`, "{field: a, type: text}", `{field: a, type: text, default: none}`} {
		for _, format := range []string{"csv", "ndjson"} {
			t.Run(format+" "+column, func(t *testing.T) {
				t.Parallel()
				content := "a\n\"\"\n\"\"\nx\n\"\"\n"
				if format == "ndjson" {
					content = `{"a":""}` + "\n" + `{"a":""}` + "\n" + `{"a":"x"}` + "\n" + `{"a":""}` + "\n"
				}
				b := setup(t, "CREATE TABLE public.t (n serial, a text)", "table: t\nformat: "+format+"\ncolumns: {a: "+column+"}")
				b.load(t, content)
				if diff := cmp.Diff([]string{"", "", "x", ""}, b.rows(t, "SELECT a FROM t ORDER BY n")); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}
