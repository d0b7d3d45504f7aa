package textin

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// badMark begins the three bytes that stand for one that could not be decoded.
const (
	badMark = 0xff
	badSize = 3
)

func appendBad(dst []byte, b byte) []byte { return append(dst, badMark, 0x80|b>>4, 0x80|b&0x0f) }

// bad is the byte that the first of the three at the beginning of b stand for.
func bad(b []byte) (byte, bool) {
	if len(b) < badSize || b[0] != badMark || b[1]&0xf0 != 0x80 || b[2]&0xf0 != 0x80 {
		return 0, false
	}
	return b[1]<<4 | b[2]&0x0f, true
}

// Invalid finds the first bytes in a piece of a stream of this encoding that could
// not be decoded. at is where, -1 when all is text; why names the original
// byte and the character of the line at which it stands, both counted from 1.
func (e Encoding) Invalid(text []byte) (at int, why string) {
	if e == UTF8 || e == AutoEncoding {
		if utf8.Valid(text) {
			return -1, ""
		}
		at = firstInvalid(text)
		return at, fmt.Sprintf("byte 0x%02X at column %d is not valid %s", text[at], column(text[:at]), UTF8)
	}
	at = bytes.IndexByte(text, badMark)
	if at < 0 {
		return -1, ""
	}
	first, ok := bad(text[at:])
	if !ok {
		return at, fmt.Sprintf("a character cut in two at column %d", column(text[:at])) // text was cut by the caller
	}
	place := column(text[:at])
	if e == UTF16LE || e == UTF16BE {
		if second, ok := bad(text[at+badSize:]); ok {
			return at, fmt.Sprintf("0x%02X%02X at column %d is half of a character in %s", first, second, place, e)
		}
		return at, fmt.Sprintf("byte 0x%02X at column %d is half of a character in %s; the file was cut off there", first, place, e)
	}
	return at, fmt.Sprintf("byte 0x%02X at column %d is not valid %s", first, place, e)
}

func firstInvalid(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(text)
}

// column is the character after before in its line, from 1.
func column(before []byte) int {
	return utf8.RuneCount(before[bytes.LastIndexAny(before, "\r\n")+1:]) + 1
}

// Clean appends a piece of a stream to dst with U+FFFD for each byte that could
// not be decoded: valid UTF-8 for people to read.
func (e Encoding) Clean(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			if _, ok := bad(text); ok && e != UTF8 {
				size = badSize
			}
			dst = append(dst, "\uFFFD"...)
		} else {
			dst = append(dst, text[:size]...)
		}
		text = text[size:]
	}
	return dst
}
