package childproc

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// maxLine is the longest piece of a line, in bytes as they were written.
const maxLine = 8 << 10

// lines makes lines of text from bytes that come in any portions.
type lines struct {
	// emit gets a line, or a piece of a long one. end tells that the line is complete.
	emit func(text string, end bool)

	buf []byte // the line so far
	cr  bool   // a carriage return came last: unless the line ends here, it start over
}

func (l *lines) write(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.add(p)
			return
		}
		l.add(p[:i])
		l.emit(clean(l.buf), true)
		l.buf, l.cr = l.buf[:0], false
		p = p[i+1:]
	}
}

// close emits a last line that was not ended.
func (l *lines) close() {
	if len(l.buf) > 0 {
		l.emit(clean(l.buf), false)
		l.buf = nil
	}
}

// add takes bytes without a line feed.
func (l *lines) add(p []byte) {
	for {
		part, rest, found := bytes.Cut(p, []byte{'\r'})
		if len(part) > 0 {
			if l.cr {
				l.buf, l.cr = l.buf[:0], false
			}
			l.fill(part)
		}
		if !found {
			return
		}
		l.cr, p = true, rest
	}
}

// fill takes bytes that are just text.
func (l *lines) fill(p []byte) {
	for len(l.buf)+len(p) > maxLine {
		n := maxLine - len(l.buf)
		l.buf, p = append(l.buf, p[:n]...), p[n:]
		cut := wholeRunes(l.buf)
		l.emit(clean(l.buf[:cut]), false)
		l.buf = append(l.buf[:0], l.buf[cut:]...)
	}
	l.buf = append(l.buf, p...)
}

// wholeRunes is the length of b without a last character that is not complete yet.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && i > len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

// clean makes text that can be stored anywhere: PostgreSQL takes neither invalid UTF-8 nor NUL.
func clean(b []byte) string {
	text := strings.ToValidUTF8(string(b), "\ufffd")
	return strings.ReplaceAll(text, "\x00", "\ufffd")
}
