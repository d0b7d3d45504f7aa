package rowio

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// NDJSONOpts says how to read a stream of JSON objects, one on each line. The
// zero value reads from the beginning and takes no fields.
type NDJSONOpts struct {
	// Invalid finds bytes that are no text in a line: where, -1 for none, and what is
	// wrong. Such a line is malformed. Default: it must be valid UTF-8.
	Invalid func(text []byte) (at int, why string)

	// Line is the physical line of Offset, from 1; default 1.
	Line int64

	// MaxRecord is the most bytes that one line may have, its end not counted;
	// default 8 MiB, at most 1 GiB. A longer line is malformed.
	MaxRecord int

	// Names are the members of the objects that become the fields of the records,
	// in this order. Other members are checked, and only their names are given ([Record.Others]).
	Names []string

	// Offset is where the reader is in the decoded stream, as in [CSVOpts].
	Offset int64
}

// NDJSON scans records out of a stream of JSON objects. It is not safe for
// concurrent use.
type NDJSON struct {
	scanner
	names   map[string]int // index of the field
	width   int
	scratch []byte   // strings with escapes, resolved
	others  [][]byte // of the record
}

// NewNDJSON returns a scanner of r; nil options are the defaults. Options that
// contradict each other are reported by the first call of [NDJSON.Next].
func NewNDJSON(r io.Reader, opts *NDJSONOpts) *NDJSON { return newNDJSON(r, opts, firstBuffer) }

func newNDJSON(r io.Reader, opts *NDJSONOpts, buffer int) *NDJSON {
	if opts == nil {
		opts = &NDJSONOpts{}
	}
	n := &NDJSON{
		scanner: scanner{
			fresh:   opts.Offset == 0,
			invalid: opts.Invalid,
			line:    cmp.Or(opts.Line, 1),
			max:     cmp.Or(opts.MaxRecord, defaultMaxRecord),
		},
		names: make(map[string]int, len(opts.Names)),
		width: len(opts.Names),
	}
	if n.invalid == nil {
		n.invalid = invalidUTF8
	}
	for i, name := range opts.Names {
		if _, twice := n.names[name]; twice {
			n.err = fmt.Errorf("ndjson: the field %q is wanted twice; name it once", name)
		}
		n.names[name] = i
	}
	if err := checkPlace(n.max, opts.Offset, opts.Line); err != nil {
		n.err = fmt.Errorf("ndjson: %w", err)
	}
	n.win = newWindow(r, opts.Offset, buffer, n.max, '"')
	return n
}

// Next returns the next record, good or malformed: a line that is no object
// costs itself alone. Lines of white space are skipped. Errors are as in [CSV.Next].
//
// A good record has a field for each of the names. Of members with the same name the
// last one counts.
func (n *NDJSON) Next() (*Record, error) {
	for n.err == nil {
		n.err = n.skipToRecord()
		if n.err == nil {
			n.err = n.takeLine(nil, n.tooLong)
		}
		if n.err != nil || n.rec.Err == nil && skipSpace(n.rec.Raw, 0) == len(n.rec.Raw) {
			continue
		}
		n.validate()
		if n.rec.Err == nil {
			n.parse()
		}
		return &n.rec, nil
	}
	return nil, n.err
}

func (n *NDJSON) tooLong() *RecordError {
	return &RecordError{
		Code: CodeRecordTooLong, Line: n.line, Column: 1,
		Message: fmt.Sprintf("the line is longer than %d bytes; raise the limit, or write each object on a line of its own", n.max),
	}
}

// parse takes the line apart.
func (n *NDJSON) parse() {
	n.rec.Fields = slices.Grow(n.rec.Fields[:0], n.width)[:n.width]
	for i := range n.rec.Fields {
		n.rec.Fields[i] = Field{Kind: KindMissing}
	}
	n.scratch, n.others = n.scratch[:0], n.others[:0]
	raw := n.rec.Raw
	start := skipSpace(raw, 0)
	if raw[start] != '{' {
		n.fail(CodeInvalidJSON, fmt.Sprintf("%s where an object is expected; each line must be one, in { }", describe(raw, start)), start)
		return
	}
	end, err := n.object(raw, start)
	if err == nil {
		if end = skipSpace(raw, end); end < len(raw) {
			err = &jsonError{end, describe(raw, end) + " after the object; each line must be one object"}
		}
	}
	if err != nil {
		n.fail(CodeInvalidJSON, err.message, err.at)
		return
	}
	n.rec.Others = n.others
}

// object takes the members of the object at raw[i] and returns the place after it.
func (n *NDJSON) object(raw []byte, i int) (end int, err *jsonError) {
	return members(raw, i, 0, func(key jsonString, value, end int) *jsonError {
		name := key.inner(raw)
		if key.escaped {
			name = n.unescape(name)
		}
		if field, wanted := n.names[string(name)]; wanted {
			n.rec.Fields[field] = n.field(raw[value:end:end])
		} else {
			n.others = append(n.others, name)
		}
		return nil
	})
}

// field is that of a valid value.
func (n *NDJSON) field(value []byte) Field {
	switch value[0] {
	case '"':
		inner := value[1 : len(value)-1 : len(value)-1]
		if slices.Contains(inner, '\\') {
			inner = n.unescape(inner)
		}
		return Field{Value: inner, Quoted: true, Kind: KindString}
	case '{', '[':
		return Field{Value: value, Kind: KindJSON}
	case 't', 'f':
		return Field{Value: value, Kind: KindBool}
	case 'n':
		return Field{Kind: KindNull}
	}
	return Field{Value: value, Kind: KindNumber}
}

// unescape appends the text of a valid string to the scratch buffer.
func (n *NDJSON) unescape(inner []byte) []byte {
	from := len(n.scratch)
	n.scratch = appendUnescaped(n.scratch, inner)
	return n.scratch[from:len(n.scratch):len(n.scratch)]
}

func invalidUTF8(text []byte) (at int, why string) {
	if utf8.Valid(text) {
		return -1, ""
	}
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at, fmt.Sprintf("byte 0x%02X is not valid UTF-8", text[at])
}
