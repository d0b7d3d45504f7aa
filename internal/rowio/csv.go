package rowio

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
)

const (
	defaultComma     = ','
	defaultQuote     = '"'
	defaultMaxRecord = 8 << 20
	largestMaxRecord = 1 << 30

	firstBuffer = 128 << 10 // bytes allocated before the first read
)

// CSVOpts says how to read a stream of CSV. The zero value reads RFC 4180 from
// its beginning.
type CSVOpts struct {
	// Comma separates fields; default ','. It must differ from Quote, CR and LF.
	Comma byte

	// Comment begins lines that are skipped, but counted; default: there are none. It
	// counts only where a record may begin, so not inside of quotes.
	Comment byte

	// Invalid finds bytes that are no text in a record: where, -1 for none, and what is
	// wrong. A record with some is malformed. Default: bytes are not looked at.
	Invalid func(text []byte) (at int, why string)

	// Line is the physical line of Offset, from 1; default 1.
	Line int64

	// MaxRecord is the most bytes that one record may have, its line end not
	// counted; default 8 MiB, at most 1 GiB. A longer record is malformed.
	MaxRecord int

	// Offset is where the reader is in the decoded stream: [Record.End] of
	// the last record done, to resume after it. At 0 a UTF-8 byte order mark is skipped.
	Offset int64

	// Quote encloses fields; default '"'. It must differ from Comma, CR and LF.
	Quote byte

	// Ragged says what to do with a record of more or fewer fields than Width;
	// default [RaggedReject].
	Ragged Ragged

	// Width is how many fields a record has; default: any number is good. With 1 a blank line is
	// a record, whose field is empty: PostgreSQL writes NULL so.
	Width int
}

// Field is one field of a record.
type Field struct {
	// Value has its quotes removed and what they protect made plain.
	Value []byte

	// Quoted tells "" (true) from an empty field (false), which stands for NULL.
	Quoted bool

	// Kind says more about the value where the format does; always KindText in CSV.
	Kind Kind
}

// Kind is what a field is in its format.
type Kind uint8

// The kinds. A field of CSV is KindText, one of NDJSON any of the others.
const (
	KindText    Kind = iota
	KindString       // Quoted; Value has its escapes resolved
	KindNumber       // Value as it is in the file, no digit lost
	KindBool         // Value is true or false
	KindNull         // no value
	KindMissing      // the record does not have the field; no value
	KindJSON         // an array or object; Value as it is in the file
)

// Record is one record of a stream. It and everything in it are valid until
// the next call of Next.
type Record struct {
	// Fields are the fields in order; empty when Err is set, otherwise at least one.
	Fields []Field

	// Raw is the record as it is in the stream, without its line end. Of a
	// record that cannot be taken apart it is the first physical line, cut at MaxRecord bytes.
	Raw []byte

	// Offset is the stream offset of the first byte, a byte order mark counted.
	Offset int64

	// End is the stream offset at which the next record, or blank lines before
	// it, begin: the place to resume.
	End int64

	// Line is the physical line of the first byte, from 1.
	Line int64

	// NextLine is the physical line at End.
	NextLine int64

	// Others are the names of the members of an NDJSON object that are no fields, in their order.
	Others [][]byte

	// Padded: it had another number of fields, and RaggedPad added or took off empty ones.
	Padded bool

	// Err says why the record is malformed; nil for a good one.
	Err *RecordError
}

// Codes of [RecordError].
const (
	CodeBareQuote      = "bare_quote"       // a quote inside of an unquoted field
	CodeTextAfterQuote = "text_after_quote" // a character between a closing quote and the delimiter
	CodeUnclosedQuote  = "unclosed_quote"   // the stream ends inside of a quoted field
	CodeRecordTooLong  = "record_too_long"  // the record has more than MaxRecord bytes
	CodeFieldCount     = "field_count"      // the record has more or fewer fields than Width
	CodeInvalidText    = "invalid_text"     // bytes that are no text in the encoding of the file
	CodeInvalidJSON    = "invalid_json"     // the line is no JSON object
)

