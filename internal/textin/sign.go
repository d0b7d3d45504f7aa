package textin

import (
	"strings"
	"unicode"
)

// signCost is how unlikely a sign beyond ASCII is at i of a word.
func signCost(word []glyph, i int) float64 {
	g, before, after := word[i], word[i-1], word[i+1]
	inside := before.letter && after.letter
	switch {
	case g.r == 0, unicode.IsControl(g.r):
		return foreign
	case g.r == '’' && inside:
		return apostropheCost(word, i)
	case g.r == '\u00ad', g.r == '\u00a0', g.r == '\u200e', g.r == '\u200f':
		if inside {
			return 1.5
		}
		return usual
	case g.r == '·' && inside && before.r == 'l' && after.r == 'l':
		return usual
	case inside:
		return badCase
	case strings.ContainsRune("“‘«„‚‹¿¡", g.r): // opens
		if before.letter || digit(before.r) {
			return misplaced
		}
		return 0.7
	case strings.ContainsRune("”’»›…", g.r):
		return 0.7
	case strings.ContainsRune("–—•", g.r):
		return 0.7
	case strings.ContainsRune("€£¥°§©®™ªº½¼¾×±µ²³№", g.r):
		return usual
	case unicode.In(g.r, unicode.So, unicode.Sm, unicode.Co): // boxes, blocks, arrows
		return badCase
	}
	return misplaced
}

// apostropheCost knows the shortened words of English, French and Italian. What is none could be a letter of another encoding.
func apostropheCost(word []glyph, i int) float64 {
	head, tail := letters(word[:i], -1), letters(word[i+1:], 1)
	switch tail {
	case "t", "ll", "re", "ve", "m", "d":
		return -2 // in no other encoding is there such a word
	case "s":
		return 0.5
	}
	if len(tail) > 2 && (head == "qu" || len(head) == 1 && strings.Contains("cdjlmnost", head)) {
		if word[i-1].upper && word[i+1].upper || word[i+1].vowel {
			return -2
		}
	}
	return badCase
}

// letters of ASCII at the end (step -1) or at the beginning (1) of word, in lower case.
func letters(word []glyph, step int) string {
	at := 0
	if step < 0 {
		at = len(word) - 1
	}
	out := ""
	for ; at >= 0 && at < len(word) && word[at].letter; at += step {
		if step < 0 {
			out = string(unicode.ToLower(word[at].r)) + out
		} else {
			out += string(unicode.ToLower(word[at].r))
		}
	}
	return out
}
