package importjob_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/workers/kind"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
	"github.com/tidemill/tidemill/workers"
)

// redefine gives the job other fields.
func (b *importBundle) redefine(t *testing.T, fields string) {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte("jobs:\n  load:\n    kind: import\n    "+strings.ReplaceAll(fields, "\n", "\n    ")), &config.Opts{Kinds: workers.Configs()})
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cfg = cfg
}

// pausing makes chunks of so many rows, and asks each attempt to pause when it has committed its first one.
func pausing(rows int) func(*importBundle, *importjob.Opts) {
	return func(b *importBundle, opts *importjob.Opts) {
		opts.ChunkRows = rows
		opts.OnChunk = func(string, batch.Counters) {
			var id int64
			if err := b.Pool.QueryRow(context.Background(), "SELECT max(id) FROM tidemill.run").Scan(&id); err == nil {
				_ = b.Ledger.Pause(context.Background(), id) // refused when that was the last chunk
			}
		}
	}
}

// finish resumes the run as often as it pauses, and returns how often that was.
func (b *importBundle) finish(t *testing.T, id int64) (*batch.Info, int) {
	t.Helper()
	for pauses := 0; ; pauses++ {
		info := b.WaitStatus(t, id, batch.Paused, batch.Succeeded, batch.SucceededWithRejects, batch.Failed)
		if info.Status != batch.Paused {
			return info, pauses
		}
		if err := b.Ledger.Resume(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

// However a file is written, an import that is stopped again and again ends as if it had not been.
func TestImportGoesOnAtEveryChunk(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("id;betrag;name\r\n")
	want := []string{}
	for i := range 24 {
		fmt.Fprintf(&file, "%d;1.%03d,5;\"名前 %d\r\n表示; \"\"🙂\"\" ソ\"\r\n", i, i, i)
		want = append(want, fmt.Sprintf("%d|1%03d.5|名前 %d\r\n表示; \"🙂\" ソ", i, i, i))
	}
	plain := strings.ReplaceAll(file.String(), "🙂", "能")
	utf16 := encoded(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), file.String())
	for _, tt := range []struct {
		name, file string
		rows       int
	}{
		{"UTF-8", file.String(), 1},
		{"gzip of UTF-16", gzipped(t, utf16), 1},
		{"gzip of UTF-16, three writers", gzipped(t, utf16), 1},
		{"two members of gzip, cut in a character", gzipped(t, utf16[:601]) + gzipped(t, utf16[601:]), 2},
		{"zstd of Shift_JIS", zstandard(t, encoded(t, japanese.ShiftJIS, plain)), 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			writers := "1"
			if strings.HasSuffix(tt.name, "three writers") {
				writers = "3"
			}
			b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, amount numeric, name text)`,
				"table: people\nmatch: [id]\ncolumns: {id, amount: {field: betrag, type: number, decimal: \",\", grouping: \".\"}, name}\nwriters: "+writers, pausing(tt.rows))
			info, pauses := b.finish(t, b.start(t, tt.file, importjob.Args{Definition: b.cfg.Jobs["load"].Hash()}))
			if info.Status != batch.Succeeded || info.Counters != (batch.Counters{Read: 24, Inserted: 24}) {
				t.Errorf("%s: %s %+v", info.Status, text(info.Error), info.Counters)
			}
			if least := 24/tt.rows/2 - 1; pauses < least {
				t.Errorf("paused %d times, want %d", pauses, least)
			}
			rows := slices.Clone(want)
			if strings.HasPrefix(tt.name, "zstd") {
				for i := range rows {
					rows[i] = strings.ReplaceAll(rows[i], "🙂", "能")
				}
			}
			if diff := cmp.Diff(rows, b.rows(t, "SELECT id, amount::text, name FROM people ORDER BY id")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A run reads the rest of its file as it read the beginning, though whoever continues with it would judge otherwise.
func TestImportGoesOnAsItBegan(t *testing.T) {
	t.Parallel()
	const table = "table: n\ncolumns: {a: a, b: \"b,c,d\"}"
	for _, tt := range []struct {
		name, fields, began string
		file                string
		cursor              string // changes it; the definition stays then
		after               string // rows up to this one may have been read before
		want                []string
		otherwise           string // the first row, or why there is none, if nothing had been kept
	}{
		{"delimiter", table, `delimiter: ";"`, "a;b,c,d\n1,1;x,x\n2,2;y,y\n3,3;z,z\n", "", "",
			[]string{"1,1|x,x", "2,2|y,y", "3,3|z,z"}, `no field "a"`},
		{"quote", "table: n", `quote: "'"`, "a,b\n1,\"x\"\n2,\"y\"\n3,\"z\"\n", "", "",
			[]string{`1|"x"`, `2|"y"`, `3|"z"`}, "1|x"},
		{"encoding", "table: n", "encoding: windows-1252", "a,b\n1,ä\n2,ö\n3,ü\n", "", "",
			[]string{"1|Ã¤", "2|Ã¶", "3|Ã¼"}, "1|ä"},
		{"names", "table: n\nformat: ndjson", "", `{"a": 1, "b": 1}` + "\n" + `{"a": 2, "b": 2}` + "\n" + `{"a": 3, "b": 3}` + "\n", `jsonb_set(cursor, '{form,names}', '["a"]')`, "2",
			[]string{"3|∅"}, "1|1"},
		{"run of a version that kept nothing", "table: n", "", "a;b\n1;x\n2;y\n3;z\n", `cursor - 'form'`, "",
			[]string{"1|x", "2|y", "3|z"}, "1|x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `CREATE TABLE public.n (a text, b text)`, tt.fields+"\n"+tt.began, pausing(1))
			id := b.start(t, tt.file, importjob.Args{})
			b.WaitStatus(t, id, batch.Paused)
			b.redefine(t, tt.fields)
			if tt.cursor != "" {
				b.exec(t, "UPDATE tidemill.run SET cursor = "+tt.cursor+fmt.Sprintf(" WHERE cursor ? 'form' AND id = %d", id))
			}
			if diff := cmp.Diff(tt.otherwise, b.fresh(t, tt.file)); diff != "" {
				t.Fatal(diff)
			}
			info, pauses := b.finish(t, id)
			if info.Status != batch.Succeeded || pauses == 0 {
				t.Fatalf("%s after %d pauses: %s", info.Status, pauses, text(info.Error))
			}
			if diff := cmp.Diff(tt.want, b.rows(t, fmt.Sprintf("SELECT a, b FROM n WHERE a > '%s' ORDER BY a", tt.after))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// fresh is how an import that begins now would read the first row, or why it would not.
func (b *importBundle) fresh(t *testing.T, file string) string {
	t.Helper()
	preview, err := importjob.PreviewFile(t.Context(), b.Pool, b.cfg.Jobs["load"].Spec.(*importjob.Config), kind.PreviewOpts{
		Name: "file.csv", Size: int64(len(file)), Open: func(offset int64) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(file[offset:])), nil },
	})
	if err != nil {
		_, why, _ := strings.Cut(err.Error(), "the file has ")
		why, _, _ = strings.Cut(why, ",")
		return why
	}
	var values []string
	for _, field := range preview.Fields {
		values = append(values, field.First)
	}
	return strings.Join(values, "|")
}

// Characters of several bytes lie across the edges of all buffers.
func TestImportOfLongCharacters(t *testing.T) {
	t.Parallel()
	for _, e := range []struct {
		name string
		encoding.Encoding
	}{{"UTF-8", unicode.UTF8}, {"Shift_JIS", japanese.ShiftJIS}, {"UTF-16", unicode.UTF16(unicode.BigEndian, unicode.UseBOM)}} {
		for shift := range 3 {
			t.Run(fmt.Sprint(e.name, " ", shift), func(t *testing.T) {
				t.Parallel()
				b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, name text)`, "table: people\nmatch: [id]")
				var file strings.Builder
				file.WriteString("id,name\n0," + strings.Repeat("x", shift) + "\n")
				name := strings.Repeat("漢字表示ソ能", 300)
				for i := 1; i <= 200; i++ {
					fmt.Fprintf(&file, "%d,%s\n", i, name)
				}
				info := b.load(t, encoded(t, e, file.String()))
				if info.Status != batch.Succeeded || info.Counters.Inserted != 201 {
					t.Fatalf("%s: %s %+v", info.Status, text(info.Error), info.Counters)
				}
				if bad := b.rows(t, "SELECT id FROM people WHERE id > 0 AND name <> repeat('漢字表示ソ能', 300)"); len(bad) > 0 {
					t.Errorf("other characters in rows %v", bad)
				}
			})
		}
	}
}

// Members of a file of rejects may first follow the one that says why.
func TestImportOfRejectsWithALateMember(t *testing.T) {
	t.Parallel()
	b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, name text)`, "table: people\nmatch: [id]\nformat: ndjson", pausing(1))
	id := b.start(t, `{"id": 1, "_error": "no"}`+"\n"+`{"id": 2, "_error": "no", "name": "Ada"}`+"\n"+`{"id": 3, "name": "Joan"}`+"\n", importjob.Args{RejectsOf: 1})
	info, pauses := b.finish(t, id)
	if info.Status != batch.Succeeded || pauses == 0 {
		t.Fatalf("%s after %d pauses: %s", info.Status, pauses, text(info.Error))
	}
	if diff := cmp.Diff([]string{"1|∅", "2|Ada", "3|Joan"}, b.rows(t, "SELECT id, name FROM people ORDER BY id")); diff != "" {
		t.Error(diff)
	}
}
