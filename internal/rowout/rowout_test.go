package rowout_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/tidemill/tidemill/internal/rowout"
)

func TestCSV(t *testing.T) {
	t.Parallel()

	text := []bool{true, true, true}
	tests := []struct {
		name    string
		opts    rowout.CSVOpts
		row     string // as COPY sends it
		want    string
		defused int
	}{
		{"as it is", rowout.CSVOpts{}, "1\ta\tb c\n", "1,a,b c\n", 0},
		{"NULL and empty", rowout.CSVOpts{}, "\\N\t\t\\\\N\n", ",\"\",\\N\n", 0},
		{"NULL and empty, the other way", rowout.CSVOpts{Null: `\N`}, "\\N\t\t\\\\N\n", "\\N,,\"\\N\"\n", 0},
		{"quotes", rowout.CSVOpts{}, "a,b\tsay \"x\"\t\"\n", "\"a,b\",\"say \"\"x\"\"\",\"\"\"\"\n", 0},
		{"escapes", rowout.CSVOpts{}, `a\nb` + "\t" + `\r\t\b\f\v` + "\t" + `\\.` + "\n", "\"a\nb\",\"\r\t\b\f\v\",\\.\n", 0},
		{"CRLF ends records only", rowout.CSVOpts{CRLF: true}, "1\ta\\nb\t\\N\n", "1,\"a\nb\",\r\n", 0},
		{"each that begins a formula", rowout.CSVOpts{Defuse: text}, "=1\t+1\t-1\n", "'=1,+1,-1\n", 1},
		{"the others", rowout.CSVOpts{Defuse: text}, "@a\t\\ta\t\\ra\n", "'@a,'\ta,\"'\ra\"\n", 3},
		{"quoted", rowout.CSVOpts{Defuse: text}, "=a,\"b\"\t\"=\t\n", "\"'=a,\"\"b\"\"\",\"\"\"=\",\"\"\n", 1},
		{"text columns only", rowout.CSVOpts{Defuse: []bool{false, true, false}}, "-a\t-a\t-a\n", "-a,'-a,-a\n", 1},
		{"within", rowout.CSVOpts{Defuse: text}, "a=b\t =c\t'=d\n", "a=b, =c,'=d\n", 0},
		{"NULL that looks like one", rowout.CSVOpts{Defuse: text, Null: "-"}, "\\N\t-\t-1\n", "-,\"'-\",-1\n", 1},
		{"hidden", rowout.CSVOpts{Hidden: 2}, "1\ta,\\n\tb\n", "b\n", 0},
		{"a line that would end the data", rowout.CSVOpts{Hidden: 2}, "1\t2\t\\\\.\n", "\"\\.\"\n", 0},
		{"hidden formulas do not count", rowout.CSVOpts{Hidden: 1, Defuse: text}, "=1\t=2\t=3\n", "'=2,'=3\n", 2},
		{"delimiter", rowout.CSVOpts{Delimiter: '\t', Defuse: text}, "=1,2\ta\\tb\t-\n", "'=1,2\t\"a\tb\"\t'-\n", 2},
		{"a backslash between", rowout.CSVOpts{Delimiter: '\\'}, "a\t\\\\\t\\N\n", "a\\\"\\\"\\\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.opts.Delimiter == 0 {
				tt.opts.Delimiter = ','
			}
			tt.opts.Columns = 3
			out, row, defused, err := rowout.NewCSV(tt.opts).Append([]byte("x"), []byte(tt.row))
			if err != nil || !row {
				t.Fatal(row, err)
			}
			if diff := cmp.Diff("x"+tt.want, string(out)); diff != "" || defused != tt.defused {
				t.Errorf("%d defused, want %d %s", defused, tt.defused, diff)
			}
		})
	}
}

func TestCSVRefusesWhatIsNoRow(t *testing.T) {
	t.Parallel()

	c := rowout.NewCSV(rowout.CSVOpts{Columns: 2, Delimiter: ',', Defuse: []bool{true, true}})
	for _, message := range []string{"", "\n", "a\tb", "a\n", "a\tb\tc\n"} {
		if out, _, _, err := c.Append([]byte("x"), []byte(message)); err == nil || string(out) != "x" {
			t.Errorf("%q became %q", message, out)
		}
		if values, err := c.Values([]byte(message), 3); err == nil && len(values) != 3 {
			t.Errorf("%q has the values %v", message, values)
		}
	}
}

