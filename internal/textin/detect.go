package textin

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// sure is the confidence from which a guess needs no question.
const sure = 0.6

// Guess is one encoding that a file may be in.
type Guess struct {
	Encoding Encoding
	Score    float64 // plausibility of its text, 0 to 1
	Invalid  int     // bytes of the sample that cannot be decoded
	chars    int     // characters beyond ASCII that can
}

// Detected says what a file is and how that is known.
type Detected struct {
	Format
	Alternatives []Guess // other encodings that would do, the likelier first
	BOM          bool    // the text begins with a byte order mark
	Confidence   float64 // in the encoding, 0 to 1; 1 when it was set or a mark names it
	Guessed      bool    // the encoding was neither set nor named by a mark
	Rivals       []Rival // what the file may as well be, or is certainly is, if Unlike
	Unlike       bool    // the guess is the likeliest of what an import can read, but the file is another
	Warning      string  // what speaks against the encoding; empty when nothing does
	Why          string  // what speaks for it
}

// Doubt is a question to the user when the encoding is too uncertain to import
// by, "" when it is not.
func (d Detected) Doubt() string {
	if d.Guessed && len(d.Rivals) > 0 {
		return d.between()
	}
	if !d.Guessed || d.Confidence >= sure {
		return ""
	}
	if d.Warning != "" {
		return fmt.Sprintf("the encoding is not certain: %s (%s)%s, but %s; set `encoding:`", d.Encoding, d.Why, d.others(" or "), d.Warning)
	}
	return fmt.Sprintf("the encoding is not certain: %s (%s)%s; set `encoding:`", d.Encoding, d.Why, d.others(" or "))
}

// Invalid is [Encoding.Invalid], and says of a guessed encoding that it was
// guessed and how to set another.
func (d Detected) Invalid(text []byte) (at int, why string) {
	at, why = d.Encoding.Invalid(text)
	if at < 0 || !d.Guessed {
		return at, why
	}
	return at, fmt.Sprintf("%s; the encoding was guessed (%s); if it is another%s, set `encoding:`", why, d.Why, d.others(", as "))
}

func (d Detected) others(before string) string {
	if len(d.Alternatives) == 0 {
		return ""
	}
	names := make([]string, len(d.Alternatives))
	for i, a := range d.Alternatives {
		names[i] = string(a.Encoding)
	}
	return before + strings.Join(names, " or ")
}

// marks are the byte order marks; those that begin like another come first.
var marks = [...]struct {
	prefix   string
	encoding Encoding // empty: not supported
	name     string
}{
	{"\xef\xbb\xbf", UTF8, "UTF-8"},
	{"\xff\xfe\x00\x00", "", "UTF-32LE"},
	{"\x00\x00\xfe\xff", "", "UTF-32BE"},
	{"\xff\xfe", UTF16LE, "UTF-16LE"},
	{"\xfe\xff", UTF16BE, "UTF-16BE"},
}

func detect(text []byte, want Format, whole bool) Detected {
	d := Detected{Format: want, Confidence: 1}
	for _, m := range marks {
		if !bytes.HasPrefix(text, []byte(m.prefix)) {
			continue
		}
		d.BOM = true
		switch {
		case m.encoding == "":
			d.Warning = fmt.Sprintf("the file begins with the byte order mark of %s, which is not supported; convert it to UTF-8", m.name)
			if want.Encoding == AutoEncoding {
				d.Encoding, d.Guessed, d.Confidence, d.Why = UTF8, true, 0, "nothing else is supported"
				return d
			}
		case want.Encoding == AutoEncoding:
			d.Encoding = m.encoding
			d.Why = "its byte order mark says so"
			return d
		case want.Encoding != m.encoding:
			d.Warning = fmt.Sprintf("the file begins with the byte order mark of %s, but `encoding: %s` is set", m.name, want.Encoding)
		}
		break
	}
	if want.Encoding != AutoEncoding {
		d.Why = "it was set"
		return d
	}
	d.Guessed = true
	d.guess(text, whole)
	return d
}

