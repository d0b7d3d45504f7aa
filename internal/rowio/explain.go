package rowio

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
)

// Codes of [Explain].
const (
	CodeEmpty     = "empty"     // no row at all
	CodeBinary    = "binary"    // not text, or compressed
	CodeEncoding  = "encoding"  // text, but not in an encoding that keeps ASCII
	CodeJSON      = "json"      // JSON where CSV is expected
	CodeDelimiter = "delimiter" // fields are separated by another byte than CSVOpts.Comma
)

// signature is how a file of some format begins.
type signature struct {
	prefix, name, advice string
}

// Longer prefixes come before their own beginnings.
var encodings = [...]signature{
	{"\xff\xfe\x00\x00", "UTF-32", "convert it to UTF-8"},
	{"\x00\x00\xfe\xff", "UTF-32", "convert it to UTF-8"},
	{"\xff\xfe", "UTF-16", "convert it to UTF-8"},
	{"\xfe\xff", "UTF-16", "convert it to UTF-8"},
}

// Formats are recognised by prefixes that no text begins with, or that are too
// long for a header to begin with by chance.
var formats = [...]signature{
	{"\x1f\x8b", "gzip", "decompress it first"},
	{"\x28\xb5\x2f\xfd", "zstd", "decompress it first"},
	{"\xfd7zXZ\x00", "xz", "decompress it first"},
	{"BZh91AY&SY", "bzip2", "decompress it first"},
	{"\x04\x22\x4d\x18", "lz4", "decompress it first"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"},
	{"PK\x03\x04", "a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV"},
	{"PK\x05\x06", "an empty zip archive", "unpack another"},
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook", "save the sheet as CSV"},
	{"SQLite format 3\x00", "an SQLite database", "export the table as CSV"},
	{"PGCOPY\n\xff\r\n\x00", "binary COPY output", "use COPY ... (FORMAT csv)"},
	{"PGDMP", "a pg_dump archive", "restore it with pg_restore"},
	{"%PDF-", "PDF", "export the table as CSV"},
	{"{\\rtf", "RTF", "save it as plain text"},
	{"PAR1", "Parquet", "convert it to CSV or NDJSON"},
	{"Obj\x01", "Avro", "convert it to CSV or NDJSON"},
	{"ARROW1\x00\x00", "Arrow", "convert it to CSV or NDJSON"},
	{"<?xml", "XML", "convert it to CSV or NDJSON"},
	{"<!DOCTYPE html", "a page of HTML", "look at it: it may say why there is no file"},
	{"<!doctype html", "a page of HTML", "look at it: it may say why there is no file"},
	{"<html", "a page of HTML", "look at it: it may say why there is no file"},
	{"\x89PNG\r\n\x1a\n", "a PNG image", "choose the CSV file"},
	{"\xff\xd8\xff", "a JPEG image", "choose the CSV file"},
}

// Explain looks at the first bytes of a file (some KiB will do; all of it, when
// it is shorter) and reports whether reading rows is hopeless with these options:
// nil are the defaults. When bad, code is one of CodeEmpty, CodeBinary,
// CodeEncoding, CodeJSON and CodeDelimiter, and message says what the file looks like and
// what to do. A sample that is not bad may still hold malformed records.
func Explain(sample []byte, o *CSVOpts) (code, message string, bad bool) {
	if code, message, bad = explainBytes(sample); bad {
		return code, message, true
	}
	text := bytes.TrimPrefix(sample, bom)
	if len(bytes.Trim(text, "\r\n")) == 0 {
		return CodeEmpty, "the file has blank lines only", true
	}
	if message, json := explainJSON(text); json {
		return CodeJSON, message, true
	}
	if other, n := betterComma(text, o); n > 1 {
		return CodeDelimiter, fmt.Sprintf("the header has 1 column with delimiter %s and %d with %s; set `delimiter: %[3]s`",
			strconv.Quote(string(rune(comma(o)))), n, strconv.Quote(string(rune(other)))), true
	}
	return "", "", false
}

// ExplainFormat says what a file is that is not text in any encoding, by its first bytes as they are before anything is
// decoded.
func ExplainFormat(raw []byte) (message string, bad bool) {
	const tar = 257
	switch {
	case len(raw) > tar && bytes.HasPrefix(raw[tar:], []byte("ustar")):
		return "looks like a tar archive; unpack it first", true
	case bytes.HasPrefix(raw, []byte("PK\x03\x04")) && (bytes.Contains(raw, []byte("xl/")) || zipEntry(raw) == "[Content_Types].xml"):
		return "looks like an Excel workbook (.xlsx); save the sheet as CSV", true
	case bytes.HasPrefix(raw, []byte("PK\x03\x04")) && bytes.Contains(raw, []byte("opendocument.spreadsheet")):
		return "looks like an OpenDocument spreadsheet (.ods); save the sheet as CSV", true
	case bytes.HasPrefix(raw, []byte("PK\x03\x04")) && zipEntry(raw) != "":
		return fmt.Sprintf("looks like a zip archive (with %q in it); unpack it first", zipEntry(raw)), true
	}
	return match(formats[:], bytes.TrimPrefix(raw, bom))
}

// zipEntry is the name of the first file in an archive.
func zipEntry(raw []byte) string {
	const length, name = 26, 30
	if len(raw) < name {
		return ""
	}
	end := name + (int(raw[length]) | int(raw[length+1])<<8)
	if end > len(raw) {
		return ""
	}
	return string(raw[name:end])
}

// explainBytes judges what any text must be.
func explainBytes(sample []byte) (code, message string, bad bool) {
	if len(sample) == 0 {
		return CodeEmpty, "the file is empty", true
	}
	if s, ok := match(encodings[:], sample); ok {
		return CodeEncoding, s, true
	}
	if s, ok := match(formats[:], sample); ok {
		return CodeBinary, s, true
	}
	return explainNUL(sample)
}

func match(signatures []signature, sample []byte) (message string, ok bool) {
	for _, s := range signatures {
		if bytes.HasPrefix(sample, []byte(s.prefix)) {
			return fmt.Sprintf("looks like %s; %s", s.name, s.advice), true
		}
	}
	return "", false
}

// explainNUL judges NUL bytes. A few of them after the first line spoil their
// rows only; text has none in its header and never many.
func explainNUL(sample []byte) (code, message string, bad bool) {
	total := bytes.Count(sample, []byte{0})
	if total == 0 {
		return "", "", false
	}
	first := bytes.IndexByte(sample, 0)
	end := indexLineEnd(sample)
	if inHeader := end < 0 || first < end; !inHeader && total <= len(sample)/100 {
		return "", "", false
	}

	// UTF-16 without a mark has the zero halves of its ASCII on one side.
	odd := 0
	for i := 1; i < len(sample); i += 2 {
		if sample[i] == 0 {
			odd++
		}
	}
	oneSided := min(odd, total-odd)*20 <= total
	if oneSided && total*10 >= len(sample)*3 {
		return CodeEncoding, "looks like UTF-16 without a byte order mark; convert it to UTF-8", true
	}
	return CodeBinary, fmt.Sprintf("looks like binary data: NUL at byte %d; CSV is text", first), true
}

// explainJSON knows what no header of CSV begins with.
func explainJSON(text []byte) (message string, json bool) {
	text = bytes.TrimLeft(text, " \t\r\n")
	if len(text) == 0 {
		return "", false
	}
	open := text[0]
	inside := bytes.TrimLeft(text[1:], " \t\r\n")
	switch {
	case open == '{' && (bytes.HasPrefix(inside, []byte(`"`)) || bytes.HasPrefix(inside, []byte(`}`))):
		if _, err := scanJSONValue(text[:firstLineEnd(text)], 0, 0); err != nil {
			return "looks like JSON over several lines; convert it with jq -c . and set `format: ndjson`", true
		}
		return "looks like JSON, an object on each line; set `format: ndjson`", true
	case open == '[' && bytes.HasPrefix(inside, []byte(`{`)):
		return "looks like one JSON array; convert it with jq -c '.[]' and set `format: ndjson`", true
	}
	return "", false
}

func firstLineEnd(text []byte) int {
	if i := indexLineEnd(text); i >= 0 {
		return i
	}
	return len(text)
}

// betterComma finds the delimiter that gives the first record the most fields
// when the chosen one gives it a single one. n is 0 when there is none.
func betterComma(text []byte, o *CSVOpts) (best byte, n int) {
	if fields, _ := headFields(text, o, comma(o)); fields != 1 {
		return 0, 0
	}
	for _, candidate := range []byte{';', '\t', '|', ','} {
		fields, second := headFields(text, o, candidate)
		// A title with a stray semicolon is a header of one column: its rows do not split.
		if fields > n && second != 1 {
			best, n = candidate, fields
		}
	}
	if n < 2 {
		return 0, 0
	}
	return best, n
}

// headFields is the number of fields of the first two records, 0 where there is
// none or it is malformed.
func headFields(text []byte, o *CSVOpts, comma byte) (first, second int) {
	opts := CSVOpts{Comma: comma}
	if o != nil {
		opts.Quote, opts.MaxRecord = o.Quote, o.MaxRecord
	}
	c := newCSV(bytes.NewReader(text), &opts, minRead)
	counts := [2]int{}
	for i := range counts {
		rec, err := c.Next()
		if err != nil {
			break
		}
		counts[i] = len(rec.Fields)
	}
	return counts[0], counts[1]
}

func comma(o *CSVOpts) byte {
	if o == nil {
		return defaultComma
	}
	return cmp.Or(o.Comma, defaultComma)
}

// ExplainNDJSON is [Explain] for lines of JSON objects: code is one of CodeEmpty,
// CodeBinary, CodeEncoding and CodeInvalidJSON.
func ExplainNDJSON(sample []byte) (code, message string, bad bool) {
	text := bytes.TrimSpace(bytes.TrimPrefix(sample, bom))
	if code, message, bad = explainBytes(sample); bad {
		return code, message, true
	}
	first := text
	if i := indexLineEnd(text); i >= 0 {
		first = bytes.TrimSpace(text[:i])
	}
	switch {
	case len(text) == 0:
		return CodeEmpty, "the file has blank lines only", true
	case text[0] == '[':
		return CodeInvalidJSON, "looks like one JSON array; each line must be an object: convert it with jq -c '.[]'", true
	case len(first) < len(text) && text[0] == '{' && !bytes.HasSuffix(first, []byte("}")):
		return CodeInvalidJSON, "looks like JSON over several lines; each line must be an object: convert it with jq -c .", true
	case text[0] != '{':
		return CodeInvalidJSON, fmt.Sprintf("begins with %s; each line must be a JSON object (is it CSV?)", describe(text, 0)), true
	}
	return "", "", false
}
