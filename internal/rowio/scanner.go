package rowio

import (
	"bytes"
	"fmt"
	"io"
)

// scanner is what the formats have in common: a window that goes over the
// stream line by line, whatever the lines mean.
type scanner struct {
	blank   bool  // blank lines are records
	comment byte  // lines that begin with it are skipped; 0: none
	err     error // final: bad options, or what Next ended with
	fresh   bool  // a byte order mark may come
	invalid func(text []byte) (at int, why string)
	line    int64 // physical line of win.start
	max     int
	rec     Record
	win     window
}

// checkPlace refuses limits and places that no stream has.
func checkPlace(maxRecord int, offset, line int64) error {
	switch {
	case maxRecord < 0 || maxRecord > largestMaxRecord:
		return fmt.Errorf("record limit of %d bytes; choose 1 to %d", maxRecord, largestMaxRecord)
	case offset < 0 || line < 0:
		return fmt.Errorf("offset %d, line %d: neither can be negative", offset, line)
	}
	return nil
}

// extent is the answer to a wish for more bytes of the current record.
type extent int

const (
	extentMore   extent = iota // there are more
	extentEnd                  // the stream ends here
	extentFull                 // the record is longer than MaxRecord
	extentFailed               // the reader failed
)

// view is what the scan may see of the current record: one byte beyond
// MaxRecord, so that the verdict never depends on how much was read ahead.
func (s *scanner) view() []byte {
	w := &s.win
	return w.buf[w.start:min(w.end, w.start+s.max+1)]
}

// more extends a view of n bytes.
func (s *scanner) more(n int) extent {
	switch {
	case n > s.max:
		return extentFull
	case s.win.fill():
		return extentMore
	case s.win.err == io.EOF:
		return extentEnd
	}
	return extentFailed
}

// skipToRecord passes the byte order mark, blank lines and comments.
func (s *scanner) skipToRecord() error {
	w := &s.win
	if s.fresh {
		s.fresh = false
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
		b := w.buf[w.start]
		if b == s.comment && b != 0 {
			if err := s.skipComment(); err != nil {
				return err
			}
			continue
		}
		if s.blank || b != '\n' && b != '\r' {
			return nil
		}
		if err := s.skipLineEnd(); err != nil {
			return err
		}
	}
}

// skipComment passes a line without its end, of any length.
func (s *scanner) skipComment() error {
	w := &s.win
	for {
		w.advance(w.firstLine())
		if w.start < w.end {
			return nil
		}
		if !w.fill() {
			return w.failure()
		}
	}
}

func (s *scanner) skipLineEnd() error {
	width, ok := s.win.lineEnd(0)
	if !ok {
		return s.win.failure()
	}
	s.win.advance(width)
	s.line++
	return nil
}

// emit fills the record that Next returns and moves past it: raw, and
// `after` bytes more. lines is how many line ends that passes.
func (s *scanner) emit(fields []Field, raw []byte, after int, lines int64, err *RecordError) {
	offset := s.win.off
	s.win.advance(len(raw) + after)
	s.rec = Record{
		Fields:   fields,
		Raw:      raw,
		Offset:   offset,
		End:      s.win.off,
		Line:     s.line,
		NextLine: s.line + lines,
		Err:      err,
	}
	s.line += lines
}

// fail makes the record that is about to be returned a malformed one. at is the
// place of the fault in its raw bytes.
func (s *scanner) fail(code, message string, at int) {
	before := s.rec.Raw[:min(at, len(s.rec.Raw))]
	s.rec.Fields = s.rec.Fields[:0]
	s.rec.Err = &RecordError{Code: code, Message: message, Line: s.rec.Line + countLineEnds(before), Column: columnOf(before)}
}

// validate looks for bytes that are no text, if the caller wants that.
func (s *scanner) validate() {
	if s.invalid == nil || s.rec.Err != nil {
		return
	}
	if at, why := s.invalid(s.rec.Raw); at >= 0 {
		s.fail(CodeInvalidText, why, at)
	}
}

// columnOf is the byte after before in its line, from 1.
func columnOf(before []byte) int {
	return len(before) - (bytes.LastIndexAny(before, "\r\n") + 1) + 1
}

// takeLine returns the first physical line of the current record, whatever is
// in it, with the error e, and leaves the scanner on the next line. An overlong
// line gets the error tooLong makes when e is nil.
func (s *scanner) takeLine(e *RecordError, tooLong func() *RecordError) error {
	for {
		n := s.win.firstLine()
		if b := s.view(); n >= len(b) {
			// The line end is not in sight.
			switch s.more(len(b)) {
			case extentMore:
				continue
			case extentFull:
				if e == nil {
					e = tooLong()
				}
				return s.overlong(e)
			case extentFailed:
				return s.win.failure()
			case extentEnd:
				n = len(b)
			}
		}

		width, ok := s.win.lineEnd(n)
		if !ok {
			return s.win.failure()
		}
		s.emit(s.rec.Fields[:0], s.win.bytes()[:n:n], width, int64(min(width, 1)), e)
		return nil
	}
}

// overlong returns the first MaxRecord bytes of a line that has more, and
// reads the rest of the line away through the room after them.
func (s *scanner) overlong(e *RecordError) error {
	w := &s.win
	w.slide()
	if len(w.buf) < w.limit {
		w.grow(w.limit)
	}
	skipped, lines, ok := w.skipLine(s.max)
	if !ok {
		return w.failure()
	}

	// skipLine left start after the line; emit counts from its first byte.
	raw := w.buf[:s.max:s.max]
	next := w.start
	s.emit(s.rec.Fields[:0], raw, skipped, lines, e)
	w.start = next
	return nil
}