func (d *Detected) guess(text []byte, whole bool) {
	part := "the file"
	if !whole {
		part = fmt.Sprintf("the first %d KiB", SampleSize>>10)
		text = text[:len(text)-partialRune(text)]
	}
	high := len(text) - countASCII(text)
	if g, zeros := wide(text); g != "" {
		d.Encoding, d.Confidence = g, 0.9
		d.Why = fmt.Sprintf("%d of its bytes are zero, all but a few on one side of pairs", zeros)
		return
	}
	if high == 0 {
		d.Encoding, d.Confidence, d.Why = UTF8, 0.9, part+" is plain ASCII"
		if i := bytes.Index(text, []byte("\x1b$")); i >= 0 {
			d.Confidence = 0.2
			d.Warning = fmt.Sprintf("the escape at byte %d looks like ISO-2022-JP, which is not supported; convert the file to UTF-8", i)
			d.Why += " with the escapes of ISO-2022-JP"
		}
		return
	}
	chars, invalid := countUTF8(text)
	if invalid == 0 {
		d.Encoding, d.Confidence = UTF8, 1-0.4/float64(chars)
		d.Why = fmt.Sprintf("the %d characters beyond ASCII in %s are valid UTF-8", chars, part)
		if chars <= fewChars {
			words := highWords(text)
			d.Rivals, d.Unlike = rivals(readings(words), words, UTF8)
		}
		return
	}
	guesses := scores(text)
	if chars > 10*invalid {
		// By chance, bytes of another encoding are hardly ever that often UTF-8.
		d.Encoding, d.Confidence = UTF8, 0.8
		d.Why = fmt.Sprintf("%d characters beyond ASCII in %s are valid UTF-8", chars, part)
		d.Warning = fmt.Sprintf("%d bytes in %s are not valid UTF-8", invalid, part)
		d.Alternatives = plausible(guesses)
		return
	}
	best := d.choose(text, guesses)
	d.Encoding, d.Alternatives = best.Encoding, plausible(guesses[1:])
	d.Why = fmt.Sprintf("its %d bytes beyond ASCII in %s make the most likely text so", high, part)
	if best.Invalid > 0 {
		d.Warning = fmt.Sprintf("%d bytes in %s are not valid %s", best.Invalid, part, best.Encoding)
	}
}

// choose puts the likeliest guess first, and finds out how likely it is. Where all bytes are text in several encodings, which
// text it is counts more than which bytes.
func (d *Detected) choose(text []byte, guesses []Guess) Guess {
	words := highWords(text)
	all := readings(words)
	own := cheapest(all)
	if i := slices.IndexFunc(guesses, func(g Guess) bool { return g.Encoding == own && g.Invalid == 0 }); i > 0 {
		chosen := guesses[i]
		copy(guesses[1:i+1], guesses[:i])
		guesses[0] = chosen
	}
	best := guesses[0]
	d.Confidence = confidence(best, guesses[1:])
	d.Rivals, d.Unlike = rivals(all, words, best.Encoding)
	if len(d.Rivals) == 0 && best.Invalid == 0 && len(words) > 0 {
		d.Confidence = max(d.Confidence, 0.7)
	}
	return best
}

// confidence is how plausible the best is, less what the runner-up that reads
// the bytes otherwise has of it.
func confidence(best Guess, rest []Guess) float64 {
	c, few := best.Score, 1.0
	for _, g := range rest {
		if g.Encoding == Latin1 && best.Encoding == Windows1252 {
			continue // where both apply, they say the same
		}
		if g.Score > 0 && best.Score > 0 {
			c = min(c, 1-g.Score*g.Score/(best.Score*best.Score)*0.6)
		}
		if g.Invalid == 0 && best.chars > 0 {
			few = 1 - 0.4/float64(best.chars) // one word can be anything that it is valid in
		}
	}
	return max(c*few, 0)
}

// plausible keeps the guesses that are worth naming.
func plausible(guesses []Guess) []Guess {
	return slices.DeleteFunc(slices.Clone(guesses), func(g Guess) bool { return g.Score < 0.15 })
}

// wide recognizes UTF-16 without a mark: the zero halves of its ASCII are at
// one side of the pairs, and every file with rows has ASCII in it.
func wide(text []byte) (e Encoding, zeros int) {
	var side [2]int
	for i, b := range text {
		if b == 0 {
			side[i&1]++
		}
	}
	zeros = side[0] + side[1]
	// The other side has some too: 一 is 0x4E00.
	if zeros < 2 || zeros*40 < len(text) || min(side[0], side[1])*4 > zeros {
		return "", zeros
	}
	e = UTF16LE
	if side[0] > side[1] {
		e = UTF16BE
	}
	decoded, _ := newDecoder(e).decode(nil, text[:len(text)&^1], false)
	broken, control := bytes.Count(decoded, []byte{badMark}), 0
	for _, b := range decoded {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' {
			control++
		}
	}
	if (broken+control)*50 > zeros {
		return "", zeros
	}
	// A few NULs in other text make pairs that are characters, too, but do not pair with its line ends.
	lineEnds := bytes.Count(decoded, []byte("\n")) + bytes.Count(decoded, []byte("\r"))
	if raw := bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r")); zeros*4 < len(text) && lineEnds*4 < raw {
		return "", zeros
	}
	return e, zeros
}

func countASCII(text []byte) int {
	n := 0
	for _, b := range text {
		if b < utf8.RuneSelf {
			n++
		}
	}
	return n
}

// countUTF8 counts the characters beyond ASCII and the bytes that are none.
func countUTF8(text []byte) (chars, invalid int) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			invalid++
		case size > 1:
			chars++
		}
		text = text[size:]
	}
	return chars, invalid
}

// partialRune is the number of bytes of a UTF-8 character that text ends within.
func partialRune(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if b := text[len(text)-n]; utf8.RuneStart(b) {
			if b >= utf8.RuneSelf && !utf8.FullRune(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
