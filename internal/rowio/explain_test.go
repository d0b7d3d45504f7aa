package rowio

import (
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	t.Parallel()

	utf16 := func(s string) string {
		var b strings.Builder
		for _, r := range s {
			b.WriteByte(byte(r))
			b.WriteByte(byte(r >> 8))
		}
		return b.String()
	}
	tests := []struct {
		name   string
		sample string
		opts   *CSVOpts
		code   string
		in     string // part of the message
	}{
		{name: "plain", sample: "id,email\n1,a@example.com\n"},
		{name: "mark", sample: "\ufeffid,email\n"},
		{name: "one column", sample: "email\na@example.com\n"},
		{name: "one column with a semicolon in its title", sample: "name; title\nMika\n"},
		{name: "one column, quoted comma", sample: "\"name, title\"\nMika\n"},
		{name: "cut in the header", sample: "id,ema"},
		{name: "malformed header", sample: "a\"b;c\n1;2\n"},
		{name: "a NUL in a row", sample: "id,name\n1,\x00\n" + strings.Repeat("2,a name\n", 50)},
		{name: "semicolon as asked", sample: "id;name\n", opts: &CSVOpts{Comma: ';'}},
		{name: "nothing", sample: "", code: CodeEmpty, in: "empty"},
		{name: "mark and nothing", sample: "\ufeff\r\n\n", code: CodeEmpty, in: "blank"},
		{name: "gzip", sample: "\x1f\x8b\x08\x00", code: CodeBinary, in: "looks like gzip; decompress it first"},
		{name: "zstd", sample: "\x28\xb5\x2f\xfd\x00", code: CodeBinary, in: "zstd"},
		{name: "xlsx", sample: "PK\x03\x04\x14\x00", code: CodeBinary, in: "Excel"},
		{name: "pdf", sample: "%PDF-1.7\n", code: CodeBinary, in: "PDF"},
		{name: "sqlite", sample: "SQLite format 3\x00\x10", code: CodeBinary, in: "SQLite"},
		{name: "png", sample: "\x89PNG\r\n\x1a\n\x00\x00", code: CodeBinary, in: "PNG"},
		{name: "elf", sample: "\x7fELF\x02\x01\x01\x00\x00\x00", code: CodeBinary, in: "NUL at byte 7"},
		{name: "NULs after the first line", sample: "a\n" + strings.Repeat("\x01\x02\x03\x00", 9), code: CodeBinary, in: "NUL at byte 5"},
		{name: "UTF-16 with mark", sample: "\xff\xfei\x00d\x00", code: CodeEncoding, in: "looks like UTF-16; convert it to UTF-8"},
		{name: "UTF-16 big endian", sample: "\xfe\xff\x00i\x00d", code: CodeEncoding, in: "UTF-16"},
		{name: "UTF-32", sample: "\xff\xfe\x00\x00i\x00\x00\x00", code: CodeEncoding, in: "UTF-32"},
		{name: "UTF-16 without mark", sample: utf16("id,name\n1,田中\n"), code: CodeEncoding, in: "without"},
		{name: "semicolon", sample: "id;name\n1;a\n", code: CodeDelimiter, in: "set `delimiter: \";\"`"},
		{name: "tab", sample: "id\tname\r\n1\ta,b\r\n", code: CodeDelimiter, in: "set `delimiter: \"\\t\"`"},
		{name: "pipe, header only", sample: "\ufeffid|name|x;y", code: CodeDelimiter, in: "3 with \"|\""},
		{name: "comma", sample: "id,name\n", opts: &CSVOpts{Comma: ';'}, code: CodeDelimiter, in: "set `delimiter: \",\"`"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, message, bad := Explain([]byte(tt.sample), tt.opts)
			if bad != (tt.code != "") || code != tt.code || !strings.Contains(message, tt.in) || bad != (message != "") {
				t.Errorf("got %q, %q, %v; want %q with %q", code, message, bad, tt.code, tt.in)
			}
		})
	}
}

func FuzzExplain(f *testing.F) {
	f.Add([]byte("id;name\n1;2\n"), byte(','), byte('"'))
	f.Add([]byte("\xff\xfe\x00"), byte(0), byte(0))
	f.Fuzz(func(t *testing.T, sample []byte, comma, quote byte) {
		code, message, bad := Explain(sample, &CSVOpts{Comma: comma, Quote: quote})
		if bad != (code != "") || bad != (message != "") {
			t.Errorf("%q, %q, %v", code, message, bad)
		}
	})
}