func TestCSVHeader(t *testing.T) {
	t.Parallel()

	c := rowout.NewCSV(rowout.CSVOpts{Columns: 7, Delimiter: ';', CRLF: true, Hidden: 1, Defuse: []bool{true, true}})
	got := string(c.Header(nil, []string{"id", "a;b", `say "x"`, "", "two\nlines", "="}))
	if want := "id;\"a;b\";\"say \"\"x\"\"\";\"\";\"two\nlines\";=\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	values, err := c.Values([]byte("1\t\\N\t\ta\\tb\t\\\\N\trest\n"), 5)
	want := []rowout.Value{{Text: "1"}, {Null: true}, {}, {Text: "a\tb"}, {Text: `\N`}}
	if diff := cmp.Diff(want, values); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// tuple is a row as a binary COPY sends it; nil is NULL.
func tuple(first bool, columns ...[]byte) []byte {
	var b []byte
	if first {
		b = append(append(b, "PGCOPY\n\xff\r\n\x00"...), make([]byte, 8)...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(columns)))
	for _, column := range columns {
		if column == nil {
			b = binary.BigEndian.AppendUint32(b, 0xffffffff)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(column))), column...)
	}
	return b
}

func TestNDJSON(t *testing.T) {
	t.Parallel()

	var rows rowout.NDJSON
	var out []byte
	for i, message := range [][]byte{
		tuple(true, []byte("1"), nil, []byte(`{"a":1}`)), tuple(false, []byte("2"), []byte(""), []byte("{\"a\":[1,\r\n 2]}")), {0xff, 0xff}, tuple(true)[:19],
	} {
		var row bool
		var err error
		if out, row, _, err = rows.Append(out, message); err != nil || row != (i < 2) {
			t.Error(i, row, err)
		}
		values, err := rows.Values(message, 2)
		want := [][]rowout.Value{{{Text: "1"}, {Null: true}}, {{Text: "2"}, {}}, nil, nil}[i]
		if diff := cmp.Diff(want, values); diff != "" || err != nil {
			t.Error(i, err, diff)
		}
	}
	if want := "{\"a\":1}\n{\"a\":[1,   2]}\n"; string(out) != want {
		t.Errorf("%q, want %q", out, want)
	}
	whole := tuple(true, []byte("1"), []byte(`{"a":1}`))
	for n := 20; n < len(whole); n++ {
		if _, _, _, err := rows.Append(nil, whole[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken for a row", n, len(whole))
		}
	}
}

func TestPart(t *testing.T) {
	t.Parallel()

	open := map[string]func(io.Reader) (io.Reader, error){
		rowout.None: func(r io.Reader) (io.Reader, error) { return r, nil },
		rowout.Gzip: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		rowout.Zstd: func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	}
	rows := rowout.NewCSV(rowout.CSVOpts{Columns: 1, Delimiter: ',', Defuse: []bool{true}})
	long := strings.Repeat("long ", 300_000) + "\n"
	for compression, reader := range open {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			part, err := rowout.NewPart(compression)
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			whole := sha256.New()
			want := "head\n"
			for i := range 3 {
				from := file.Len()
				part.Begin(&file, whole)
				if i == 0 {
					part.Raw([]byte(want))
				}
				for range 20_000 {
					if row, defused, err := part.Row(rows, []byte("=a row\n")); !row || defused != 1 || err != nil {
						t.Fatal(row, defused, err)
					}
				}
				if _, _, err := part.Row(rows, []byte(long)); err != nil {
					t.Fatal(err)
				}
				want += strings.Repeat("'=a row\n", 20_000) + long
				n, sum, err := part.End()
				if err != nil {
					t.Fatal(err)
				}
				if n != int64(file.Len()-from) || sum != crc32.Checksum(file.Bytes()[from:], rowout.Castagnoli()) {
					t.Errorf("part %d has %d bytes, counted %d", i, file.Len()-from, n)
				}
			}
			sum := sha256.Sum256(file.Bytes())
			if !bytes.Equal(sum[:], whole.Sum(nil)) {
				t.Error("the digest of the whole is another")
			}
			r, err := reader(&file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || string(got) != want {
				t.Errorf("%d bytes, want %d, %v", len(got), len(want), err)
			}
		})
	}
	if _, err := rowout.NewPart("lzma"); err == nil {
		t.Error("lzma is known")
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestPartTellsAFailedWrite(t *testing.T) {
	t.Parallel()

	for _, compression := range []string{rowout.None, rowout.Gzip, rowout.Zstd} {
		part, err := rowout.NewPart(compression)
		if err != nil {
			t.Fatal(err)
		}
		part.Begin(full{}, nil)
		part.Raw([]byte("x"))
		if _, _, err := part.End(); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", compression, err)
		}
	}
}

// escaped is a text as COPY sends it in text format.
var escaped = strings.NewReplacer(`\`, `\\`, "\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\v", `\v`)

// Whatever texts a row has, a reader of CSV gets them back, with a ' in front of those that begin like a formula.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"=1\x00a\x00b", "=\"\n\x00\x00\r\n", ",\x00\\N\x00\\.", "\t\x00\v\b\f\x00é"} {
		f.Add(seed, byte(','))
	}
	f.Add("a;b\x00\\\x00|", byte(';'))
	f.Add("a\tb\x00\\\x00|", byte('\t'))
	f.Fuzz(func(t *testing.T, text string, delimiter byte) {
		if delimiter == 0 || delimiter >= 0x80 || strings.IndexByte("\"'\r\n", delimiter) >= 0 {
			return
		}
		texts := strings.SplitN(text+"\x00\x00", "\x00", 3)
		texts[2] = strings.ReplaceAll(texts[2], "\x00", "")
		message := escaped.Replace(texts[0]) + "\t" + escaped.Replace(texts[1]) + "\t" + escaped.Replace(texts[2]) + "\n"
		c := rowout.NewCSV(rowout.CSVOpts{Columns: 3, Delimiter: delimiter, Defuse: []bool{true, true, false}})
		out, row, defused, err := c.Append(nil, []byte(message))
		if err != nil || !row {
			t.Fatal(row, err)
		}
		r := csv.NewReader(bytes.NewReader(out))
		r.Comma = rune(delimiter)
		got, err := r.Read()
		if err != nil {
			t.Fatalf("%q became %q: %v", texts, out, err)
		}
		want := slices.Clone(texts)
		for i, text := range texts[:2] {
			if text != "" && strings.ContainsAny(text[:1], "=+-@\t\r") {
				want[i] = "'" + text
				defused--
			}
		}
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "\r\n", "\n") // the reader does that
		}
		if diff := cmp.Diff(want, got); diff != "" || defused != 0 {
			t.Fatalf("%q became %q, %d too many defused %s", texts, out, defused, diff)
		}
		values, err := c.Values([]byte(message), 3)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]rowout.Value{{Text: texts[0]}, {Text: texts[1]}, {Text: texts[2]}}, values); diff != "" {
			t.Fatal(diff)
		}
		_, _, _, _ = c.Append(nil, []byte(text+"\n")) // whatever comes, it does not panic
	})
}

func FuzzNDJSON(f *testing.F) {
	f.Add(tuple(true, []byte("1"), []byte(`{"a":1}`)))
	f.Add(tuple(false, nil, []byte("[\n]")))
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, message []byte) {
		var rows rowout.NDJSON
		out, row, _, err := rows.Append(nil, message)
		values, valuesErr := rows.Values(message, 1)
		if err != nil && values != nil && valuesErr == nil {
			t.Fatalf("%q is no row, and has the values %v", message, values)
		}
		if row && (bytes.IndexByte(out, '\n') != len(out)-1 || bytes.IndexByte(out, '\r') >= 0) {
			t.Fatalf("%q became %q", message, out)
		}
		if row && json.Valid(out) && !json.Valid(bytes.TrimSpace(out)) {
			t.Fatalf("%q became %q", message, out)
		}
	})
}
