package importjob_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"github.com/tidemill/tidemill/batch"
)

func encoded(t *testing.T, e encoding.Encoding, text string) string {
	t.Helper()
	out, err := e.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t *testing.T, text string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

// Whatever file comes, the table is the same.
func TestImportOfOddFiles(t *testing.T) {
	t.Parallel()
	const german = "id,name\n1,Jörg Müller aus Köln\n2,Zoë Façade in Zürich\n3,\"Straße, süß\"\n"
	const japaneseText = "id,name\n1,山田太郎と東京都\n2,鈴木花子、大阪府\n3,表示ソフトウェア能力\n"
	semicolons := strings.NewReplacer(",", ";", "\n", "\r\n", "\"Straße; süß\"", "Straße, süß")
	excel := "\ufeff" + semicolons.Replace(german)
	utf16 := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	utf16be := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	wantGerman := []string{"1 Jörg Müller aus Köln", "2 Zoë Façade in Zürich", "3 Straße, süß"}
	wantJapanese := []string{"1 山田太郎と東京都", "2 鈴木花子、大阪府", "3 表示ソフトウェア能力"}
	for _, tt := range []struct {
		name, fields, file string
		want               []string
	}{
		{"plain", "", german, wantGerman},
		{"Excel: mark, semicolons, CRLF", "", strings.ReplaceAll(excel, `"Straße; süß"`, `"Straße, süß"`), wantGerman},
		{"windows-1252", "", encoded(t, charmap.Windows1252, german), wantGerman},
		{"latin-1 set", "encoding: iso-8859-1", encoded(t, charmap.ISO8859_1, german), wantGerman},
		{"UTF-16 with mark", "", encoded(t, utf16, german), wantGerman},
		{"UTF-16 big endian without mark", "", encoded(t, utf16be, german), wantGerman},
		{"Shift_JIS", "", encoded(t, japanese.ShiftJIS, japaneseText), wantJapanese},
		{"EUC-JP", "", encoded(t, japanese.EUCJP, japaneseText), wantJapanese},
		{"Shift_JIS set, gzip", "encoding: shift_jis", gzipped(t, encoded(t, japanese.ShiftJIS, japaneseText)), wantJapanese},
		{"gzip", "", gzipped(t, german), wantGerman},
		{"gzip in two members", "", gzipped(t, german[:30]) + gzipped(t, german[30:]), wantGerman},
		{"zstd", "", zstandard(t, german), wantGerman},
		{"zstd of UTF-16", "", zstandard(t, encoded(t, utf16, german)), wantGerman},
		{"tabs", "", strings.ReplaceAll(strings.ReplaceAll(german, ",", "\t"), "\"Straße\t süß\"", "Straße, süß"), wantGerman},
		{"single quotes", "quote: \"'\"", strings.ReplaceAll(german, `"`, `'`), wantGerman},
		{"comments and blank lines", "comment: '#'", "# made by hand\n\n" + strings.ReplaceAll(german, "\n2,", "\n#, \"\n\n2,"), wantGerman},
		{"ragged", "ragged: pad", "id,name\n1,a,,\n2\n", []string{"1 a", "2"}},
		{"NDJSON", "format: ndjson", `{"name": "Jörg \"M\"", "id": 1}` + "\n\n" + `{"id": 2, "name": null, "more": [1]}` + "\n" + `{"id": 3, "name": "\u0001é"}`,
			[]string{"1 Jörg \"M\"", "2", "3 \x01é"}},
		{"NDJSON, gzip", "format: ndjson\ncolumns: {id: nr, name: full}", gzipped(t, `{"full": "a", "nr": 1}`+"\n"+`{"nr": 2, "full": {"deep": [1, 2]}}`+"\n"),
			[]string{"1 a", `2 {"deep": [1, 2]}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fields := "table: people\nmatch: [id]\n" + tt.fields
			if !strings.Contains(tt.fields, "columns:") {
				fields += "\ncolumns: {id: id, name: name}"
			}
			b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, name text)`, fields)
			info := b.load(t, tt.file)
			if info.Status != batch.Succeeded {
				t.Fatalf("%s: %v %+v", info.Status, text(info.Error), info.Counters)
			}
			if info.Total == nil || info.Done != *info.Total {
				t.Errorf("done %d of %v bytes", info.Done, info.Total)
			}
			if diff := cmp.Diff(tt.want, b.rows(t, "SELECT concat_ws(' ', id, name) FROM people ORDER BY id")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Every row before the damage is kept, and the run says what is wrong.
func TestImportOfADamagedFile(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("id,name\n")
	for i := range 200_000 {
		fmt.Fprintf(&file, "%d,name %x\n", i, i*7919%104729)
	}
	whole := gzipped(t, file.String())
	cut := whole[:len(whole)*3/4]
	reader, err := gzip.NewReader(strings.NewReader(cut))
	if err != nil {
		t.Fatal(err)
	}
	before, err := io.ReadAll(reader)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	rows := int64(bytes.Count(before, []byte("\n")) - 1)
	for _, writers := range []int{1, 3} {
		t.Run(fmt.Sprint(writers), func(t *testing.T) {
			t.Parallel()
			b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, name text)`, fmt.Sprint("table: people\nmatch: [id]\nwriters: ", writers))
			info := b.load(t, cut)
			if info.Status != batch.Failed || !strings.Contains(text(info.Error), "gzip") {
				t.Fatalf("%s: %s", info.Status, text(info.Error))
			}
			if info.Counters.Inserted != rows || info.Counters.Inserted != info.Counters.Read {
				t.Errorf("%+v, want %d", info.Counters, rows)
			}
		})
	}
}

// A byte that is none in the encoding costs its record only, and the reject can be read.
func TestImportRejectsWhatIsNoText(t *testing.T) {
	t.Parallel()
	b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, name text)`, "table: people\nmatch: [id]\nencoding: shift_jis")
	info := b.load(t, encoded(t, japanese.ShiftJIS, "id,name\n1,山田\n2,")+"\x81\xff\n"+encoded(t, japanese.ShiftJIS, "3,鈴木\n"))
	if info.Status != batch.SucceededWithRejects || info.Counters.Inserted != 2 || info.Counters.Rejected != 1 {
		t.Fatalf("%s %s %+v", info.Status, text(info.Error), info.Counters)
	}
	rejects, err := b.Ledger.Rejects(t.Context(), info.ID, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(rejects) != 1 || rejects[0].Code != "invalid_text" || !strings.Contains(rejects[0].Reason, "0x81") || !strings.HasPrefix(string(rejects[0].Raw), "2,") {
		t.Errorf("%+v", rejects)
	}
}
