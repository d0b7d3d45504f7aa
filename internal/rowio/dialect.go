package rowio

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Dialect is how a file of CSV is written. A zero part is to be found out.
type Dialect struct {
	Delimiter byte
	Quote     byte
}

// DetectedDialect says what a file is and how that is known.
type DetectedDialect struct {
	Dialect
	Confidence float64 // in the least certain part that was not set, 0 to 1; 1 when all were
	Why        string  // what speaks for each part that was found out
}

// headRecords are enough to tell a dialect by.
const headRecords = 200

// DetectDialect finds out what want leaves open, from the decoded head of a file:
// some KiB will do. whole says that sample is all of the file; otherwise its
// last record is taken for cut. What is unclear is as in RFC 4180.
func DetectDialect(sample []byte, whole bool, want Dialect, comment byte) DetectedDialect {
	d := DetectedDialect{Dialect: want, Confidence: 1}
	best := d.choose(sample, whole, want, comment)
	var why []string
	if want.Delimiter == 0 {
		d.Delimiter = best.comma
		why = append(why, best.whyDelimiter())
		d.Confidence = min(d.Confidence, best.certainty())
	}
	if want.Quote == 0 {
		d.Quote = best.quote
		if best.quote != defaultQuote {
			why = append(why, fmt.Sprintf("%d fields are enclosed in %c", best.quoted, best.quote))
		}
	}
	d.Why = strings.Join(why, "; ")
	return d
}

// reading is a sample read with one delimiter and quote.
type reading struct {
	comma, quote byte
	records      [][]string
	malformed    int
	width        int // fields that most records have
	fitting      int // records that have as many
	split        int // records of more than one field
	quoted       int // fields in quotes
}

func (d *DetectedDialect) choose(sample []byte, whole bool, want Dialect, comment byte) reading {
	commas, quotes := []byte{',', ';', '\t', '|'}, []byte{'"', '\''}
	if want.Delimiter != 0 {
		commas = []byte{want.Delimiter}
	}
	if want.Quote != 0 {
		quotes = []byte{want.Quote}
	}
	var best reading
	for _, quote := range quotes {
		for _, comma := range commas {
			if comma == quote {
				continue
			}
			r := read(sample, whole, CSVOpts{Comma: comma, Quote: quote, Comment: comment})
			if quote == '\'' && len(quotes) > 1 && r.quoted*4 < len(r.records) {
				continue // apostrophes, not quotes
			}
			if best.comma == 0 || r.score() > best.score()+1e-9 {
				best = r
			}
		}
	}
	if best.comma == 0 { // delimiter and quote are set to the same byte; the scanner will say so
		best.comma, best.quote = commas[0], quotes[0]
	}
	return best
}

func read(sample []byte, whole bool, opts CSVOpts) reading {
	r := reading{comma: opts.Comma, quote: opts.Quote}
	c := newCSV(bytes.NewReader(sample), &opts, minRead)
	widths := map[int]int{}
	for range headRecords {
		rec, err := c.Next()
		if err != nil {
			break
		}
		if !whole && len(r.records) > 0 && (rec.End == int64(len(sample)) || rec.Err != nil && rec.Err.Code == CodeUnclosedQuote) {
			break
		}
		if rec.Err != nil {
			r.malformed++
			continue
		}
		fields := make([]string, len(rec.Fields))
		for i, f := range rec.Fields {
			fields[i] = string(f.Value)
			if f.Quoted {
				r.quoted++
			}
		}
		r.records = append(r.records, fields)
		widths[len(fields)]++
		if len(fields) > 1 {
			r.split++
		}
		if n := widths[len(fields)]; n > r.fitting || n == r.fitting && len(fields) > r.width {
			r.width, r.fitting = len(fields), n
		}
	}
	return r
}

// score says how well the sample reads so: alike records of more than one field,
// none malformed. Fields enclosed in the quote speak for it; more fields break ties.
func (r reading) score() float64 {
	all := float64(len(r.records) + r.malformed)
	if len(r.records) == 0 {
		return 0
	}
	// Ragged records that all split are better than alike ones that none does.
	share := max(float64(r.fitting), 0.7*float64(r.split)) / all
	score := share * share
	if r.width < 2 && r.split*2 < len(r.records) {
		score *= 0.3
	}
	if r.width > 1 && len(r.records[0]) == 1 {
		score *= 0.5 // a header of one name
	}
	head := 0.0
	if len(r.records[0]) == r.width {
		head = 0.1
	}
	return score + head + 0.1*float64(min(r.quoted, len(r.records)))/all + 0.05*(1-1/float64(max(r.width, 1)))
}

func (r reading) certainty() float64 {
	all := len(r.records) + r.malformed
	if all == 0 {
		return 0.5
	}
	c := float64(r.fitting) / float64(all)
	if all == 1 || r.width < 2 {
		c *= 0.7
	}
	return c
}

func (r reading) whyDelimiter() string {
	name := strconv.Quote(string(rune(r.comma)))
	if r.width < 2 {
		return fmt.Sprintf("no delimiter splits the records; taken for %s", name)
	}
	return fmt.Sprintf("delimiter %s gives %d fields in %d of %d records", name, r.width, r.fitting, len(r.records)+r.malformed)
}
