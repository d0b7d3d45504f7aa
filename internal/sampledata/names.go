package sampledata

// part is half of a name: as written, and as it looks in an e-mail address.
type part struct{ display, slug string }

var (
	given = [...]part{
		{"Ana", "ana"}, {"Björn", "bjorn"}, {"Chloé", "chloe"}, {"David", "david"},
		{"Emma", "emma"}, {"François", "francois"}, {"Grace", "grace"}, {"Håkon", "hakon"},
		{"Inês", "ines"}, {"José", "jose"}, {"Kim", "kim"}, {"Łukasz", "lukasz"},
		{"Maria", "maria"}, {"Noah", "noah"}, {"Olga", "olga"}, {"Peter", "peter"},
		{"Quinn", "quinn"}, {"Renée", "renee"}, {"Sofia", "sofia"}, {"Tom", "tom"},
		{"Ulla", "ulla"}, {"Victor", "victor"}, {"Wendy", "wendy"}, {"Zoë", "zoe"},
	}
	family = [...]part{
		{"Adams", "adams"}, {"Brown", "brown"}, {"Çelik", "celik"}, {"D'Angelo", "dangelo"},
		{"Evans", "evans"}, {"Fischer", "fischer"}, {"García", "garcia"}, {"Hansen", "hansen"},
		{"Ivanov", "ivanov"}, {"Jensen", "jensen"}, {"Kowalski", "kowalski"}, {"Lee", "lee"},
		{"Müller", "muller"}, {"Núñez", "nunez"}, {"O'Brien", "obrien"}, {"Petit", "petit"},
		{"Quispe", "quispe"}, {"Rossi", "rossi"}, {"Smith", "smith"}, {"Tran", "tran"},
	}
	japaneseGiven = [...]part{
		{"美香", "mika"}, {"健太", "kenta"}, {"さくら", "sakura"}, {"翔", "sho"},
		{"陽子", "yoko"}, {"大輔", "daisuke"}, {"恵", "megumi"}, {"直樹", "naoki"},
	}
	japaneseFamily = [...]part{
		{"田中", "tanaka"}, {"佐藤", "sato"}, {"鈴木", "suzuki"}, {"高橋", "takahashi"},
		{"渡辺", "watanabe"}, {"伊藤", "ito"}, {"山本", "yamamoto"}, {"中村", "nakamura"},
	}
	countries = [...]string{"BR", "CA", "DE", "ES", "FR", "GB", "IT", "MX", "NO", "PL", "PT", "SE", "TR", "US", "VN", "ZA"}
	domains   = [...]string{"@example.com", "@example.com", "@example.org", "@example.net"}

	plainNotes = [...]string{"called twice in spring", "paid by card", "asked for an invoice by post", "no newsletter please", "moved house last year"}
	commaNotes = [...]string{`"prefers e-mail, not phone"`, `"Oslo, then Bergen"`, `"red, green, blue"`}
	quoteNotes = [...]string{`"said ""call me back"""`, `"the ""gold"" plan"`, `""""`}
	lineNotes  = [...]string{"\"first line\nsecond line\"", "\"Main Street 1\n12345 Town\"", "\"a\n\n\"\"b\"\", c\""}
)

// name is what identifies how a person is called; equal names are equal values.
type name struct {
	given, family part
	style         nameStyle
}

type nameStyle uint8

const (
	nameWestern  nameStyle = iota // Zoë O'Brien
	nameComma                     // "O'Brien, Zoë"
	nameNick                      // "Zoë ""Zo"" O'Brien"
	nameJapanese                  // 田中 美香
)

func randomName(h uint64) name {
	g, f := int(h&0xff), int(h>>8&0xff)
	switch style := h >> 16 & 0x3f; {
	case style < 8:
		return name{japaneseGiven[g%len(japaneseGiven)], japaneseFamily[f%len(japaneseFamily)], nameJapanese}
	case style < 12:
		return name{given[g%len(given)], family[f%len(family)], nameComma}
	case style < 13:
		return name{given[g%len(given)], family[f%len(family)], nameNick}
	default:
		return name{given[g%len(given)], family[f%len(family)], nameWestern}
	}
}

// held is the name in characters that the database can hold.
func (n name) held(holds func(text string) bool) name {
	for _, p := range []*part{&n.given, &n.family} {
		if holds != nil && !holds(p.display) {
			p.display = p.slug
		}
	}
	return n
}

// append writes the name as a CSV field.
func (n name) append(b []byte) []byte {
	switch n.style {
	case nameComma:
		b = append(b, '"')
		b = append(b, n.family.display...)
		b = append(b, ", "...)
		b = append(b, n.given.display...)
		return append(b, '"')
	case nameNick:
		b = append(b, '"')
		b = append(b, n.given.display...)
		b = append(b, ` ""`...)
		b = append(b, n.given.slug[:2]...)
		b = append(b, `"" `...)
		b = append(b, n.family.display...)
		return append(b, '"')
	case nameJapanese:
		return n.join(b, n.family, n.given, " ")
	default:
		return n.join(b, n.given, n.family, " ")
	}
}

func (name) join(b []byte, first, second part, between string) []byte {
	b = append(b, first.display...)
	b = append(b, between...)
	return append(b, second.display...)
}

func (n name) country(h uint64) string {
	if n.style == nameJapanese {
		return "JP"
	}
	return countries[h%uint64(len(countries))]
}
