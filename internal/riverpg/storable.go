package riverpg

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// storable returns JSON that a jsonb column takes. JSON can write what jsonb refuses: a NUL, and halves of a surrogate pair.
// The replacement character stands for them, so that the rest is kept and strings that differ mostly still do.
func storable(encoded []byte) string {
	if !utf8.Valid(encoded) {
		encoded = bytes.ToValidUTF8(encoded, []byte("\uFFFD"))
	}
	if !bytes.Contains(encoded, []byte(`\u`)) {
		return string(encoded)
	}
	var b strings.Builder
	b.Grow(len(encoded))
	for i := 0; i < len(encoded); {
		if encoded[i] != '\\' || i+1 == len(encoded) {
			b.WriteByte(encoded[i])
			i++
			continue
		}
		r, ok := unit(encoded[i:])
		if !ok { // an escape of two characters, whose second begins none
			b.Write(encoded[i : i+2])
			i += 2
			continue
		}
		low, paired := unit(encoded[i+6:])
		switch {
		case utf16.IsSurrogate(r) && paired && utf16.DecodeRune(r, low) != utf8.RuneError:
			b.Write(encoded[i : i+12])
			i += 12
			continue
		case r == 0 || utf16.IsSurrogate(r):
			b.WriteString(`\ufffd`)
		default:
			b.Write(encoded[i : i+6])
		}
		i += 6
	}
	return b.String()
}

// unit is the UTF-16 unit of an escape \uXXXX at the beginning of s.
func unit(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
