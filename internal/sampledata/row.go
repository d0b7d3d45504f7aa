package sampledata

import "strconv"

// person has one e-mail: its number is in it and belongs to no one else.
type person struct {
	number int
	name   name
	hash   uint64
}

// person is a function of the seed and the number, so that a duplicate can
// find the e-mail that it repeats.
func (p *people) person(number int) person {
	p.who.Seed(p.seed, uint64(number))
	return person{number: number, name: randomName(p.who.Uint64()), hash: p.who.Uint64()}
}

// appendRow writes a row of one person under a name, with one thing wrong
// unless bad is good.
func (p *people) appendRow(b []byte, id int, who person, called name, bad int) []byte {
	h := p.rng.Uint64()

	b = strconv.AppendInt(b, int64(id), 10)
	b = append(b, ',')
	if bad != badNoEmail {
		b = p.appendEmail(b, who)
	}
	b = append(b, ',')
	b = appendName(b, called.held(p.holds), bad)
	b = append(b, ',')
	b = append(b, called.country(who.hash>>8)...)
	b = append(b, ',')
	b = appendDate(b, h, bad)
	b = append(b, ',')
	b = appendAge(b, h>>16, bad)
	if bad == badFewFields {
		return append(b, '\n')
	}
	b = append(b, ',')
	b = appendBalance(b, h>>24)
	b = append(b, ',')
	switch bad {
	case good:
		b = appendNotes(b, p.rng.Uint64())
	case badManyFields:
		b = append(b, "vip,2,3"...)
	}
	return append(b, '\n')
}

func (p *people) appendEmail(b []byte, who person) []byte {
	n := int64(who.number)
	style := who.hash & 7
	if !p.shuffle {
		style = 0
	}
	switch style {
	default:
		b = append(b, "user"...)
		b = appendPadded(b, who.number, p.width)
	case 5, 6:
		b = append(b, who.name.given.slug...)
		b = append(b, '.')
		b = append(b, who.name.family.slug...)
		b = strconv.AppendInt(b, n, 10)
	case 7:
		b = append(b, who.name.given.slug[0], '_')
		b = append(b, who.name.family.slug...)
		b = append(b, '+')
		b = strconv.AppendInt(b, n, 10)
	}
	return append(b, domains[who.hash>>3&3]...)
}

func appendName(b []byte, n name, bad int) []byte {
	switch bad {
	case good:
		return n.append(b)
	case badUTF8:
		b = append(b, "Jos\xe9 "...) // Latin-1
		return append(b, n.family.display...)
	case badBareQuote:
		b = append(b, n.given.display...)
		b = append(b, ` "the one" `...)
		return append(b, n.family.display...)
	default:
		return n.join(b, n.given, n.family, " ")
	}
}

// appendDate writes a day of 2015 to 2025.
func appendDate(b []byte, h uint64, bad int) []byte {
	if bad == badDate {
		return append(b, "2026-02-30"...)
	}
	b = appendPadded(b, 2015+int(h&0xff)%11, 4)
	b = append(b, '-')
	b = appendPadded(b, 1+int(h>>8&0x3f)%12, 2)
	b = append(b, '-')
	return appendPadded(b, 1+int(h>>10&0x3f)%28, 2)
}

func appendAge(b []byte, h uint64, bad int) []byte {
	if bad == badAge {
		return append(b, "forty"...)
	}
	if bad == good && h&0xf == 0 {
		return b
	}
	return appendPadded(b, 18+int(h>>1&0x7f)%80, 2)
}

// appendBalance writes an amount from -100.00 to just below 10,000.00.
func appendBalance(b []byte, h uint64) []byte {
	cents := below(h<<24, 1_010_000) - 10_000
	if cents < 0 {
		b = append(b, '-')
		cents = -cents
	}
	b = strconv.AppendInt(b, int64(cents/100), 10)
	b = append(b, '.')
	return appendPadded(b, cents%100, 2)
}

func appendNotes(b []byte, h uint64) []byte {
	pick := h >> 8 & 0xffff
	switch kind := h & 0x3f; {
	case kind < 24:
		return b
	case kind < 52:
		return append(b, plainNotes[pick%uint64(len(plainNotes))]...)
	case kind < 57:
		return append(b, commaNotes[pick%uint64(len(commaNotes))]...)
	case kind < 60:
		return append(b, quoteNotes[pick%uint64(len(quoteNotes))]...)
	default:
		return append(b, lineNotes[pick%uint64(len(lineNotes))]...)
	}
}

// appendPadded writes n with at least width digits, at most ten of them zeros.
func appendPadded(b []byte, n, width int) []byte {
	const zeros = "0000000000"
	if missing := width - digits(n); missing > 0 {
		b = append(b, zeros[:min(missing, len(zeros))]...)
	}
	return strconv.AppendInt(b, int64(n), 10)
}
