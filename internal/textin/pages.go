package textin

import (
	"math"
	"sync"
	"unicode"

	"golang.org/x/text/encoding/charmap"
)

// page is an encoding of one byte to a character, with the languages that are written in it.
type page struct {
	name     string   // as people call it
	iconv    string   // as iconv calls it
	encoding Encoding // of those that an import reads; empty: none
	prior    float64  // how unlikely the encoding is before a byte is seen
	tongues  []*tongue
	glyphs   [256]glyph
}

func newPage(name, iconv string, e Encoding, prior float64, table *charmap.Charmap, tongues ...*tongue) *page {
	p := &page{name: name, iconv: iconv, encoding: e, prior: prior, tongues: tongues}
	for i := range p.glyphs {
		r := table.DecodeByte(byte(i))
		if r == unicode.ReplacementChar {
			r = 0
		}
		p.glyphs[i] = newGlyph(r, i >= 0x80)
	}
	return p
}

// pages are those that files are in. They are made when they are first needed, and never changed after that.
var pages = sync.OnceValue(makePages)

func makePages() []*page {
	german := newTongue(false, "äöü ß:p")
	west := []*tongue{
		newTongue(false, "âéçêîôûëï à:e ù:e? è:C œ:u æÿü?"), // French
		german,
		newTongue(false, "áéíóú ñ:v ü?"), // Spanish
		newTongue(false, "áâçéêíóôú à:e? ã:n õ:n"), // Portuguese
		newTongue(false, "àèéìòù:f"),               // Italian
		newTongue(false, "àçèéíïòóúü"),             // Catalan
		newTongue(false, "æøå éäöü?"),              // Danish, Norwegian
		newTongue(false, "åäö éüšž?"),              // Swedish, Finnish
		newTongue(false, "áéíóúýæöþ ð:m"),          // Icelandic
		newTongue(false, "ëïéèöü êáó?"),            // Dutch
		newTongue(false, "äöü õ:m šž?"),            // Estonian
	}
	west = append(west, together(west...))
	central := []*tongue{
		german,
		newTongue(true, "ąęłóż ćńśź:c"), // Polish
		newTongue(true, "áčďéěíňóřšťúýž ů:m"),  // Czech
		newTongue(true, "áäčďéíľňóôšťúýž ĺŕ?"), // Slovak
		newTongue(true, "áéíóöőúüű"),           // Hungarian
		newTongue(true, "âîşţșț ă:o"),          // Romanian
		newTongue(true, "čćšžđ"),               // Croatian, Slovenian
		newTongue(true, "çë"),                  // Albanian
	}
	central = append(central, together(central...))
	turkish := []*tongue{newTongue(true, "çöüşıi ğ:p âîû?")}
	baltic := []*tongue{
		newTongue(true, "ąčęėšūž ų:e į:e"), // Lithuanian
		newTongue(true, "āčēīļņšūž ģķ:k"),  // Latvian
		newTongue(false, "äöü õ:m šž?"),    // Estonian
	}
	baltic = append(baltic, together(baltic...))
	vietnamese := newTongue(true, "àâáãăèéêìíòóôơùúưýđ\u0300\u0301\u0303\u0309\u0323")
	cyrillic, greek := &tongue{script: unicode.Cyrillic}, &tongue{script: unicode.Greek}
	hebrew, arabic, thai := &tongue{script: unicode.Hebrew}, &tongue{script: unicode.Arabic}, &tongue{script: unicode.Thai}
	return []*page{
		newPage("windows-1252", "WINDOWS-1252", Windows1252, 0, charmap.Windows1252, west...),
		newPage("iso-8859-1", "ISO-8859-1", Latin1, 0, charmap.ISO8859_1, west...),
		newPage("iso-8859-15", "ISO-8859-15", "", 0.8, charmap.ISO8859_15, west...),
		newPage("Mac Roman", "MACINTOSH", "", 1, charmap.Macintosh, west...),
		newPage("cp850", "CP850", "", 1, charmap.CodePage850, west...),
		newPage("cp437", "CP437", "", 1.5, charmap.CodePage437, west...),
		newPage("cp865", "CP865", "", 1.5, charmap.CodePage865, west...),
		newPage("windows-1250", "WINDOWS-1250", "", 0.5, charmap.Windows1250, central...),
		newPage("iso-8859-2", "ISO-8859-2", "", 0.8, charmap.ISO8859_2, central...),
		newPage("cp852", "CP852", "", 1, charmap.CodePage852, central...),
		newPage("iso-8859-16", "ISO-8859-16", "", 1.5, charmap.ISO8859_16, central...),
		newPage("windows-1254", "WINDOWS-1254", "", 0.5, charmap.Windows1254, turkish...),
		newPage("iso-8859-9", "ISO-8859-9", "", 0.8, charmap.ISO8859_9, turkish...),
		newPage("windows-1257", "WINDOWS-1257", "", 1, charmap.Windows1257, baltic...),
		newPage("iso-8859-13", "ISO-8859-13", "", 1, charmap.ISO8859_13, baltic...),
		newPage("iso-8859-4", "ISO-8859-4", "", 1.5, charmap.ISO8859_4, baltic...),
		newPage("windows-1258", "WINDOWS-1258", "", 1, charmap.Windows1258, vietnamese),
		newPage("windows-1251", "WINDOWS-1251", "", 0.5, charmap.Windows1251, cyrillic),
		newPage("KOI8-R", "KOI8-R", "", 0.8, charmap.KOI8R, cyrillic),
		newPage("KOI8-U", "KOI8-U", "", 1.2, charmap.KOI8U, cyrillic),
		newPage("cp866", "CP866", "", 1, charmap.CodePage866, cyrillic),
		newPage("iso-8859-5", "ISO-8859-5", "", 1.5, charmap.ISO8859_5, cyrillic),
		newPage("Mac Cyrillic", "MAC-CYRILLIC", "", 1.5, charmap.MacintoshCyrillic, cyrillic),
		newPage("windows-1253", "WINDOWS-1253", "", 0.5, charmap.Windows1253, greek),
		newPage("iso-8859-7", "ISO-8859-7", "", 0.8, charmap.ISO8859_7, greek),
		newPage("windows-1255", "WINDOWS-1255", "", 0.5, charmap.Windows1255, hebrew),
		newPage("iso-8859-8", "ISO-8859-8", "", 1, charmap.ISO8859_8, hebrew),
		newPage("windows-1256", "WINDOWS-1256", "", 0.5, charmap.Windows1256, arabic),
		newPage("iso-8859-6", "ISO-8859-6", "", 1, charmap.ISO8859_6, arabic),
		newPage("windows-874", "CP874", "", 0.5, charmap.Windows874, thai),
	}
}

// cost of the words in the language that suits them best.
func (p *page) cost(words []word) float64 {
	signs, sums := p.prior, make([]float64, len(p.tongues))
	var glyphs []glyph
	for _, w := range words {
		glyphs = append(glyphs[:0], p.glyphs[w.before])
		for _, b := range w.text {
			glyphs = append(glyphs, p.glyphs[b])
		}
		glyphs = append(glyphs, p.glyphs[w.after])
		for i := 1; i < len(glyphs)-1; i++ {
			switch g := glyphs[i]; {
			case !g.high:
			case !g.letter:
				signs += signCost(glyphs, i)
			default:
				for k, t := range p.tongues {
					sums[k] += t.cost(glyphs, i)
				}
			}
		}
	}
	least := math.Inf(1)
	for _, sum := range sums {
		least = min(least, sum)
	}
	return signs + least
}

// reads reports whether the words are the same text on another page.
func (p *page) reads(q *page, words []word) bool {
	for _, w := range words {
		for _, b := range w.text {
			if p.glyphs[b].r != q.glyphs[b].r {
				return false
			}
		}
	}
	return true
}
