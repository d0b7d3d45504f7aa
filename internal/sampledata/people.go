// Package sampledata writes files of made-up people for the demo, for tests
// and for benchmarks.
//
// The same options give the same bytes, on any machine: a row is a function of
// the seed and its number, so files of any size need no memory. What an import
// has to make of a file is known beforehand and returned as [PeopleStats].
package sampledata

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
)

// header names the columns of every file.
const header = "id,email,full_name,country,signup_date,age,balance,notes\n"

// PeopleOpts says what file to write.
type PeopleOpts struct {
	// Rows is the number of data rows, duplicates and bad ones included.
	Rows int

	// Seed chooses the data; every value is as good as another.
	Seed uint64

	// DuplicateRatio is the share of the rows that are not bad, from 0 to
	// below 1, that repeat the e-mail of an earlier one with a different name.
	DuplicateRatio float64

	// Bad is the number of rows that an import must reject, at most Rows. They
	// are spread evenly and take turns: too few fields, too many, an age of
	// "forty", 30 February, a name that is not UTF-8, an empty e-mail, a quote
	// inside of an unquoted field. Each is one line and shares its e-mail with no other row.
	Bad int

	// BadValues makes all bad rows such as any reader of CSV reads: an age of "forty" and 30 February take turns.
	BadValues bool

	// Holds reports whether the database can hold a name. Names that it cannot are written in ASCII; nil: all are held.
	Holds func(text string) bool

	// Shuffle puts ids and e-mails in random order and gives e-mails several
	// shapes. Without it both ascend, duplicates and bad rows aside.
	Shuffle bool
}

// PeopleStats is what a written file holds.
type PeopleStats struct {
	Rows       int   // data rows
	Distinct   int   // e-mails of good rows: what an import that skips duplicates inserts
	Duplicates int   // good rows whose e-mail an earlier row has
	Bad        int   // rows to reject
	Bytes      int64 // size of the file with its header
}

// Kinds of bad rows, in the order in which they take turns.
const (
	badFewFields = iota
	badManyFields
	badAge
	badDate
	badUTF8
	badNoEmail
	badBareQuote
	badKinds

	good = -1
)

func (o PeopleOpts) stats() (PeopleStats, error) {
	switch {
	case o.Rows < 0:
		return PeopleStats{}, fmt.Errorf("rows is %d; it cannot be negative", o.Rows)
	case o.Bad < 0 || o.Bad > o.Rows:
		return PeopleStats{}, fmt.Errorf("bad is %d of %d rows; choose 0 to %[2]d", o.Bad, o.Rows)
	case !(o.DuplicateRatio >= 0 && o.DuplicateRatio < 1): // also catches NaN
		return PeopleStats{}, errors.New("duplicate ratio is out of range; choose 0 to below 1")
	}
	valid := o.Rows - o.Bad
	// The first good row has nothing to repeat.
	duplicates := min(int(math.Round(o.DuplicateRatio*float64(valid))), max(valid-1, 0))
	return PeopleStats{Rows: o.Rows, Distinct: valid - duplicates, Duplicates: duplicates, Bad: o.Bad}, nil
}

// WritePeople writes a header and o.Rows rows of
// id,email,full_name,country,signup_date,age,balance,notes, some 82 bytes
// each, as CSV with LF line ends. Names and notes have commas, apostrophes,
// doubled quotes, line ends, accents and Japanese; some ages and notes are
// empty. The error is that of bad options, before anything is written, or of w.
func WritePeople(w io.Writer, o PeopleOpts) (PeopleStats, error) {
	stats, err := o.stats()
	if err != nil {
		return PeopleStats{}, fmt.Errorf("write people: %w", err)
	}

	p := newPeople(o, stats)
	out := output{w: w, buf: make([]byte, 0, bufferSize)}
	out.buf = append(out.buf, header...)
	for range o.Rows {
		out.buf = p.append(out.buf)
		if err := out.flushAt(bufferSize - maxRow); err != nil {
			return PeopleStats{}, fmt.Errorf("write people: %w", err)
		}
	}
	if err := out.flushAt(1); err != nil {
		return PeopleStats{}, fmt.Errorf("write people: %w", err)
	}
	stats.Bytes = out.written
	return stats, nil
}

const (
	bufferSize = 64 << 10
	maxRow     = 1 << 10 // no row is longer
)

type output struct {
	w       io.Writer
	buf     []byte
	written int64
}

// flushAt writes the buffer out when it holds n bytes or more.
func (o *output) flushAt(n int) error {
	if len(o.buf) < n {
		return nil
	}
	written, err := o.w.Write(o.buf)
	o.written += int64(written)
	o.buf = o.buf[:0]
	return err
}

// people makes one row after another.
type people struct {
	stats   PeopleStats
	shuffle bool
	values  bool // BadValues
	holds   func(text string) bool
	width   int // digits of the number in an e-mail that must sort

	ids     permutation // of all rows
	persons permutation // of the e-mails of good rows

	rows, distinct, duplicates, bad int // written so far

	rng  rand.PCG // of the row
	who  rand.PCG // of a person
	seed uint64
}

func newPeople(o PeopleOpts, stats PeopleStats) *people {
	p := &people{stats: stats, shuffle: o.Shuffle, values: o.BadValues, holds: o.Holds, seed: o.Seed, width: max(7, digits(o.Rows))}
	p.rng.Seed(o.Seed, 0)
	if o.Shuffle {
		p.ids = newPermutation(uint64(o.Rows), o.Seed)
		p.persons = newPermutation(uint64(stats.Distinct), ^o.Seed)
	}
	return p
}

// append adds the next row to b.
func (p *people) append(b []byte) []byte {
	row := p.rows
	p.rows++
	id := int(p.ids.at(uint64(row))) + 1

	if p.bad < p.stats.Bad && row == spread(p.bad, p.stats.Bad, p.stats.Rows) {
		kind := p.bad % badKinds
		if p.values {
			kind = badAge + p.bad%2
		}
		p.bad++
		// Numbers beyond those of good rows: no e-mail is shared.
		person := p.person(p.stats.Distinct + p.bad)
		return p.appendRow(b, id, person, person.name, kind)
	}

	valid := row - p.bad // good rows before this one
	if p.duplicates < p.stats.Duplicates && valid == 1+spread(p.duplicates, p.stats.Duplicates, p.stats.Distinct+p.stats.Duplicates-1) {
		p.duplicates++
		earlier := below(p.rng.Uint64(), p.distinct)
		person := p.person(int(p.persons.at(uint64(earlier))) + 1)
		name := randomName(p.rng.Uint64())
		for name == person.name {
			name = randomName(p.rng.Uint64())
		}
		return p.appendRow(b, id, person, name, good)
	}

	person := p.person(int(p.persons.at(uint64(p.distinct))) + 1)
	p.distinct++
	return p.appendRow(b, id, person, person.name, good)
}

// spread is the place of the i-th of n things spread evenly over total.
func spread(i, n, total int) int {
	return int((2*int64(i) + 1) * int64(total) / (2 * int64(n)))
}

// below maps random bits to [0, n).
func below(bits uint64, n int) int {
	return int((bits >> 32) * uint64(n) >> 32)
}

func digits(n int) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}
