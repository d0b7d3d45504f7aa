package textin

import (
	"cmp"
	"math"
	"slices"
)

// maxWords is how many different words an encoding is judged by.
const maxWords = 1000

// word is what is between blanks, signs and digits of ASCII, with the bytes around it. No encoding has such a byte within
// a character.
type word struct {
	text          []byte
	before, after byte
}

// highWords are the different words of a text that are not all ASCII: a name that is there a hundred times says no more than
// one that is there once.
func highWords(text []byte) []word {
	seen := map[string]bool{}
	var words []word
	for i := 0; i < len(text) && len(words) < maxWords; {
		if text[i] < 0x40 {
			i++
			continue
		}
		begin := i
		for i < len(text) && text[i] >= 0x40 {
			i++
		}
		w := word{text: text[begin:i], before: ' ', after: ' '}
		if begin > 0 && digit(rune(text[begin-1])) {
			w.before = '0'
		}
		if i < len(text) && digit(rune(text[i])) {
			w.after = '0'
		}
		if countASCII(w.text) == len(w.text) {
			continue
		}
		if key := string(w.before) + string(w.text) + string(w.after); !seen[key] {
			seen[key] = true
			words = append(words, w)
		}
	}
	return words
}

// margin is by how much a reading must cost less than all others to be certain.
const margin = 3.5

// Rival is an encoding in which the bytes may as well be text, another one than in the guess.
type Rival struct {
	Name     string
	Encoding Encoding // empty: an import cannot read it
	Iconv    string   // what iconv calls it
	cost     float64
	page     *page // nil: of more than a byte a character
}

// readings are all encodings with the cost of the words in them.
func readings(words []word) []Rival {
	var all []Rival
	for _, p := range pages() {
		all = append(all, Rival{Name: p.name, Encoding: p.encoding, Iconv: p.iconv, cost: p.cost(words), page: p})
	}
	for _, e := range easts() {
		all = append(all, Rival{Name: e.name, Encoding: e.encoding, Iconv: e.iconv, cost: e.cost(words)})
	}
	return all
}

// cheapest of the encodings that an import can read.
func cheapest(all []Rival) Encoding {
	best := Rival{cost: math.Inf(1)}
	for _, r := range all {
		if r.Encoding != "" && r.cost < best.cost {
			best = r
		}
	}
	return best.Encoding
}

// rivals of the guess that cannot be ruled out, the likeliest first. unlike says that one of them is certain, so that the guess is not it.
func rivals(all []Rival, words []word, guess Encoding) (found []Rival, unlike bool) {
	own := Rival{Encoding: guess}
	if guess == UTF8 {
		own.cost = utf8Cost(words)
	}
	least := math.Inf(1)
	for _, r := range all {
		if r.Encoding == guess {
			own = r
		}
		least = min(least, r.cost)
	}
	least = min(least, own.cost)
	for _, r := range within(all, least+margin) {
		same := func(known Rival) bool { return known.page != nil && r.page != nil && known.page.reads(r.page, words) }
		if r.Encoding != guess && !same(own) && !slices.ContainsFunc(found, same) {
			found = append(found, r)
		}
	}
	return found, least+margin < own.cost
}

// within keeps the rivals that cost no more than most.
func within(all []Rival, most float64) []Rival {
	all = slices.DeleteFunc(slices.Clone(all), func(r Rival) bool { return r.cost >= most })
	slices.SortStableFunc(all, func(a, b Rival) int { return cmp.Compare(a.cost, b.cost) })
	return all
}
