package riverpg

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/dbtext"
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
		r, ok := dbtext.Unit(encoded[i:])
		if !ok { // an escape of two characters, whose second begins none
			b.Write(encoded[i : i+2])
			i += 2
			continue
		}
		low, paired := dbtext.Unit(encoded[i+6:])
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
