package rowio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidemill/tidemill/internal/sampledata"
)

func TestNext(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		in   string
		opts CSVOpts
		want []row
	}{
		{name: "nothing", in: ""},
		{name: "blank lines only", in: "\n\r\n\r\n\n"},
		{name: "mark only", in: "\ufeff"},
		{name: "plain", in: "a,b\nc,d\n", want: []row{
			{Fields: []string{"a", "b"}, Raw: "a,b", Offset: 0, End: 4, Line: 1, NextLine: 2},
			{Fields: []string{"c", "d"}, Raw: "c,d", Offset: 4, End: 8, Line: 2, NextLine: 3},
		}},
		{name: "no last line end", in: "a,b\r\nc,", want: []row{
			{Fields: []string{"a", "b"}, Raw: "a,b", Offset: 0, End: 5, Line: 1, NextLine: 2},
			{Fields: []string{"c", ""}, Raw: "c,", Offset: 5, End: 7, Line: 2, NextLine: 2},
		}},
		{name: "lone CR ends lines", in: "a\rb\r\rc\r", want: []row{
			{Fields: []string{"a"}, Raw: "a", Offset: 0, End: 2, Line: 1, NextLine: 2},
			{Fields: []string{"b"}, Raw: "b", Offset: 2, End: 4, Line: 2, NextLine: 3},
			{Fields: []string{"c"}, Raw: "c", Offset: 5, End: 7, Line: 4, NextLine: 5},
		}},
		{name: "blank lines are counted", in: "a\n\n\r\nb\n", want: []row{
			{Fields: []string{"a"}, Raw: "a", Offset: 0, End: 2, Line: 1, NextLine: 2},
			{Fields: []string{"b"}, Raw: "b", Offset: 5, End: 7, Line: 4, NextLine: 5},
		}},
		{name: "mark is counted", in: "\ufeff\"a\"\n", want: []row{
			{Fields: []string{`"a`}, Raw: `"a"`, Offset: 3, End: 7, Line: 1, NextLine: 2},
		}},
		{name: "mark after the beginning is data", in: "\ufeffa\n", opts: CSVOpts{Offset: 10, Line: 4}, want: []row{
			{Fields: []string{"\ufeffa"}, Raw: "\ufeffa", Offset: 10, End: 15, Line: 4, NextLine: 5},
		}},
		{name: "NULL against empty", in: "a,,\"\"\n,\n\"\"\n", want: []row{
			{Fields: []string{"a", "", `"`}, Raw: `a,,""`, Offset: 0, End: 6, Line: 1, NextLine: 2},
			{Fields: []string{"", ""}, Raw: ",", Offset: 6, End: 8, Line: 2, NextLine: 3},
			{Fields: []string{`"`}, Raw: `""`, Offset: 8, End: 11, Line: 3, NextLine: 4},
		}},
		{name: "quoted comma, line ends and quotes", in: "\"a,b\",\"c\r\nd\re\nf\",\"say \"\"hi\"\"\",\"\"\"\"\r\nx\n", want: []row{
			{Fields: []string{`"a,b`, "\"c\r\nd\re\nf", `"say "hi"`, `""`}, Raw: "\"a,b\",\"c\r\nd\re\nf\",\"say \"\"hi\"\"\",\"\"\"\"", Offset: 0, End: 36, Line: 1, NextLine: 5},
			{Fields: []string{"x"}, Raw: "x", Offset: 36, End: 38, Line: 5, NextLine: 6},
		}},
		{name: "nothing is trimmed or validated", in: " a ,\x00\xff\t\n", want: []row{
			{Fields: []string{" a ", "\x00\xff\t"}, Raw: " a ,\x00\xff\t", Offset: 0, End: 8, Line: 1, NextLine: 2},
		}},
		{name: "other delimiter and quote", in: "'a;''b''';\"c\n", opts: CSVOpts{Comma: ';', Quote: '\''}, want: []row{
			{Fields: []string{`"a;'b'`, `"c`}, Raw: "'a;''b''';\"c", Offset: 0, End: 13, Line: 1, NextLine: 2},
		}},
		{name: "bare quote costs a line", in: "a\"b,c\nd\n", want: []row{
			{Raw: `a"b,c`, Offset: 0, End: 6, Line: 1, NextLine: 2, Code: CodeBareQuote},
			{Fields: []string{"d"}, Raw: "d", Offset: 6, End: 8, Line: 2, NextLine: 3},
		}},
		{name: "text after a quote costs the first line", in: "\"a\nb\"c,d\ne\n", want: []row{
			{Raw: `"a`, Offset: 0, End: 3, Line: 1, NextLine: 2, Code: CodeTextAfterQuote},
			{Raw: `b"c,d`, Offset: 3, End: 9, Line: 2, NextLine: 3, Code: CodeBareQuote},
			{Fields: []string{"e"}, Raw: "e", Offset: 9, End: 11, Line: 3, NextLine: 4},
		}},
		{name: "unclosed quote costs a line", in: "a,\"b\nc\nd", want: []row{
			{Raw: `a,"b`, Offset: 0, End: 5, Line: 1, NextLine: 2, Code: CodeUnclosedQuote},
			{Fields: []string{"c"}, Raw: "c", Offset: 5, End: 7, Line: 2, NextLine: 3},
			{Fields: []string{"d"}, Raw: "d", Offset: 7, End: 8, Line: 3, NextLine: 3},
		}},
		{name: "as long as allowed", in: "abcd\n\"ef\"\r\nabcd", opts: CSVOpts{MaxRecord: 4}, want: []row{
			{Fields: []string{"abcd"}, Raw: "abcd", Offset: 0, End: 5, Line: 1, NextLine: 2},
			{Fields: []string{`"ef`}, Raw: `"ef"`, Offset: 5, End: 11, Line: 2, NextLine: 3},
			{Fields: []string{"abcd"}, Raw: "abcd", Offset: 11, End: 15, Line: 3, NextLine: 3},
		}},
		{name: "line too long is cut and passed", in: "abcde\r\nx\nabcdefgh\ry\nabcde", opts: CSVOpts{MaxRecord: 4}, want: []row{
			{Raw: "abcd", Offset: 0, End: 7, Line: 1, NextLine: 2, Code: CodeRecordTooLong},
			{Fields: []string{"x"}, Raw: "x", Offset: 7, End: 9, Line: 2, NextLine: 3},
			{Raw: "abcd", Offset: 9, End: 18, Line: 3, NextLine: 4, Code: CodeRecordTooLong},
			{Fields: []string{"y"}, Raw: "y", Offset: 18, End: 20, Line: 4, NextLine: 5},
			{Raw: "abcd", Offset: 20, End: 25, Line: 5, NextLine: 5, Code: CodeRecordTooLong},
		}},
		{name: "record too long costs its first line", in: "\"a\nb\nc\"\nd\n", opts: CSVOpts{MaxRecord: 5}, want: []row{
			{Raw: `"a`, Offset: 0, End: 3, Line: 1, NextLine: 2, Code: CodeRecordTooLong},
			{Fields: []string{"b"}, Raw: "b", Offset: 3, End: 5, Line: 2, NextLine: 3},
			{Raw: `c"`, Offset: 5, End: 8, Line: 3, NextLine: 4, Code: CodeBareQuote},
			{Fields: []string{"d"}, Raw: "d", Offset: 8, End: 10, Line: 4, NextLine: 5},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := rows(t, NewCSV(strings.NewReader(tt.in), &tt.opts))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestRecordErrorPlace(t *testing.T) {
	t.Parallel()

	tests := []struct {
		in   string
		want RecordError
	}{
		{"x\na,b\"c\n", RecordError{Code: CodeBareQuote, Line: 2, Column: 4}},
		{"\"a\r\nb\rcd\"e\n", RecordError{Code: CodeTextAfterQuote, Line: 3, Column: 4}},
		{"a,\"b\nc\n", RecordError{Code: CodeUnclosedQuote, Line: 1, Column: 3}},
		{"\"a\n\",\"" + strings.Repeat("x", 100), RecordError{Code: CodeRecordTooLong, Line: 2, Column: 3}},
		{strings.Repeat("x", 100), RecordError{Code: CodeRecordTooLong, Line: 1, Column: 1}},
	}
	for _, tt := range tests {
		c := NewCSV(strings.NewReader(tt.in), &CSVOpts{MaxRecord: 20})
		rec, err := c.Next()
		for err == nil && rec.Err == nil {
			rec, err = c.Next()
		}
		if err != nil {
			t.Errorf("%q: no malformed record: %v", tt.in, err)
			continue
		}
		got := *rec.Err
		if got.Message == "" || !strings.HasPrefix(got.Error(), fmt.Sprintf("line %d, column %d: ", got.Line, got.Column)) {
			t.Errorf("%q: error text %q", tt.in, got.Error())
		}
		got.Message = ""
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", tt.in, diff)
		}
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()

	for _, opts := range []CSVOpts{
		{Comma: '"'}, {Comma: '\n'}, {Quote: '\r'}, {Quote: ','}, {Offset: -1}, {Line: -1},
		{MaxRecord: -1}, {MaxRecord: math.MaxInt},
	} {
		c := NewCSV(strings.NewReader("a,b\n"), &opts)
		_, err := c.Next()
		_, again := c.Next()
		if err == nil || err == io.EOF || again != err {
			t.Errorf("%+v: errors %v and %v, want one lasting error", opts, err, again)
		}
	}
}

// nasty has every construct whose end a chunk boundary may hide.
var nasty = []string{
	"\ufeffa,b,c\r\n\"x\r\ny\",\"\"\"\",\"\"\r\n\r\n\r\r\nlast,\"quoted\"",
	"a\rb\r\n\nc\n\r\"d\"\r\"e\"\n",
	"a,\"b\nc\nd\"\"e\"f\ng,h\n\"i\n",
	"\"open\nab\"cd\n\"fine\"\n" + strings.Repeat("long ", 30) + "\r\nok,1\n" + strings.Repeat("y", 40),
	strings.Repeat("z", 33) + "\r",
	"\"" + strings.Repeat("\"\"", 15) + "\"\nq\"q\r\n\xef\xbb\xbf,\x00\n",
	",\n,,\n\"\",\"\"\n\n\n",
}

func TestChunkingAndResume(t *testing.T) {
	t.Parallel()

	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r },
		"bytes": iotest.OneByteReader,
		"half":  iotest.HalfReader,
		"eof":   iotest.DataErrReader,
		"both":  func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
	}
	for i, in := range nasty {
		for name, wrap := range readers {
			t.Run(fmt.Sprintf("%d/%s", i, name), func(t *testing.T) {
				t.Parallel()
				opts := CSVOpts{MaxRecord: 32}
				want := model([]byte(in), ',', '"', opts.MaxRecord)
				got := rows(t, newCSV(wrap(strings.NewReader(in)), &opts, 3))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("full read: -want +got\n%s", diff)
				}
				for k, r := range want {
					opts.Offset, opts.Line = r.End, r.NextLine
					rest := rows(t, newCSV(wrap(strings.NewReader(in[r.End:])), &opts, 3))
					if diff := cmp.Diff(want[k+1:], rest, cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("resumed at %d: -want +got\n%s", r.End, diff)
					}
				}
			})
		}
	}
}

