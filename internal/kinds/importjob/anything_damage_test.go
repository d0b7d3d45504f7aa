package importjob_test

import (
	"bytes"
	"compress/gzip"
	"slices"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
)

func (m *anythingMaker) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

// damage changes text in up to four places.
func (m *anythingMaker) damage(text, other []byte) []byte {
	text = slices.Clone(text)
	for range 1 + m.IntN(4) {
		at := m.IntN(len(text) + 1)
		to := at + m.IntN(min(len(text)-at, 200)+1)
		switch m.IntN(12) {
		case 0: // a bit
			if at < len(text) {
				text[at] ^= 1 << m.IntN(8)
			}
		case 1: // a byte
			if at < len(text) {
				text[at] = byte(m.Uint32())
			}
		case 2:
			text = slices.Delete(text, at, to)
		case 3:
			if m.chance(30) {
				text = text[:at]
			}
		case 4: // a block again
			text = slices.Insert(text, m.IntN(len(text)+1), slices.Clone(text[at:to])...)
		case 5:
			text = slices.Insert(text, at, m.noise(m.IntN(40))...)
		case 6:
			if other != nil {
				text = slices.Insert(text, at, other...)
			}
		case 7: // one byte for another throughout
			text = bytes.ReplaceAll(text, []byte(one(m, "\n", ",", `"`, " ", "1")), []byte(one(m, "\r", "\r\n", "\n\n", ";", `""`, "'", "\x00", "")))
		case 8:
			text = slices.Insert(text, at, bytes.Repeat([]byte(one(m, `"`, ",", "\n", "[", `{"a":`, "\x00", `"x`, " ")), 1+m.IntN(3000))...)
		default:
			text = slices.Insert(text, at, []byte(one(m, `"`, `"`, `'`, ",", ";", "\n", "\r", "\x00", "\ufeff", "\xff", "\xff\xfe", `\`, "\\.\n", "#", "\n\n", `"",`, "{", "}", "\x1a"))...)
		}
	}
	return text
}

func (m *anythingMaker) encode(text []byte, form anythingForm) []byte {
	var e encoding.Encoding
	switch form.encoding {
	case "utf-16le":
		e = unicode.UTF16(unicode.LittleEndian, one(m, unicode.UseBOM, unicode.IgnoreBOM))
	case "utf-16be":
		e = unicode.UTF16(unicode.BigEndian, one(m, unicode.UseBOM, unicode.IgnoreBOM))
	case "shift_jis":
		e = japanese.ShiftJIS
	case "euc-jp":
		e = japanese.EUCJP
	case "iso-8859-1":
		e = charmap.ISO8859_1
	case "windows-1252":
		e = charmap.Windows1252
	default:
		if form.mark {
			return append([]byte("\ufeff"), text...)
		}
		return text
	}
	out, err := encoding.ReplaceUnsupported(e.NewEncoder()).Bytes(text)
	if err != nil {
		return text
	}
	return out
}

func (m *anythingMaker) compress(text []byte, how string) []byte {
	cuts := []int{0, len(text)}
	if m.chance(30) {
		cuts = []int{0, m.IntN(len(text) + 1), len(text)} // two members, or frames
	}
	var out bytes.Buffer
	for i, from := range cuts[:len(cuts)-1] {
		part := text[from:cuts[i+1]]
		if how == "zstd" {
			w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(64<<10))
			if err != nil {
				panic(err) // the options are constants
			}
			out.Write(w.EncodeAll(part, nil))
			_ = w.Close()
			continue
		}
		w := gzip.NewWriter(&out)
		_, _ = w.Write(part) // into memory
		_ = w.Close()
	}
	return out.Bytes()
}