// RecordError says why a record is malformed and where.
type RecordError struct {
	Code    string // one of the Code constants
	Message string // what is wrong and how to fix it, without the place
	Line    int64  // physical line of the fault, from 1
	Column  int    // byte in that line, from 1
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// CSV scans records out of a stream. It is not safe for concurrent use.
type CSV struct {
	scanner
	comma, quote byte
	ragged       Ragged
	width        int

	special [256]bool // bytes that end the plain part of an unquoted field
	bounds  []bound
	scratch []byte // fields with doubled quotes, unescaped
}

// NewCSV returns a scanner of r; nil options are the defaults. Options that
// contradict each other are reported by the first call of [CSV.Next].
func NewCSV(r io.Reader, opts *CSVOpts) *CSV {
	return newCSV(r, opts, firstBuffer)
}

func newCSV(r io.Reader, opts *CSVOpts, buffer int) *CSV {
	if opts == nil {
		opts = &CSVOpts{}
	}
	c := &CSV{
		scanner: scanner{
			blank:   opts.Width == 1,
			comment: opts.Comment,
			fresh:   opts.Offset == 0,
			invalid: opts.Invalid,
			line:    cmp.Or(opts.Line, 1),
			max:     cmp.Or(opts.MaxRecord, defaultMaxRecord),
		},
		comma:  cmp.Or(opts.Comma, defaultComma),
		quote:  cmp.Or(opts.Quote, defaultQuote),
		ragged: opts.Ragged,
		width:  opts.Width,
	}
	c.err = c.check(opts)
	c.win = newWindow(r, opts.Offset, buffer, c.max, c.quote)
	for _, b := range []byte{c.comma, c.quote, '\n', '\r'} {
		c.special[b] = true
	}
	return c
}

func (c *CSV) check(opts *CSVOpts) error {
	isLineEnd := func(b byte) bool { return b == '\n' || b == '\r' }
	switch {
	case isLineEnd(c.comma):
		return errors.New("csv: the delimiter is a line end; choose another byte")
	case isLineEnd(c.quote):
		return errors.New("csv: the quote is a line end; choose another byte")
	case c.comma == c.quote:
		return fmt.Errorf("csv: delimiter and quote are both %q; choose two bytes", c.comma)
	case c.comment != 0 && (isLineEnd(c.comment) || c.comment == c.comma || c.comment == c.quote):
		return fmt.Errorf("csv: the comment sign %q is also delimiter, quote or line end; choose another byte", c.comment)
	case c.width < 0:
		return fmt.Errorf("csv: %d fields in a record; choose 1 or more, or 0 for any number", c.width)
	}
	if err := checkPlace(c.max, opts.Offset, opts.Line); err != nil {
		return fmt.Errorf("csv: %w", err)
	}
	return nil
}

// Next returns the next record, good or malformed. At the end of the stream the
// error is io.EOF; any other error comes from the reader, wrapped. Both are
// final: a record that a read error cut short is not returned.
func (c *CSV) Next() (*Record, error) {
	if c.err != nil {
		return nil, c.err
	}
	if err := c.skipToRecord(); err != nil {
		c.err = err
		return nil, err
	}
	if !c.plain() {
		if err := c.scan(); err != nil {
			c.err = err
			return nil, err
		}
	}
	c.validate()
	if c.width > 0 && c.rec.Err == nil && len(c.rec.Fields) != c.width {
		c.fit()
	}
	return &c.rec, nil
}

// plain takes a record that lies in the window with its line end and has no
// quote: nearly every record of nearly every file. It reports false, having
// moved nothing, when [CSV.scan] has to look.
func (c *CSV) plain() bool {
	w := &c.win
	data, from := w.buf[:w.end], w.start
	to, width := w.lf.next(data, from), 1
	if cr := w.cr.next(data, from); cr < to {
		if cr+1 == len(data) {
			return false // an LF may follow
		}
		if data[cr+1] == '\n' {
			width = 2
		}
		to = cr
	}
	if to == len(data) || to-from > c.max || w.quote.next(data, from) < to {
		return false
	}

	raw := data[from:to:to]
	fields, rest := c.rec.Fields[:0], raw
	for {
		i := bytes.IndexByte(rest, c.comma)
		if i < 0 {
			fields = append(fields, Field{Value: rest})
			break
		}
		fields = append(fields, Field{Value: rest[:i:i]})
		rest = rest[i+1:]
	}
	c.emit(fields, raw, width, 1, nil)
	return true
}