// TestReadError: what lies whole before the error is returned, the rest is not,
// wherever in a record the error strikes.
func TestReadError(t *testing.T) {
	t.Parallel()

	broken := errors.New("line is down")
	for _, in := range nasty {
		full := model([]byte(in), ',', '"', 32)
		for cut := range len(in) {
			r := io.MultiReader(strings.NewReader(in[:cut]), iotest.ErrReader(broken))
			c := newCSV(iotest.OneByteReader(r), &CSVOpts{MaxRecord: 32}, 3)
			var got []row
			rec, err := c.Next()
			for err == nil {
				got = append(got, rowOf(rec))
				rec, err = c.Next()
			}
			if !errors.Is(err, broken) {
				t.Fatalf("%q cut at %d: error %v", in, cut, err)
			}
			if _, again := c.Next(); again != err {
				t.Errorf("%q cut at %d: second error %v", in, cut, again)
			}
			if len(got) > len(full) {
				t.Fatalf("%q cut at %d: %d records", in, cut, len(got))
			}
			if diff := cmp.Diff(full[:len(got)], got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%q cut at %d: -want +got\n%s", in, cut, diff)
			}
		}
	}
}

func TestReaderThatGivesNothing(t *testing.T) {
	t.Parallel()

	for _, r := range []io.Reader{readerFunc(func([]byte) (int, error) { return 0, nil }), readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil })} {
		if _, err := NewCSV(r, nil).Next(); err == nil || err == io.EOF {
			t.Errorf("error %v, want one that names the reader", err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestMemoryIsBounded reads files far larger than MaxRecord whose first line
// would hold all of the file back.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()

	const (
		maxRecord = 256 << 10
		lines     = 200_000
		line      = "1,user1@example.com,A Name,JP,2024-01-02,42,10.00,some note here\n"
	)
	body := func() io.Reader { return strings.NewReader(strings.Repeat(line, lines)) }
	tests := []struct {
		name  string
		first io.Reader
	}{
		{"unclosed quote", strings.NewReader("1,\"open\n")},
		{"endless line", io.MultiReader(strings.NewReader(strings.Repeat("x", 8<<20)), strings.NewReader("\r\n"))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := NewCSV(io.MultiReader(tt.first, body()), &CSVOpts{MaxRecord: maxRecord})
			good, bad := 0, 0
			for {
				rec, err := c.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if rec.Err != nil {
					bad++
					if len(rec.Raw) > maxRecord {
						t.Errorf("raw has %d bytes", len(rec.Raw))
					}
					continue
				}
				if string(rec.Raw) != line[:len(line)-1] {
					t.Fatalf("record at %d is %q", rec.Offset, rec.Raw)
				}
				good++
			}
			if good != lines || bad != 1 {
				t.Errorf("%d good and %d bad records, want %d and 1", good, bad, lines)
			}
			if got := cap(c.win.buf); got > maxRecord+readSize {
				t.Errorf("buffer has %d bytes, want at most %d", got, maxRecord+readSize)
			}
		})
	}
}

// TestSampleFile: in a file with every kind of bad row, only the stray quotes
// are the scanner's to find, and each costs its own row alone.
func TestSampleFile(t *testing.T) {
	t.Parallel()

	var file bytes.Buffer
	stats, err := sampledata.WritePeople(&file, sampledata.PeopleOpts{Rows: 20_000, Bad: 70, DuplicateRatio: 0.1, Shuffle: true})
	if err != nil {
		t.Fatal(err)
	}
	all := rows(t, NewCSV(&file, nil))
	malformed := map[string]int{}
	for _, r := range all {
		if r.Code != "" {
			malformed[r.Code]++
		}
	}
	if got := len(all) - 1; got != stats.Rows {
		t.Errorf("%d rows, want %d", got, stats.Rows)
	}
	if diff := cmp.Diff(map[string]int{CodeBareQuote: 10}, malformed); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if last := all[len(all)-1]; last.End != stats.Bytes {
		t.Errorf("last record ends at %d of %d bytes", last.End, stats.Bytes)
	}
}

// TestNoAllocationPerRecord is not parallel: the count is that of the process.
func TestNoAllocationPerRecord(t *testing.T) {
	data := []byte(strings.Repeat("1,a@example.com,\"Smith, \"\"Al\"\"\",,\"two\nlines\"\r\n2,b,c,d,e\n", 50_000))
	c := NewCSV(bytes.NewReader(data), nil)
	if _, err := c.Next(); err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(90_000, func() {
		if _, err := c.Next(); err != nil {
			t.Error(err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations per record, want 0", got)
	}
}
