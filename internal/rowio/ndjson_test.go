package rowio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// lineRow is a record of NDJSON in a form that prints well.
type lineRow struct {
	Fields         []string // kind:value
	Raw            string
	Offset, End    int64
	Line, NextLine int64
	Err            string // code and place
}

func kindName(k Kind) string {
	return [...]string{"text", "string", "number", "bool", "null", "missing", "json"}[k]
}

func lines(t testing.TB, n *NDJSON) []lineRow {
	t.Helper()
	var all []lineRow
	for {
		rec, err := n.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("after %d records: %v", len(all), err)
		}
		r := lineRow{Raw: string(rec.Raw), Offset: rec.Offset, End: rec.End, Line: rec.Line, NextLine: rec.NextLine}
		for _, f := range rec.Fields {
			if f.Quoted != (f.Kind == KindString) {
				t.Errorf("%s quoted: %v", kindName(f.Kind), f.Quoted)
			}
			r.Fields = append(r.Fields, kindName(f.Kind)+":"+string(f.Value))
		}
		if rec.Err != nil {
			r.Err = fmt.Sprintf("%s %d:%d", rec.Err.Code, rec.Err.Line, rec.Err.Column)
		}
		all = append(all, r)
	}
}

func TestNDJSON(t *testing.T) {
	t.Parallel()

	const in = "\ufeff{\"id\":1,\"name\":\"Mika\"}\r\n" +
		"\n  \t\n" +
		`{"name":null,"id":12345678901234567890.000,"other":{"a":[1,"]"]}}` + "\n" +
		` {"id":[1, {"x":"}"}],"na\u006de":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00","ok":true} ` + "\n" +
		`{"id":1,"id":2,"ok":false,"name":""}` + "\n" +
		`{"id":-0.5e+10}`
	n := NewNDJSON(strings.NewReader(in), &NDJSONOpts{Names: []string{"id", "name", "ok"}})
	got := lines(t, n)
	var fields [][]string
	for i, r := range got {
		fields = append(fields, r.Fields)
		if !strings.HasPrefix(in[r.Offset:], r.Raw) || r.Err != "" || strings.Trim(in[r.Offset+int64(len(r.Raw)):r.End], "\r\n") != "" {
			t.Errorf("record %d: %+v", i, r)
		}
		if want := int64(1 + strings.Count(in[:r.Offset], "\n")); r.Line != want {
			t.Errorf("record %d in line %d, want %d", i, r.Line, want)
		}
	}
	want := [][]string{
		{"number:1", "string:Mika", "missing:"},
		{"number:12345678901234567890.000", "null:", "missing:"},
		{`json:[1, {"x":"}"}]`, "string:\"\\/\b\f\n\r\té😀", "bool:true"},
		{"number:2", "string:", "bool:false"},
		{"number:-0.5e+10", "missing:", "missing:"},
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// Members that are no fields are named, each line its own.
func TestNDJSONOthers(t *testing.T) {
	t.Parallel()

	const in = `{"id":1,"x":{"y":1},"\u006eame":2}` + "\n" + `{"id":2}` + "\n" + `{"x":1,"bad":}` + "\n" + `{"é":1,"":2,"x":3,"x":4}`
	n := NewNDJSON(strings.NewReader(in), &NDJSONOpts{Names: []string{"id"}})
	var got [][]string
	for {
		rec, err := n.Next()
		if err != nil {
			break
		}
		names := []string{}
		for _, name := range rec.Others {
			names = append(names, string(name))
		}
		got = append(got, names)
	}
	if diff := cmp.Diff([][]string{{"x", "name"}, {}, {}, {"é", "", "x", "x"}}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestNDJSONMalformed(t *testing.T) {
	t.Parallel()

	deep := strings.Repeat("[", maxDepth+5) + strings.Repeat("]", maxDepth+5)
	tests := []struct {
		line, err, in string
	}{
		{`[1]`, "invalid_json 2:1", "where an object is expected"},
		{`  "x"`, "invalid_json 2:3", "where an object is expected"},
		{`{"a":1} x`, "invalid_json 2:9", "'x' after the object"},
		{`{"a":1}{"b":2}`, "invalid_json 2:8", "each line must be one"},
		{`{"a":1,}`, "invalid_json 2:8", "name"},
		{`{a:1}`, "invalid_json 2:2", "name"},
		{`{"a" 1}`, "invalid_json 2:6", "colon"},
		{`{"a":}`, "invalid_json 2:6", "value"},
		{`{"a":01}`, "invalid_json 2:7", "comma"},
		{`{"a":1.}`, "invalid_json 2:8", "digit"},
		{`{"a":-}`, "invalid_json 2:7", "digit"},
		{`{"a":1e}`, "invalid_json 2:8", "digit"},
		{`{"a":NaN}`, "invalid_json 2:6", "value"},
		{`{"a":[1 2]}`, "invalid_json 2:9", "comma or ]"},
		{`{"a":"x`, "invalid_json 2:6", "never closed"},
		{`{"a":"\x"}`, "invalid_json 2:7", "backslash"},
		{`{"a":"\ud800"}`, "invalid_json 2:7", "half of a character"},
		{`{"a":"\ud800\u0041"}`, "invalid_json 2:7", "half of a character"},
		{"{\"a\":\"\t\"}", "invalid_json 2:7", `\u0009`},
		{`{"a":1`, "invalid_json 2:7", "the line ends"},
		{`{`, "invalid_json 2:2", "the line ends"},
		{`{"a":` + deep + `}`, "invalid_json 2:1006", "deeper"},
		{"{\"a\":\"\xff\"}", "invalid_text 2:7", "0xFF"},
		{`{"a":"` + strings.Repeat("x", 4000) + `"}`, "record_too_long 2:1", "longer than 3000"},
	}
	for _, tt := range tests {
		n := NewNDJSON(strings.NewReader("{\"a\":0}\n"+tt.line+"\n{\"a\":2}"), &NDJSONOpts{Names: []string{"a"}, MaxRecord: 3000})
		message := ""
		for range 2 {
			rec, err := n.Next()
			if err != nil {
				t.Fatal(err)
			}
			if rec.Err != nil {
				message = rec.Err.Message
			}
		}
		if !strings.Contains(message, tt.in) {
			t.Errorf("%.40s: %q, want %q", tt.line, message, tt.in)
		}
		n = NewNDJSON(strings.NewReader("{\"a\":0}\n"+tt.line+"\n{\"a\":2}"), &NDJSONOpts{Names: []string{"a"}, MaxRecord: 3000})
		got := lines(t, n)
		if len(got) != 3 || got[1].Err != tt.err || len(got[1].Fields) > 0 || len(got[1].Raw) > 3000 || got[2].Fields[0] != "number:2" || got[2].Line != 3 {
			t.Errorf("%.40s: %.300v", tt.line, got)
		}
	}
}

func TestNDJSONOptions(t *testing.T) {
	t.Parallel()

	for _, opts := range []NDJSONOpts{{Offset: -1}, {Line: -1}, {MaxRecord: -1}, {Names: []string{"a", "a"}}} {
		if _, err := NewNDJSON(strings.NewReader("{}"), &opts).Next(); err == nil || err == io.EOF {
			t.Errorf("%+v: %v", opts, err)
		}
	}
	bad := func([]byte) (int, string) { return 1, "is not pretty" }
	rec, err := NewNDJSON(strings.NewReader("{}\n"), &NDJSONOpts{Invalid: bad}).Next()
	if err != nil || rec.Err == nil || rec.Err.Code != CodeInvalidText || rec.Err.Column != 2 || rec.Err.Message != "is not pretty" {
		t.Errorf("%+v, %v", rec, err)
	}
	broken := errors.New("line is down")
	n := NewNDJSON(io.MultiReader(strings.NewReader("{}\n{"), iotest.ErrReader(broken)), nil)
	if _, err := n.Next(); err != nil {
		t.Error(err)
	}
	if _, err := n.Next(); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestNDJSONMemoryIsBounded(t *testing.T) {
	t.Parallel()

	const maxRecord = 64 << 10
	long := io.MultiReader(strings.NewReader(`{"a":"`), strings.NewReader(strings.Repeat("x", 8<<20)), strings.NewReader("\"}\n{\"a\":1}\n"))
	n := NewNDJSON(long, &NDJSONOpts{MaxRecord: maxRecord, Names: []string{"a"}})
	got := lines(t, n)
	if len(got) != 2 || got[0].Err != "record_too_long 1:1" || len(got[0].Raw) != maxRecord || got[1].Fields[0] != "number:1" {
		t.Errorf("%d records", len(got))
	}
	if cap(n.win.buf) > max(firstBuffer, maxRecord+readSize) {
		t.Errorf("buffer has %d bytes", cap(n.win.buf))
	}
}

// TestNDJSONNoAllocationPerRecord is not parallel: the count is that of the process.
func TestNDJSONNoAllocationPerRecord(t *testing.T) {
	data := strings.Repeat(`{"id":1,"name":"Mi\"ka","tags":["a","b"],"extra":{"x":null}}`+"\n", 60_000)
	n := NewNDJSON(strings.NewReader(data), &NDJSONOpts{Names: []string{"name", "id", "tags"}})
	if _, err := n.Next(); err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(50_000, func() {
		if rec, err := n.Next(); err != nil || rec.Err != nil {
			t.Error(err, rec)
		}
	}); got != 0 {
		t.Errorf("%v allocations per record, want 0", got)
	}
}

func TestExplainNDJSON(t *testing.T) {
	t.Parallel()

	for sample, want := range map[string]string{
		"{\"a\":1}\n": "", "\ufeff\n{\"a\":1": "", "{\"a\":1}\n{": "",
		"": CodeEmpty, "\n\n": CodeEmpty, "\x1f\x8b\x08": CodeBinary, "\xff\xfe{\x00": CodeEncoding,
		"[{\"a\":1}]": CodeInvalidJSON, "{\n  \"a\": 1\n}": CodeInvalidJSON, "id,name\n": CodeInvalidJSON,
	} {
		code, message, bad := ExplainNDJSON([]byte(sample))
		if code != want || bad != (want != "") || bad != (message != "") {
			t.Errorf("%q: %q, %q, %v", sample, code, message, bad)
		}
	}
}

// FuzzNDJSON: a line is good exactly when encoding/json reads an object in it, with
// the same values; chunks, and resuming at any record, do not matter.
func FuzzNDJSON(f *testing.F) {
	f.Add([]byte("{\"a\":\"x\\u00e9\\ud83d\\ude00\",\"b\":[1]}\n\r\n[]\r{\"a\":\n{\"a\":1,\"a\":null} "), byte(100))
	f.Add([]byte("\ufeff{}\n{\"b\":-1.5E9}\n{\"a\":\"too long\"}"), byte(12))
	f.Fuzz(func(t *testing.T, data []byte, limit byte) {
		opts := NDJSONOpts{Names: []string{"a", "b"}, MaxRecord: max(int(limit), 1)}
		whole := lines(t, newNDJSON(bytes.NewReader(data), &opts, 1<<16))
		small := lines(t, newNDJSON(iotest.OneByteReader(bytes.NewReader(data)), &opts, 2))
		if diff := cmp.Diff(whole, small); diff != "" {
			t.Fatalf("-whole +bytes\n%s", diff)
		}
		for i, r := range whole {
			if i < 3 {
				again := opts
				again.Offset, again.Line = r.End, r.NextLine
				rest := lines(t, newNDJSON(bytes.NewReader(data[r.End:]), &again, 2))
				if diff := cmp.Diff(whole[i+1:], rest, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("resumed at %d: -want +got\n%s", r.End, diff)
				}
			}
			checkLine(t, r)
		}
	})
}

func checkLine(t *testing.T, r lineRow) {
	t.Helper()
	if strings.HasPrefix(r.Err, CodeRecordTooLong) || strings.HasPrefix(r.Err, CodeInvalidText) {
		return
	}
	var want map[string]json.RawMessage
	err := json.Unmarshal([]byte(r.Raw), &want)
	isObject := err == nil && want != nil
	if isObject == (r.Err != "") {
		if isObject && strings.Contains(strings.ToLower(r.Raw), `\ud`) {
			return // half of a character, which encoding/json replaces
		}
		t.Fatalf("%q: %q, encoding/json says %v", r.Raw, r.Err, err)
	}
	if !isObject {
		return
	}
	for i, name := range []string{"a", "b"} {
		kind, value, _ := strings.Cut(r.Fields[i], ":")
		raw, has := want[name]
		var text string
		switch {
		case !has:
			if kind != "missing" {
				t.Errorf("%q: %s is %s", r.Raw, name, kind)
			}
		case kind == "string":
			if err := json.Unmarshal(raw, &text); err != nil || text != value {
				t.Errorf("%q: %s is %q, want %q", r.Raw, name, value, text)
			}
		case kind == "null":
			if string(raw) != "null" {
				t.Errorf("%q: %s is null, want %s", r.Raw, name, raw)
			}
		case value != string(raw):
			t.Errorf("%q: %s is %q, want %q", r.Raw, name, value, raw)
		}
	}
}
