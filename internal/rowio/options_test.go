package rowio

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// brief shows records as a reader of this file would write them down.
func brief(all []row) []string {
	var out []string
	for _, r := range all {
		text := strings.Join(r.Fields, "|")
		if r.Code != "" {
			text = "!" + r.Code
		}
		out = append(out, fmt.Sprintf("%d: %s", r.Line, text))
	}
	return out
}

func TestRaggedAndComments(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name, in string
		opts     CSVOpts
		want     []string
	}{
		{"reject", "a,b\nc\nd,e,f\ng,h,\n", CSVOpts{Width: 2}, []string{"1: a|b", "2: !field_count", "3: !field_count", "4: !field_count"}},
		{"pad", "a,b\nc\nd,e,f\ng,h,\n\"i\",\"\",\"\",\n", CSVOpts{Width: 2, Ragged: RaggedPad}, []string{"1: a|b", "2: c|", "3: !field_count", "4: g|h", `5: "i|"`}},
		{"no width", "a\nb,c\n", CSVOpts{Ragged: RaggedPad}, []string{"1: a", "2: b|c"}},
		{"comments", "# one\r\n#\n\na,#b\n\"#c\",d\n #e,f\n#\r#last", CSVOpts{Comment: '#'}, []string{"4: a|#b", `5: "#c|d`, "6:  #e|f"}},
		{"comment in quotes", "\"a\n#b\",c\n#d\n", CSVOpts{Comment: '#'}, []string{"1: \"a\n#b|c"}},
		{"no comments", "#a\n\x00\n", CSVOpts{}, []string{"1: #a", "2: \x00"}},
		{"long comment", "a\n#" + strings.Repeat("x", 300_000) + "\nb", CSVOpts{Comment: '#', MaxRecord: 10}, []string{"1: a", "3: b"}},
		{"comment after the mark", "\ufeff#x\na\n", CSVOpts{Comment: '#'}, []string{"2: a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := rows(t, NewCSV(strings.NewReader(tt.in), &tt.opts))
			if diff := cmp.Diff(tt.want, brief(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			small := rows(t, newCSV(iotest.OneByteReader(strings.NewReader(tt.in)), &tt.opts, 2))
			if diff := cmp.Diff(got, small); diff != "" {
				t.Errorf("bytewise: -want +got\n%s", diff)
			}
		})
	}
}

func TestFieldCountMessages(t *testing.T) {
	t.Parallel()

	for in, want := range map[string]string{
		"a\n":         "1 field where 2 are expected; set `ragged: pad` if missing ones are empty",
		"a,b,,\"\"\n": "4 fields where 2 are expected; set `ragged: pad` to leave out empty ones at the end",
		"a,b,,c\n":    `4 fields where 2 are expected; enclose a field that has "," in it in "`,
		"a,b,c\n":     `3 fields where 2 are expected; enclose a field that has "," in it in "`,
	} {
		rec, err := NewCSV(strings.NewReader(in), &CSVOpts{Width: 2}).Next()
		if err != nil || rec.Err == nil || rec.Err.Message != want {
			t.Errorf("%q: %+v, %v", in, rec.Err, err)
		}
	}
}

func TestInvalidText(t *testing.T) {
	t.Parallel()

	invalid := func(text []byte) (int, string) { return bytes.IndexByte(text, 0xff), "is not text" }
	c := NewCSV(strings.NewReader("a,b\n\"x\ny\xff\",z\nc,d\n"), &CSVOpts{Invalid: invalid, Width: 2})
	var got []string
	for {
		rec, err := c.Next()
		if err != nil {
			break
		}
		if rec.Err != nil {
			got = append(got, fmt.Sprintf("%d: %v %q", rec.Line, rec.Err, rec.Raw))
			continue
		}
		got = append(got, fmt.Sprintf("%d: %q", rec.Line, rec.Raw))
	}
	want := []string{`1: "a,b"`, `2: line 3, column 2: is not text "\"x\ny\xff\",z"`, `4: "c,d"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestBadCommentAndWidth(t *testing.T) {
	t.Parallel()

	for _, opts := range []CSVOpts{{Comment: ','}, {Comment: '"'}, {Comment: '\n'}, {Width: -1}} {
		if _, err := NewCSV(strings.NewReader("a\n"), &opts).Next(); err == nil {
			t.Errorf("%+v: no error", opts)
		}
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()

	rec, err := NewCSV(strings.NewReader("\ufeff id ,Name,\"E-Mail\",,Name,\u00a0x\u3000\n"), nil).Next()
	if err != nil {
		t.Fatal(err)
	}
	names := HeaderNames(rec.Fields)
	if diff := cmp.Diff([]string{"id", "Name", "E-Mail", "", "Name", "x"}, names); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for name, want := range map[string]string{"email": "E-Mail", "e_mail": "E-Mail", "NAME": "Name", "phone": "", "": ""} {
		if got := SimilarName(names, name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// FuzzOptions: comments, widths and checks hold whatever the chunks are.
func FuzzOptions(f *testing.F) {
	f.Add([]byte("#a\n\"b\n#c\",d\re,f,g\n#"), byte(9))
	f.Fuzz(func(t *testing.T, data []byte, limit byte) {
		opts := CSVOpts{Comment: '#', Width: 2, Ragged: RaggedPad, MaxRecord: max(int(limit), 1), Invalid: invalidUTF8}
		whole := rows(t, newCSV(bytes.NewReader(data), &opts, 1<<16))
		small := rows(t, newCSV(iotest.OneByteReader(bytes.NewReader(data)), &opts, 2))
		if diff := cmp.Diff(whole, small); diff != "" {
			t.Fatalf("-whole +bytes\n%s", diff)
		}
		for _, r := range whole {
			if r.Raw[0] == '#' || r.Code == "" && len(r.Fields) != 2 {
				t.Errorf("%+v", r)
			}
		}
	})
}
