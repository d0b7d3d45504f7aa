package dbtext

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

// Fit returns text with <U+XXXX> for each character that a database of that encoding (its server_encoding) cannot hold.
func Fit(database, text string) string {
	if all(database) || isASCII(text) {
		return text
	}
	holds := holder(database)
	var b strings.Builder
	for _, r := range text {
		if r < utf8.RuneSelf || holds(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(instead(r))
	}
	return b.String()
}

// FitJSON is Fit for a text that is JSON, in which a character can also be written as an escape.
func FitJSON(database string, encoded []byte) []byte {
	if all(database) || isASCII(encoded) && !bytes.Contains(encoded, []byte(`\u`)) {
		return encoded
	}
	holds := holder(database)
	out := make([]byte, 0, len(encoded))
	for i := 0; i < len(encoded); {
		r, size := utf8.DecodeRune(encoded[i:])
		raw := encoded[i : i+size]
		if r == '\\' && i+1 < len(encoded) {
			raw = encoded[i : i+2]
			if escaped, n := escape(encoded[i:]); n > 0 {
				r, raw = escaped, encoded[i:i+n]
			}
		}
		i += len(raw)
		if r < utf8.RuneSelf || holds(r) {
			out = append(out, raw...)
			continue
		}
		out = append(out, instead(r)...)
	}
	return out
}

// Holds reports whether a database of that encoding can hold the text.
func Holds(database, text string) bool { return Fit(database, text) == text }

func instead(r rune) string { return fmt.Sprintf("<U+%04X>", r) }

// all reports whether nothing need be changed. SQL_ASCII takes bytes as they are; an encoding that is not known yet is taken
// for the usual one.
func all(database string) bool {
	return database == "" || database == "UTF8" || database == "SQL_ASCII"
}

func isASCII[T string | []byte](text T) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// holder tells which characters beyond ASCII the encoding has. Of one that is not listed nothing is taken for granted.
func holder(database string) func(rune) bool {
	e, listed := map[string]encoding.Encoding{
		"LATIN1": charmap.ISO8859_1, "LATIN2": charmap.ISO8859_2, "LATIN9": charmap.ISO8859_15,
		"WIN1251": charmap.Windows1251, "WIN1252": charmap.Windows1252, "KOI8R": charmap.KOI8R, "EUC_JP": japanese.EUCJP,
	}[database]
	if !listed {
		return func(rune) bool { return false }
	}
	encoder := e.NewEncoder()
	return func(r rune) bool {
		if r == utf8.RuneError {
			return false
		}
		_, err := encoder.String(string(r))
		return err == nil
	}
}

// escape is the character of an escape \uXXXX, or of a pair of them, at the beginning of s, and its length; 0 if there is none.
func escape(s []byte) (rune, int) {
	high, ok := Unit(s)
	if !ok {
		return 0, 0
	}
	if low, paired := Unit(s[6:]); paired && utf16.IsSurrogate(high) {
		if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
			return r, 12
		}
	}
	return high, 6
}

// Unit is the UTF-16 unit of an escape \uXXXX at the beginning of s, false if there is none.
func Unit(s []byte) (rune, bool) {
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
