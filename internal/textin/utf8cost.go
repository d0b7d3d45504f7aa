package textin

import (
	"unicode"
	"unicode/utf8"
)

// fewChars is how many characters beyond ASCII can be valid UTF-8 by chance.
const fewChars = 3

// utf8Cost is how unlikely words of valid UTF-8 are. Two letters of another encoding seldom make a character, and hardly ever one that
// belongs where it is.
func utf8Cost(words []word) float64 {
	c := -4.0 // most files are UTF-8
	for _, w := range words {
		glyphs := []glyph{newGlyph(rune(w.before), false)}
		for text := w.text; len(text) > 0; {
			r, size := utf8.DecodeRune(text)
			glyphs = append(glyphs, newGlyph(r, size > 1))
			text = text[size:]
		}
		glyphs = append(glyphs, newGlyph(rune(w.after), false))
		for i := 1; i < len(glyphs)-1; i++ {
			if glyphs[i].high {
				c += utf8CharCost(glyphs[i], glyphs[i-1], glyphs[i+1])
			}
		}
	}
	return c
}

func utf8CharCost(g, before, after glyph) float64 {
	latin := unicode.Is(unicode.Latin, g.r)
	switch {
	case unicode.In(g.r, unicode.Cf, unicode.Zl, unicode.Zp) && g.r > 0xff: // byte order marks in the middle, marks of direction, joiners, ends of lines: programs write them
		return 0.3
	case g.r == utf8.RuneError, unicode.IsControl(g.r), !unicode.IsGraphic(g.r):
		return foreign
	case unicode.Is(unicode.M, g.r) && !before.letter:
		return foreign
	case g.letter && !latin && !unicode.Is(unicode.M, g.r) && (before.letter && !before.high || after.letter && !after.high):
		return mixed
	case latin && g.r > 0xff && !before.letter && !after.letter:
		return usual + lonely
	case g.letter && g.r > 0x17f && g.r < 0x370, g.r > 0x52f && g.r < 0x5d0, g.r > 0x6ff && g.r < 0x800:
		return seldom // of phonetics, Coptic, Syriac, …
	}
	return 0.3
}
