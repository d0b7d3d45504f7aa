package textin

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// tongue is how a language is written: the letters that it has beyond ASCII, and where in a word they stand.
type tongue struct {
	letters map[rune]letter
	dense   bool // two of the letters often stand side by side
	script  *unicode.RangeTable
}

// letter is one of a tongue. place is where it is, as [newTongue] says.
type letter struct {
	cost  float64
	place byte
}

// Costs of a reading, in the manner of a logarithm of how unlikely it is. They are small round numbers: what decides is
// whether a reading breaks the rules of every language, not how often.
const (
	usual      = 1.0
	seldom     = 2.5
	foreign    = 6 // no letter of the language, or no character at all
	misplaced  = 3
	badCase    = 4
	beside     = 1.2 // another letter beyond ASCII, where that is rare
	lonely     = 1.5 // a word of one letter
	loneScript = 3.2
	mixed      = 5 // letters of two scripts in a word
)

// newTongue reads letters from fields such as "áéí ñ:v ü?". After a colon stands the place of all letters of the field:
//
//	v before a vowel            c before a consonant, or last
//	C before a consonant        e first or last
//	f last                      p after a vowel
//	k after a vowel, or first  m not first
//	n before o, e, n, s, or last
//	o not before o or e         u before u or i
//
// A question mark is for letters that are seldom.
func newTongue(dense bool, spec string) *tongue {
	t := &tongue{letters: map[rune]letter{}, dense: dense}
	for field := range strings.FieldsSeq(spec) {
		l := letter{cost: usual}
		field, rare := strings.CutSuffix(field, "?")
		if rare {
			l.cost = seldom
		}
		field, place, _ := strings.Cut(field, ":")
		if place != "" {
			l.place = place[0]
		}
		for _, r := range field {
			t.letters[r] = l
		}
	}
	return t
}

// together is for files with names of several languages, each letter being a little less likely.
func together(tongues ...*tongue) *tongue {
	all := &tongue{letters: map[rune]letter{}}
	for _, t := range tongues {
		for r, l := range t.letters {
			old, known := all.letters[r]
			l.cost++
			if known {
				l.cost = min(l.cost, old.cost)
				if l.place != old.place {
					l.place = 0
				}
			}
			all.letters[r] = l
		}
	}
	return all
}

// glyph is a character of a word, with what the costs depend on.
type glyph struct {
	r      rune
	high   bool // beyond ASCII
	letter bool
	upper  bool
	lower  bool
	vowel  bool
}

func newGlyph(r rune, high bool) glyph {
	g := glyph{r: r, high: high, letter: unicode.IsLetter(r) && r != 'ª' && r != 'º' && r != 'µ' && r != 'ƒ' || unicode.Is(unicode.Mn, r)}
	if g.letter {
		g.upper, g.lower = unicode.IsUpper(r), unicode.IsLower(r)
		base, _ := firstRune(norm.NFD.String(string(unicode.ToLower(r))))
		g.vowel = strings.ContainsRune("aeiouyæœøıơư", base)
	}
	return g
}

func firstRune(s string) (rune, bool) {
	for _, r := range s {
		return r, true
	}
	return 0, false
}

// cost of the character at i of a word, which begins and ends with one that is not its own.
func (t *tongue) cost(word []glyph, i int) float64 {
	g, before, after := word[i], word[i-1], word[i+1]
	if unicode.Is(unicode.Mn, g.r) && t.script == nil {
		if _, ok := t.letters[g.r]; ok && before.vowel {
			return 0.5
		}
		return foreign
	}
	if t.script != nil {
		return t.scriptCost(g, before, after)
	}
	l, ok := t.letters[unicode.ToLower(g.r)]
	if !ok {
		return foreign
	}
	c := l.cost + caseCost(g, before, after)
	if !fits(l.place, before, after) {
		c += misplaced
	}
	if !t.dense && before.high && before.letter {
		c += beside
	}
	if !before.letter && !after.letter {
		c += lonely
	}
	if digit(before.r) || digit(after.r) {
		c += 2
	}
	return c + soundCost(g, before, after)
}

func digit(r rune) bool { return r >= '0' && r <= '9' }

// scriptCost is for alphabets other than the Latin one: words are of that alone.
func (t *tongue) scriptCost(g, before, after glyph) float64 {
	if !unicode.Is(t.script, g.r) {
		return foreign
	}
	c := 0.9 + caseCost(g, before, after)
	for _, n := range []glyph{before, after} {
		if n.letter && !n.high {
			c += mixed
		}
	}
	if !before.letter && !after.letter {
		c += loneScript
	}
	return c
}

func caseCost(g, before, after glyph) float64 {
	switch {
	case g.upper && before.lower:
		return badCase
	case g.lower && before.upper && after.upper, g.lower && before.lower && after.upper:
		return misplaced
	}
	return 0
}

// soundCost: vowels are between consonants, and the other way round, more often than not.
func soundCost(g, before, after glyph) float64 {
	same := 0
	for _, n := range []glyph{before, after} {
		if n.letter && n.vowel == g.vowel {
			same++
		}
	}
	switch {
	case same == 2 && g.vowel:
		return 1.5
	case same == 2:
		return 2.5
	case same == 1:
		return 0.35
	}
	return 0
}

func fits(place byte, before, after glyph) bool {
	consonant := after.letter && !after.vowel
	next := unicode.ToLower(after.r)
	switch place {
	case 'v':
		return after.vowel
	case 'c':
		return !after.vowel
	case 'C':
		return consonant
	case 'e':
		return !before.letter || !after.letter
	case 'f':
		return !after.letter
	case 'p':
		return before.vowel
	case 'k':
		return before.vowel || !before.letter
	case 'm':
		return before.letter
	case 'n':
		return !after.letter || strings.ContainsRune("oens", next)
	case 'o':
		return !strings.ContainsRune("oe", next)
	case 'u':
		return strings.ContainsRune("ui", next)
	}
	return true
}
