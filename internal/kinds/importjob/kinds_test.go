package importjob_test

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
)

func zipped(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(strings.Repeat("日本,é\x00\xff", 50))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A file from which no row can be got is called by its name, with the line that helps, before any word on its encoding.
func TestImportNamesTheFile(t *testing.T) {
	t.Parallel()
	noise := "\x81\xff\x00\x8d\xfe" + strings.Repeat("\x9d\xe0\x00\xff\xc1", 40)
	for _, tt := range []struct{ name, fields, file, want string }{
		{"zip", "", zipped(t, "users.csv"), `looks like a zip archive (with "users.csv" in it); unpack it first`},
		{"xlsx", "", zipped(t, "[Content_Types].xml", "xl/workbook.xml"), "looks like an Excel workbook (.xlsx); save the sheet as CSV"},
		{"xlsx, encoding set", "encoding: shift_jis", zipped(t, "[Content_Types].xml", "xl/workbook.xml"), "looks like an Excel workbook"},
		{"xlsx, gzip", "", gzipped(t, zipped(t, "[Content_Types].xml")), "looks like an Excel workbook"},
		{"xz", "", "\xfd7zXZ\x00" + noise, "looks like xz; decompress it first"},
		{"bzip2", "", "BZh91AY&SY" + noise, "looks like bzip2"},
		{"PDF", "", "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + noise, "looks like PDF; export the table as CSV"},
		{"PDF as NDJSON", "format: ndjson", "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + noise, "looks like PDF"},
		{"tar", "", strings.Repeat("a\x00", 128) + "\x00ustar\x00" + noise, "looks like a tar archive"},
		{"HTML", "", "<!DOCTYPE html>\n<p>Sign in</p>\n", "looks like a page of HTML"},
		{"JSON lines as CSV", "", "{\"id\": 1, \"name\": \"a\"}\n{\"id\": 2}\n", "set `format: ndjson`"},
		{"JSON as CSV", "", "{\n  \"id\": 1\n}\n", "convert it with jq -c . and set `format: ndjson`"},
		{"JSON array as CSV", "", "[{\"id\": 1},\n{\"id\": 2}]\n", "convert it with jq -c '.[]' and set `format: ndjson`"},
		{"header without a name", "", "id,,name\n1,,a\n", "field 2 of the file's header has no name; give it one, or name under columns the fields that you want; the header is: id, , name"},
		{"a few NULs", "", "id,name\n1\x00,\x00", "looks like binary data: NUL at byte 9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `CREATE TABLE public.people (id int, name text)`, "table: people\n"+tt.fields)
			if info := b.load(t, tt.file); info.Status != batch.Failed || !strings.Contains(text(info.Error), tt.want) || strings.Contains(text(info.Error), "encoding") {
				t.Errorf("%s: %s", info.Status, text(info.Error))
			}
		})
	}
}

// Arrays go into columns that are arrays by the column's type; what is written as PostgreSQL has it goes in as before.
func TestImportOfArrays(t *testing.T) {
	t.Parallel()
	b := setup(t, `CREATE TABLE public.people (id int, tags text[], nums numeric[], docs jsonb[], doc jsonb)`, "table: people\nformat: ndjson\nreject_limit: {rows: 1}")
	info := b.load(t, `{"id":1,"tags":["a","b,\"c\"",null,"NULL"],"nums":[1,2.50,null],"docs":[{"a":1},"x"],"doc":[1,[2]]}`+"\n"+
		`{"id":2,"tags":"{x,y}","nums":[],"docs":null}`+"\n"+`{"id":3,"tags":[["a"],["b"]]}`+"\n")
	if info.Status != batch.SucceededWithRejects || info.Counters.Inserted != 2 {
		t.Fatalf("%s: %s %+v", info.Status, text(info.Error), info.Counters)
	}
	want := []string{`1|{a,"b,\"c\"",NULL,"NULL"}|{1,2.50,NULL}|[1, [2]]`, "2|{x,y}|{}|∅"}
	if diff := cmp.Diff(want, b.rows(t, "SELECT id, tags::text, nums::text, doc::text FROM people ORDER BY id")); diff != "" {
		t.Error(diff)
	}
}
