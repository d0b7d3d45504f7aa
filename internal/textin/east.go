package textin

import (
	"sync"
	"unicode"

	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// east is an encoding of two bytes to a character. One is valid as another more often than not: what tells them apart is
// which characters come out.
type east struct {
	name, iconv string
	encoding    Encoding // of those that an import reads; empty: none
	prior       float64
	char        func(b []byte) (rune, int) // 0: none; a size beyond b: it is cut off
	common      map[rune]bool
	kana        bool
	first       func(b []byte) bool // of the level with the more usual characters
}

// easts are made when they are first needed, and never changed after that.
var easts = sync.OnceValue(makeEasts)

func makeEasts() []*east {
	kanji := runeSet(commonKanji)
	return []*east{
		{"shift_jis", "SHIFT_JIS", ShiftJIS, 0, shiftJISChar, kanji, true, func(b []byte) bool {
			return b[0] == 0x88 && b[1] >= 0x9f || b[0] >= 0x89 && b[0] <= 0x97 || b[0] == 0x98 && b[1] <= 0x72
		}},
		{"euc-jp", "EUC-JP", EUCJP, 0, newEUCJP().char, kanji, true, func(b []byte) bool { return b[0] >= 0xb0 && b[0] <= 0xcf }},
		{"GBK", "GBK", "", 0.5, twoBytes(newPairs(simplifiedchinese.GBK, nil, isWide, isWideTrail)), runeSet(commonSimplified), false,
			func(b []byte) bool { return b[0] >= 0xb0 && b[0] <= 0xd7 && b[1] >= 0xa1 }},
		{"Big5", "BIG5", "", 0.5, twoBytes(newPairs(traditionalchinese.Big5, nil, isWide, isWideTrail)), runeSet(commonTraditional), false,
			func(b []byte) bool { return b[0] >= 0xa4 && b[0] <= 0xc6 }},
		{"EUC-KR", "CP949", "", 0.5, twoBytes(newPairs(korean.EUCKR, nil, isWide, isWideTrail)), runeSet(commonHangul), false,
			func(b []byte) bool { return b[0] >= 0xb0 && b[0] <= 0xc8 && b[1] >= 0xa1 }},
	}
}

func isWide(b byte) bool      { return b >= 0x81 && b <= 0xfe }
func isWideTrail(b byte) bool { return b >= 0x40 && b <= 0xfe && b != 0x7f }

func runeSet(s string) map[rune]bool {
	set := map[rune]bool{}
	for _, r := range s {
		set[r] = true
	}
	return set
}

func twoBytes(t *pairs) func(b []byte) (rune, int) {
	return func(b []byte) (rune, int) {
		if !isWide(b[0]) || len(b) < 2 {
			return 0, 1
		}
		if r := t.at(b[0], b[1]); r != 0 {
			return r, 2
		}
		return 0, 1
	}
}

func shiftJISChar(b []byte) (rune, int) {
	if isHalfKana(b[0]) {
		return halfKana(b[0]), 1
	}
	if isShiftJISLead(b[0]) && len(b) > 1 {
		if r := shiftJISPairs().at(b[0], b[1]); r != 0 {
			return r, 2
		}
	}
	return 0, 1
}

func (e *east) cost(words []word) float64 {
	sum := e.prior
	for _, w := range words {
		before := rune(w.before)
		for i := 0; i < len(w.text); {
			if w.text[i] < 0x80 {
				before = rune(w.text[i])
				i++
				continue
			}
			r, size := e.char(w.text[i:])
			if r == 0 || size > len(w.text)-i {
				sum += foreign
				before = 0
				i++
				continue
			}
			after := rune(w.after)
			if i+size < len(w.text) {
				after = rune(w.text[i+size])
			}
			sum += e.charCost(r, w.text[i:i+size], before, after)
			before = r
			i += size
		}
	}
	return sum
}

func (e *east) charCost(r rune, b []byte, before, after rune) float64 {
	c := 0.0
	switch left, right := latinLetter(before), latinLetter(after); {
	case left && right:
		c += misplaced
	case left || right:
		c += 0.7
	}
	switch {
	case e.common[r] || r == '々':
		return c + 0.5
	case r >= 0xff61 && r <= 0xff9f:
		return c + halfKanaCost(r, before, after, len(b) == 1)
	case unicode.In(r, unicode.Hiragana, unicode.Katakana) || r == 'ー':
		if e.kana {
			return c + 0.4
		}
		return c + badCase
	case r >= 0x3000 && r < 0x3040 || r >= 0xff01 && r <= 0xff5e || r == '・' || r == '※' || r == '·':
		return c + 0.8
	case len(b) == 2 && e.first(b):
		return c + 2.2
	case unicode.In(r, unicode.Han, unicode.Hangul):
		return c + 4.5
	}
	return c + misplaced // signs, boxes, other alphabets, what companies added
}

func latinLetter(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' }

// halfKanaCost knows which of the half-width kana take a mark, which begin no word, and that none is alone. single says that
// each is a byte.
func halfKanaCost(r, before, after rune, single bool) float64 {
	c := 0.9
	switch {
	case r == 0xff9e || r == 0xff9f:
		if !(before >= 0xff76 && before <= 0xff84 || before >= 0xff8a && before <= 0xff8e || before == 0xff73) {
			c += badCase
		}
	case !isHalfWidth(before) && r >= 0xff66 && r <= 0xff70:
		c += misplaced
	case r < 0xff66:
		c++
	case single && !isHalfWidth(before) && (after < 0xa1 || after > 0xdf): // after is a byte
		c += seldom
	}
	return c
}

func isHalfWidth(r rune) bool { return r >= 0xff61 && r <= 0xff9f }
