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

	// Line is the physical line of Offset, from 1; default 1.
	Line int64

	// MaxRecord is the most bytes that one record may have, its line end not
	// counted; default 8 MiB, at most 1 GiB. A longer record is malformed.
	MaxRecord int

	// Offset is where the reader stands in the decoded stream: [Record.End] of
	// the last record done, to resume behind it. At 0 a UTF-8 byte order mark is skipped.
	Offset int64

	// Quote encloses fields; default '"'. It must differ from Comma, CR and LF.
	Quote byte
}

// Field is one field of a record.
type Field struct {
	// Value has its quotes removed and doubled quotes made single.
	Value []byte

	// Quoted tells "" (true) from an empty field (false), which stands for NULL.
	Quoted bool
}

// Record is one record of a stream. It and everything in it are valid until
// the next call of [CSV.Next].
type Record struct {
	// Fields are the fields in order; empty when Err is set, otherwise at least one.
	Fields []Field

	// Raw is the record as it stands in the stream, without its line end. Of a
	// malformed record it is the first physical line, cut at MaxRecord bytes.
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

	// Err says why the record is malformed; nil for a good one.
	Err *RecordError
}

// Codes of [RecordError].
const (
	CodeBareQuote      = "bare_quote"       // a quote inside of an unquoted field
	CodeTextAfterQuote = "text_after_quote" // a character between a closing quote and the delimiter
	CodeUnclosedQuote  = "unclosed_quote"   // the stream ends inside of a quoted field
	CodeRecordTooLong  = "record_too_long"  // the record has more than MaxRecord bytes
)

// RecordError says why a record is malformed and where.
type RecordError struct {
	Code    string // one of the Code constants
	Message string // what is wrong and how to mend it, without the place
	Line    int64  // physical line of the fault, from 1
	Column  int    // byte in that line, from 1
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// CSV scans records out of a stream. It is not safe for concurrent use.
type CSV struct {
	comma, quote byte
	max          int
	line         int64 // physical line of win.start
	err          error // final: bad options, or what Next ended with
	fresh        bool  // a byte order mark may come

	win     window
	special [256]bool // bytes that end the plain part of an unquoted field

	rec     Record
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
		comma: cmp.Or(opts.Comma, defaultComma),
		quote: cmp.Or(opts.Quote, defaultQuote),
		max:   cmp.Or(opts.MaxRecord, defaultMaxRecord),
		line:  cmp.Or(opts.Line, 1),
		fresh: opts.Offset == 0,
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
	case c.max < 0 || c.max > largestMaxRecord:
		return fmt.Errorf("csv: record limit of %d bytes; choose 1 to %d", c.max, largestMaxRecord)
	case opts.Offset < 0 || opts.Line < 0:
		return fmt.Errorf("csv: offset %d, line %d: neither can be negative", opts.Offset, opts.Line)
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
	if c.plain() {
		return &c.rec, nil
	}
	if err := c.scan(); err != nil {
		c.err = err
		return nil, err
	}
	return &c.rec, nil
}

// skipToRecord passes the byte order mark and blank lines.
func (c *CSV) skipToRecord() error {
	w := &c.win
	if c.fresh {
		c.fresh = false
		for w.end-w.start < len(bom) && w.fill() {
		}
		if bytes.HasPrefix(w.bytes(), bom) {
			w.advance(len(bom))
		}
	}
	for {
		if w.start == w.end && !w.fill() {
			return w.failure()
		}
		if b := w.buf[w.start]; b != '\n' && b != '\r' {
			return nil
		}
		width, ok := w.lineEnd(0)
		if !ok {
			return w.failure()
		}
		w.advance(width)
		c.line++
	}
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

// emit fills the record that Next returns and moves behind it: raw, and
// `after` bytes more. lines is how many line ends that passes.
func (c *CSV) emit(fields []Field, raw []byte, after int, lines int64, err *RecordError) {
	offset := c.win.off
	c.win.advance(len(raw) + after)
	c.rec = Record{
		Fields:   fields,
		Raw:      raw,
		Offset:   offset,
		End:      c.win.off,
		Line:     c.line,
		NextLine: c.line + lines,
		Err:      err,
	}
	c.line += lines
}
