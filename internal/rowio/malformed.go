package rowio

import (
	"bytes"
	"fmt"
	"io"
)

// malformed returns the first physical line of the current record as a
// malformed one and leaves the scanner on the next line.
func (c *CSV) malformed(f *fault) error { return c.takeLine(c.recordError(f), nil) }

// firstLine is the length of the line at start without its line end, or of
// the window when no line end is in it.
func (w *window) firstLine() int {
	data := w.buf[:w.end]
	return min(w.lf.next(data, w.start), w.cr.next(data, w.start)) - w.start
}

// skipLine moves start past the line that continues at buf[keep], overwriting
// what follows buf[:keep]. It returns how many bytes it passed and how many
// line ends (0 at the end of the stream), or false when the reader failed.
func (w *window) skipLine(keep int) (skipped int, lines int64, ok bool) {
	defer func() {
		w.lf.reset(w.start)
		w.cr.reset(w.start)
		w.quote.reset(w.start)
	}()

	refill := func() bool {
		w.end = keep
		return w.read()
	}
	i := indexLineEnd(w.buf[keep:w.end])
	for i < 0 {
		skipped += w.end - keep
		if !refill() {
			w.start = w.end
			return skipped, 0, w.err == io.EOF
		}
		i = indexLineEnd(w.buf[keep:w.end])
	}

	at := keep + i
	skipped += i + 1
	isCR := w.buf[at] == '\r'
	at++
	if isCR && at == w.end {
		at = keep
		if !refill() {
			w.start = w.end
			return skipped, 1, w.err == io.EOF
		}
	}
	if isCR && w.buf[at] == '\n' {
		skipped++
		at++
	}
	w.start = at
	return skipped, 1, true
}

// recordError turns a fault into the error of the record.
func (c *CSV) recordError(f *fault) *RecordError {
	before := c.win.bytes()[:f.at]
	e := &RecordError{
		Code:   f.code,
		Line:   c.line + countLineEnds(before),
		Column: columnOf(before),
	}
	switch f.code {
	case CodeBareQuote:
		e.Message = fmt.Sprintf("%c inside of an unquoted field; enclose the field in %[1]c and double the %[1]c in it", c.quote)
	case CodeTextAfterQuote:
		e.Message = fmt.Sprintf("text after a closing %c; double the %[1]c if it belongs to the field", c.quote)
	case CodeUnclosedQuote:
		e.Message = fmt.Sprintf("the %c that opens here is never closed; close it, or double it if it belongs to the field", c.quote)
	case CodeRecordTooLong:
		e.Message = fmt.Sprintf("the record is longer than %d bytes; raise the limit, or look for a %c that is not closed", c.max, c.quote)
	}
	return e
}

// countLineEnds counts LF, CRLF and lone CR, each as one.
func countLineEnds(b []byte) int64 {
	n := bytes.Count(b, []byte{'\n'})
	if bytes.IndexByte(b, '\r') >= 0 {
		n += bytes.Count(b, []byte{'\r'}) - bytes.Count(b, []byte("\r\n"))
	}
	return int64(n)
}

// indexLineEnd is the index of the first LF or CR, or -1.
func indexLineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}
