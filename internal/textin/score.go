package textin

import (
	"cmp"
	"slices"
)

// tally adds up how likely each character is in the texts of an encoding.
type tally struct {
	sum     float64
	chars   int
	invalid int
}

func (t *tally) add(weight float64) {
	t.sum += weight
	t.chars++
}

func (t *tally) guess(e Encoding) Guess {
	g := Guess{Encoding: e, Invalid: t.invalid, chars: t.chars}
	if n := t.chars + t.invalid; n > 0 {
		// One bad byte must weigh more than the many good ones around it, for random bytes are mostly valid.
		g.Score = max((t.sum-6*float64(t.invalid))/float64(n), 0)
	}
	return g
}

// scores judges the text, which is not UTF-8, in each of the encodings that have no
// marks and no structure to know them by; the likeliest first.
func scores(text []byte) []Guess {
	guesses := []Guess{scoreShiftJIS(text), scoreEUCJP(text)}
	guesses = append(guesses, scoreLatin(text)...)
	slices.SortStableFunc(guesses, func(a, b Guess) int { return cmp.Compare(b.Score, a.Score) })
	return guesses
}

// Weights of Japanese characters: how much one speaks for its encoding.
const (
	kana      = 1.0
	common    = 0.9  // kanji of the first level
	sign      = 0.8  // punctuation, full-width letters and digits
	rare      = 0.25 // kanji of the second level
	halfRun   = 0.7  // half-width kana beside another
	halfAlone = 0.1
	extension = 0.2 // what companies added: ① ㈱ 髙
)

func scoreShiftJIS(text []byte) Guess {
	d := newShiftJIS()
	var t tally
	halfBefore := false
	shifted := 0 // pairs that look like half-width kana of EUC-JP
	for i := 0; i < len(text); {
		b := text[i]
		if b < 0x80 {
			halfBefore = false
			i++
			continue
		}
		if isHalfKana(b) {
			beside := halfBefore || i+1 < len(text) && isHalfKana(text[i+1])
			switch {
			case b <= 0xa5 || !beside:
				t.add(halfAlone)
			default:
				t.add(halfRun)
			}
			halfBefore = true
			i++
			continue
		}
		halfBefore = false
		if !isShiftJISLead(b) || i+1 == len(text) || d.pairs.at(b, text[i+1]) == 0 {
			if i+1 < len(text) || !isShiftJISLead(b) {
				t.invalid++
			}
			i++
			continue
		}
		if b == 0x8e && isHalfKana(text[i+1]) {
			shifted++
		}
		t.add(shiftJISWeight(b, text[i+1]))
		i += 2
	}
	if shifted > 2 && shifted*2 > t.chars {
		t.sum -= (common - rare) * float64(shifted)
	}
	return t.guess(ShiftJIS)
}

func shiftJISWeight(lead, trail byte) float64 {
	switch {
	case lead == 0x82 && trail >= 0x9f, lead == 0x83 && trail <= 0x96:
		return kana
	case lead >= 0x89 && lead <= 0x97, lead == 0x88 && trail >= 0x9f, lead == 0x98 && trail <= 0x72:
		return common
	case lead == 0x81, lead == 0x82:
		return sign
	case lead <= 0x84:
		return rare
	case lead >= 0x98 && lead <= 0x9f, lead >= 0xe0 && lead <= 0xea:
		return rare
	}
	return extension
}

func scoreEUCJP(text []byte) Guess {
	d := newEUCJP()
	var t tally
	for i := 0; i < len(text); {
		b := text[i]
		if b < 0x80 {
			i++
			continue
		}
		r, size := d.char(text[i:])
		if size > len(text)-i {
			break
		}
		if r == 0 {
			t.invalid++
			i++
			continue
		}
		t.add(eucWeight(b))
		i += size
	}
	return t.guess(EUCJP)
}

func eucWeight(lead byte) float64 {
	switch {
	case lead == 0xa4, lead == 0xa5:
		return kana
	case lead >= 0xb0 && lead <= 0xcf:
		return common
	case lead == 0xa1, lead == 0xa3:
		return sign
	case lead == 0x8e:
		return halfRun
	case lead >= 0xd0 && lead <= 0xf4:
		return rare
	}
	return extension
}

// scoreLatin judges by the neighbours: in the languages of western Europe a letter
// with an accent is between plain letters, seldom beside two of its kind.
func scoreLatin(text []byte) []Guess {
	var windows, latin tally
	for i := 0; i < len(text); i++ {
		b := text[i]
		if b < 0x80 {
			continue
		}
		before, after := neighbour(text, i-1), neighbour(text, i+1)
		weight := latinWeight(b, before, after)
		switch {
		case b == 0x81, b == 0x8d, b == 0x8f, b == 0x90, b == 0x9d:
			windows.invalid++
			latin.add(0)
		case b < 0xa0:
			windows.add(weight)
			latin.invalid++ // control characters: in no file that is meant to be read
		default:
			windows.add(weight)
			latin.add(weight)
		}
	}
	return []Guess{windows.guess(Windows1252), latin.guess(Latin1)}
}

func neighbour(text []byte, i int) byte {
	if i < 0 || i >= len(text) {
		return ' '
	}
	return text[i]
}

func latinWeight(b, before, after byte) float64 {
	high := 0
	for _, n := range []byte{before, after} {
		if n >= 0x80 {
			high++
		}
	}
	letters := 0
	for _, n := range []byte{before, after} {
		if n|0x20 >= 'a' && n|0x20 <= 'z' {
			letters++
		}
	}
	switch {
	case high == 2:
		return 0.02
	case b >= 0xc0 && b != 0xd7 && b != 0xf7:
		if high == 1 {
			return 0.3
		}
		return 0.6 + 0.2*float64(letters) // à alone, état, né, café
	case high == 1:
		return 0.15
	}
	return 0.65 // quotes, dashes, €, °, §, « », no-break space
}
