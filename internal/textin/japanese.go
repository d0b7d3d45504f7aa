package textin

import (
	"sync"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
)

// pairs maps two bytes to a character of the basic plane; 0 marks those that
// stand for none. With a table, the bytes of a fault are known, and a stray lead
// byte does not swallow the delimiter after it.
type pairs [1 << 16]uint16

// newPairs asks a decoder of x/text for each pair of high and low, after prefix.
func newPairs(e encoding.Encoding, prefix []byte, isLead, isTrail func(byte) bool) *pairs {
	t := new(pairs)
	d := e.NewDecoder()
	src := append(prefix[:len(prefix):len(prefix)], 0, 0)
	dst := make([]byte, 16)
	for lead := 0x80; lead <= 0xff; lead++ {
		if !isLead(byte(lead)) {
			continue
		}
		for trail := 0x40; trail <= 0xff; trail++ {
			if !isTrail(byte(trail)) {
				continue
			}
			src[len(prefix)], src[len(prefix)+1] = byte(lead), byte(trail)
			d.Reset()
			n, _, err := d.Transform(dst, src, true)
			if err != nil {
				continue
			}
			if r, size := utf8.DecodeRune(dst[:n]); size == n && r != utf8.RuneError && r <= 0xffff {
				t[lead<<8|trail] = uint16(r)
			}
		}
	}
	return t
}

func (t *pairs) at(lead, trail byte) rune { return rune(t[int(lead)<<8|int(trail)]) }

type shiftJIS struct{ pairs *pairs }

func isShiftJISLead(b byte) bool  { return b >= 0x81 && b <= 0x9f || b >= 0xe0 && b <= 0xfc }
func isShiftJISTrail(b byte) bool { return b >= 0x40 && b <= 0xfc && b != 0x7f }
func isHalfKana(b byte) bool      { return b >= 0xa1 && b <= 0xdf }

// Each table is made when it is first needed, and never changed after that.
var (
	shiftJISPairs = sync.OnceValue(makeShiftJISPairs)
	eucPairs      = sync.OnceValue(func() *pairs { return newPairs(japanese.EUCJP, nil, isEUC, isEUC) })
	eucThird      = sync.OnceValue(func() *pairs { return newPairs(japanese.EUCJP, []byte{0x8f}, isEUC, isEUC) })
)

func newShiftJIS() *shiftJIS { return &shiftJIS{shiftJISPairs()} }

func makeShiftJISPairs() *pairs {
	t := newPairs(japanese.ShiftJIS, nil, isShiftJISLead, isShiftJISTrail)
	// The characters that each company made for itself, as Windows numbers them.
	private := uint16(0xe000)
	for lead := 0xf0; lead <= 0xf9; lead++ {
		for trail := 0x40; trail <= 0xfc; trail++ {
			if isShiftJISTrail(byte(trail)) {
				t[lead<<8|trail] = private
				private++
			}
		}
	}
	return t
}

func (s *shiftJIS) decode(dst, src []byte, final bool) ([]byte, int) {
	for i := 0; i < len(src); {
		if n := ascii(src[i:]); n > 0 {
			dst = append(dst, src[i:i+n]...)
			i += n
			continue
		}
		b := src[i]
		switch {
		case isHalfKana(b):
			dst = utf8.AppendRune(dst, halfKana(b))
			i++
			continue
		case isShiftJISLead(b) && i+1 == len(src) && !final:
			return dst, i
		case isShiftJISLead(b) && i+1 < len(src):
			if r := s.pairs.at(b, src[i+1]); r != 0 {
				dst = utf8.AppendRune(dst, r)
				i += 2
				continue
			}
		}
		dst = appendBad(dst, b)
		i++
	}
	return dst, len(src)
}

func halfKana(b byte) rune { return 0xff61 + rune(b-0xa1) }

type eucJP struct {
	pairs *pairs
	third *pairs // JIS X 0212, after 0x8f
}

func isEUC(b byte) bool { return b >= 0xa1 && b <= 0xfe }

func newEUCJP() *eucJP {
	return &eucJP{pairs: eucPairs(), third: eucThird()}
}

func (e *eucJP) decode(dst, src []byte, final bool) ([]byte, int) {
	for i := 0; i < len(src); {
		if n := ascii(src[i:]); n > 0 {
			dst = append(dst, src[i:i+n]...)
			i += n
			continue
		}
		r, size := e.char(src[i:])
		if size > len(src)-i {
			if !final {
				return dst, i
			}
			r, size = 0, 1
		}
		if r == 0 {
			dst = appendBad(dst, src[i])
			i++
			continue
		}
		dst = utf8.AppendRune(dst, r)
		i += size
	}
	return dst, len(src)
}

// char reads one character that is not ASCII. The rune is 0 for none; the size is
// more than len(b) when b ends within what may be one.
func (e *eucJP) char(b []byte) (rune, int) {
	switch {
	case b[0] == 0x8e:
		if len(b) < 2 {
			return 0, 2
		}
		if isHalfKana(b[1]) {
			return halfKana(b[1]), 2
		}
	case b[0] == 0x8f:
		if len(b) < 2 || isEUC(b[1]) && len(b) < 3 {
			return 0, 3
		}
		if isEUC(b[1]) {
			return e.third.at(b[1], b[2]), 3
		}
	case isEUC(b[0]):
		if len(b) < 2 {
			return 0, 2
		}
		return e.pairs.at(b[0], b[1]), 2
	}
	return 0, 1
}
