package textin

import (
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

const (
	encodedBuffer = 32 << 10
	maxEmpty      = 100 // reads of nothing in a row before a reader is given up
)

// decoder turns encoded bytes into UTF-8. It keeps nothing between calls.
type decoder interface {
	// decode appends the text of src to dst and returns how much of src it used: all,
	// or all but the beginning of a character when more may follow (not final).
	decode(dst, src []byte, final bool) (out []byte, used int)
}

// newDecoder is nil for UTF-8, which needs none.
func newDecoder(e Encoding) decoder {
	switch e {
	case EUCJP:
		return newEUCJP()
	case Latin1:
		return newLatin1()
	case ShiftJIS:
		return newShiftJIS()
	case UTF16BE:
		return utf16Decoder{high: 0}
	case UTF16LE:
		return utf16Decoder{high: 1}
	case Windows1252:
		return newWindows1252()
	}
	return nil
}

// decodeReader decodes what r gives.
type decodeReader struct {
	r   io.Reader
	d   decoder
	src []byte // room for encoded bytes
	n   int    // how many of them wait
	out []byte // decoded
	pos int    // how much of it was read
	err error  // what r ended with
}

func newDecodeReader(r io.Reader, d decoder) *decodeReader {
	return &decodeReader{r: r, d: d, src: make([]byte, encodedBuffer)}
}

func (d *decodeReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for d.pos == len(d.out) {
		if d.err != nil {
			return 0, d.err
		}
		d.fill()
	}
	n := copy(p, d.out[d.pos:])
	d.pos += n
	return n, nil
}

// fill reads once and decodes what came.
func (d *decodeReader) fill() {
	read := 0
	for i := 0; read == 0 && d.err == nil; i++ {
		if i == maxEmpty {
			d.err = io.ErrNoProgress
			break
		}
		read, d.err = d.r.Read(d.src[d.n:])
	}
	d.n += read
	var used int
	// After an error that is not the end, the rest of a character may still come when the file is read again.
	d.out, used = d.d.decode(d.out[:0], d.src[:d.n], d.err == io.EOF)
	d.pos = 0
	d.n = copy(d.src, d.src[used:d.n])
}

// ascii is the number of bytes below 0x80 that b begins with.
func ascii(b []byte) int {
	i := 0
	for i+8 <= len(b) && (b[i]|b[i+1]|b[i+2]|b[i+3]|b[i+4]|b[i+5]|b[i+6]|b[i+7]) < utf8.RuneSelf {
		i += 8
	}
	for i < len(b) && b[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// singleByte maps each byte to one character; 0 marks those that stand for none.
type singleByte [256]rune

func newLatin1() *singleByte {
	var t singleByte
	for i := range t {
		t[i] = rune(i)
	}
	return &t
}

// newWindows1252 leaves the five bytes without a character without one, where
// browsers make control characters of them: they tell that a file is something else.
func newWindows1252() *singleByte {
	var t singleByte
	for i := range t {
		t[i] = charmap.Windows1252.DecodeByte(byte(i))
	}
	for _, b := range []byte{0x81, 0x8d, 0x8f, 0x90, 0x9d} {
		t[b] = 0
	}
	return &t
}

func (t *singleByte) decode(dst, src []byte, _ bool) ([]byte, int) {
	for i := 0; i < len(src); {
		if n := ascii(src[i:]); n > 0 {
			dst = append(dst, src[i:i+n]...)
			i += n
			continue
		}
		if r := t[src[i]]; r != 0 {
			dst = utf8.AppendRune(dst, r)
		} else {
			dst = appendBad(dst, src[i])
		}
		i++
	}
	return dst, len(src)
}

// utf16Decoder reads pairs of bytes; high is which of them is the high half.
type utf16Decoder struct{ high int }

func (u utf16Decoder) unit(b []byte) rune { return rune(b[u.high])<<8 | rune(b[1-u.high]) }

func (u utf16Decoder) decode(dst, src []byte, final bool) ([]byte, int) {
	i := 0
	for ; i+2 <= len(src); i += 2 {
		r := u.unit(src[i:])
		switch {
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
			continue
		case r < 0xd800 || r > 0xdfff:
			dst = utf8.AppendRune(dst, r)
			continue
		case r < 0xdc00:
			if i+4 > len(src) {
				if !final {
					return dst, i
				}
				break
			}
			if low := u.unit(src[i+2:]); low >= 0xdc00 && low <= 0xdfff {
				dst = utf8.AppendRune(dst, (r-0xd800)<<10+(low-0xdc00)+0x10000)
				i += 2
				continue
			}
		}
		dst = appendBad(appendBad(dst, byte(r>>8)), byte(r))
	}
	if final && i < len(src) {
		dst = appendBad(dst, src[i])
		i++
	}
	return dst, i
}
