package rowio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	readSize = 64 << 10 // room beyond the longest record
	minRead  = 4 << 10  // less room than this after the data is worth moving it for
	maxEmpty = 100      // reads of nothing in a row before a reader is given up
)

var bom = []byte("\xef\xbb\xbf")

var errBadRead = errors.New("reader returned an impossible count")

// window is the part of the stream that is in memory: buf[start:end], where
// start is the first byte not yet passed.
type window struct {
	r          io.Reader
	buf        []byte
	start, end int
	limit      int   // buf grows to this at most
	off        int64 // stream offset of buf[start]
	err        error // what r ended with; the window may still hold data

	lf, cr, quote mark
}

func newWindow(r io.Reader, off int64, size, maxRecord int, quote byte) window {
	return window{
		r:     r,
		buf:   make([]byte, size),
		limit: max(size, maxRecord+readSize),
		off:   off,
		lf:    mark{b: '\n'},
		cr:    mark{b: '\r'},
		quote: mark{b: quote},
	}
}

func (w *window) bytes() []byte { return w.buf[w.start:w.end] }

func (w *window) advance(n int) {
	w.start += n
	w.off += int64(n)
}

// fill adds at least one byte to the window, moving or growing the buffer when
// there is little room. It reports false when the reader is done. Positions
// relative to start stay right; slices of buf do not.
func (w *window) fill() bool {
	if w.err != nil {
		return false
	}
	if w.start > 0 && (w.start == w.end || len(w.buf)-w.end < minRead) {
		w.slide()
	}
	if w.end == len(w.buf) {
		w.grow(min(2*len(w.buf), w.limit))
	}
	return w.read()
}

// read appends to buf[:end] what one read gives.
func (w *window) read() bool {
	for range maxEmpty {
		if w.err != nil {
			return false
		}
		n, err := w.r.Read(w.buf[w.end:])
		if n < 0 || n > len(w.buf)-w.end {
			n, err = 0, errBadRead
		}
		w.end += n
		w.err = err
		if n > 0 {
			return true
		}
	}
	if w.err == nil {
		w.err = io.ErrNoProgress
	}
	return false
}

// slide moves the data to the front of buf.
func (w *window) slide() {
	copy(w.buf, w.buf[w.start:w.end])
	w.lf.at -= w.start
	w.cr.at -= w.start
	w.quote.at -= w.start
	w.end -= w.start
	w.start = 0
}

func (w *window) grow(size int) {
	buf := make([]byte, size)
	copy(buf, w.buf[:w.end])
	w.buf = buf
}

// lineEnd is the number of bytes of the line end at start+n: 0 at the end of
// the stream. It reports false when a read error hides what follows a CR.
func (w *window) lineEnd(n int) (width int, ok bool) {
	if w.start+n == w.end {
		return 0, true
	}
	if w.buf[w.start+n] == '\n' {
		return 1, true
	}
	if w.start+n+1 == w.end && !w.fill() {
		return 1, w.err == io.EOF
	}
	if w.buf[w.start+n+1] == '\n' {
		return 2, true
	}
	return 1, true
}

// failure is the final error of a scanner whose window cannot be filled.
func (w *window) failure() error {
	if w.err == io.EOF {
		return io.EOF
	}
	return fmt.Errorf("read the record at byte %d: %w", w.off, w.err)
}

// mark remembers where the next b is, so that a byte that is rare or absent is
// searched for once per read and not once per record. It must be asked with
// positions that never go back.
type mark struct {
	b     byte
	found bool
	at    int // the b, or how far the search for it got
}

// next is the index of the first b in data[from:], or len(data).
func (m *mark) next(data []byte, from int) int {
	if m.found && m.at >= from {
		return m.at
	}
	m.at = max(m.at, from)
	i := bytes.IndexByte(data[m.at:], m.b)
	m.found = i >= 0
	if !m.found {
		m.at = len(data)
		return m.at
	}
	m.at += i
	return m.at
}

// reset forgets what was seen before from.
func (m *mark) reset(from int) { m.found, m.at = false, from }
