package rowio_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"github.com/tidemill/tidemill/internal/rowio"
	"github.com/tidemill/tidemill/internal/textin"
)

// file serves bytes one at a time.
func file(data []byte) textin.Source {
	return func(offset int64) (io.ReadCloser, error) {
		return io.NopCloser(iotest.OneByteReader(bytes.NewReader(data[offset:]))), nil
	}
}

func encoded(t testing.TB, e encoding.Encoding, text string) []byte {
	t.Helper()
	out, err := e.NewEncoder().Bytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// record is what an import keeps of a record.
type record struct {
	Fields         []string
	Raw            string
	Offset, End    int64
	Line, NextLine int64
	Err            string
}

// readFile does what an import does with a file that nothing is known of, or goes
// after a record.
func readFile(t testing.TB, data []byte, after record) ([]record, error) {
	t.Helper()
	head, err := textin.Look(file(data), textin.Format{})
	if err != nil {
		t.Fatal(err)
	}
	if doubt := head.Doubt(); doubt != "" {
		t.Fatal(doubt)
	}
	dialect := rowio.DetectDialect(head.Text, head.Whole, rowio.Dialect{}, 0)
	stream, err := textin.Open(file(data), head.Format, after.End)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	c := rowio.NewCSV(stream, &rowio.CSVOpts{
		Comma: dialect.Delimiter, Quote: dialect.Quote, Offset: after.End, Line: after.NextLine, Invalid: head.Invalid,
	})
	var all []record
	for {
		rec, err := c.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		r := record{Raw: string(rec.Raw), Offset: rec.Offset, End: rec.End, Line: rec.Line, NextLine: rec.NextLine}
		for _, f := range rec.Fields {
			r.Fields = append(r.Fields, string(f.Value))
		}
		if rec.Err != nil {
			r.Err = rec.Err.Error()
		}
		all = append(all, r)
	}
}

const sheet = "番号;氏名;住所;金額\r\n1;田中 太郎;\"東京都\r\n千代田区\";1.234,50\r\n2;髙橋 花子;\"大阪府 \"\"北\"\"区\";2,00\r\n3;ﾔﾏﾀﾞ;京都市表;3,00\r\n"

// TestSpreadsheetExports: the same rows, whatever the program wrote them as.
func TestSpreadsheetExports(t *testing.T) {
	t.Parallel()

	utf16le := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	files := map[string][]byte{
		"utf-8":            []byte(sheet),
		"utf-8 and mark":   []byte("\ufeff" + sheet),
		"cp932":            encoded(t, japanese.ShiftJIS, sheet),
		"unicode text":     encoded(t, utf16le, strings.ReplaceAll(sheet, ";", "\t")),
		"gzip cp932":       zipped(t, encoded(t, japanese.ShiftJIS, sheet)),
		"gzip and mark":    zipped(t, []byte("\ufeff"+sheet)),
		"utf-16be no mark": encoded(t, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), sheet),
	}
	want := [][]string{
		{"番号", "氏名", "住所", "金額"}, {"1", "田中 太郎", "東京都\r\n千代田区", "1.234,50"},
		{"2", "髙橋 花子", "大阪府 \"北\"区", "2,00"}, {"3", "ﾔﾏﾀﾞ", "京都市表", "3,00"},
	}
	for name, data := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, err := readFile(t, data, record{})
			if err != nil {
				t.Fatal(err)
			}
			var got [][]string
			for _, r := range all {
				got = append(got, r.Fields)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if last := all[len(all)-1]; last.NextLine != 6 {
				t.Errorf("ends at line %d", last.NextLine)
			}
		})
	}
}

// TestResumeAnywhere: from the end of any record on, the records are those of an
// undisturbed read: in UTF-16 in gzip, and in encodings with bad bytes in them.
func TestResumeAnywhere(t *testing.T) {
	t.Parallel()

	var body strings.Builder
	body.WriteString("id;name;note\r\n")
	for i := range 60 {
		fmt.Fprintf(&body, "%d;髙橋 😀;\"line %d\nand; another\"\r\n", i, i)
		if i%9 == 0 {
			body.WriteString("stray \" quote\r\n\r\n")
		}
	}
	wide := encoded(t, unicode.UTF16(unicode.BigEndian, unicode.UseBOM), body.String())
	kanji := encoded(t, japanese.ShiftJIS, strings.ReplaceAll(body.String(), "😀", "太郎"))
	broken := bytes.Replace(kanji, []byte("\r\n7;"), []byte("\r\n\x817;"), 1)
	for name, data := range map[string][]byte{"utf-16 in gzip": zipped(t, wide), "cp932": kanji, "broken cp932": broken, "broken cp932 in gzip": zipped(t, broken)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, err := readFile(t, data, record{})
			if err != nil {
				t.Fatal(err)
			}
			if len(all) != 68 {
				t.Fatalf("%d records", len(all))
			}
			malformed := 0
			for i, r := range all {
				if r.Err != "" {
					malformed++
				}
				rest, err := readFile(t, data, r)
				if diff := cmp.Diff(all[i+1:], rest, cmpopts.EquateEmpty()); err != nil || diff != "" {
					t.Fatalf("after record %d: %v; -want +got\n%s", i, err, diff)
				}
			}
			want := 7
			if strings.HasPrefix(name, "broken") {
				want++
			}
			if malformed != want {
				t.Errorf("%d malformed, want %d", malformed, want)
			}
		})
	}
}

// TestBadBytesCostTheirRecord: and the reason names the byte, the guess and the way out.
func TestBadBytesCostTheirRecord(t *testing.T) {
	t.Parallel()

	data := encoded(t, japanese.ShiftJIS, strings.Repeat("1,佐藤 一郎,東京都千代田区のお客様\n", 20))
	data = append(data, "2,\x8d\xb2\x81,x\n3,ok,y\n"...)
	all, err := readFile(t, data, record{})
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-2:]
	if !strings.HasPrefix(last[0].Err, "line 21, column 6: byte 0x81 at column 4 is not valid shift_jis; the encoding was guessed (") || last[0].Fields != nil {
		t.Errorf("%+v", last[0])
	}
	if diff := cmp.Diff([]string{"3", "ok", "y"}, last[1].Fields); diff != "" {
		t.Error(diff)
	}
}

// TestTruncatedGzip: every whole record before the cut, then an error that says what happened.
func TestTruncatedGzip(t *testing.T) {
	t.Parallel()

	var body strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&body, "%d,name %d,%d\n", i, i*7919%10_007, i*i)
	}
	whole := zipped(t, []byte(body.String()))
	all, err := readFile(t, whole[:len(whole)*3/4], record{})
	var damage *textin.DamageError
	if !errors.As(err, &damage) || damage.Damage != textin.Truncated || !strings.Contains(err.Error(), "the file was cut off") {
		t.Errorf("error %v", err)
	}
	if len(all) < 2_500 {
		t.Fatalf("only %d records", len(all))
	}
	for i, r := range all {
		if want := fmt.Sprintf("%d,name %d,%d", i, i*7919%10_007, i*i); r.Raw != want {
			t.Fatalf("record %d is %q", i, r.Raw)
		}
	}
}
