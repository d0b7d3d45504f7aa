package valuefmt

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Layouts with a name.
const (
	layoutISO    = "iso"
	layoutUnix   = "unix"
	layoutUnixMS = "unix_ms"
	layoutExcel  = "excel"
)

// reader reads a value by one layout.
type reader func(c *clock, value []byte) bool

type datetime struct {
	kind     Type
	layouts  []string // as declared
	readers  []reader
	location *time.Location
}

func (f Format) compileTime() (*Converter, error) {
	d := &datetime{kind: f.Type, layouts: f.Layouts, location: f.Location}
	if len(d.layouts) == 0 {
		d.layouts = []string{layoutISO}
	}
	for _, layout := range d.layouts {
		readers, err := d.compile(layout)
		if err != nil {
			return nil, err
		}
		d.readers = append(d.readers, readers...)
	}
	return &Converter{text: d.append}, nil
}

func (d *datetime) compile(layout string) ([]reader, error) {
	if d.kind == Time && (layout == layoutUnix || layout == layoutUnixMS) {
		return nil, problem("layout", layout, "is a moment, no time of the day", "set type: timestamp")
	}
	switch layout {
	case layoutUnix:
		return []reader{func(c *clock, value []byte) bool { return c.unix(value, 1) }}, nil
	case layoutUnixMS:
		return []reader{func(c *clock, value []byte) bool { return c.unix(value, 1000) }}, nil
	case layoutExcel:
		return []reader{(*clock).excel}, nil
	case layoutISO:
		var all []reader
		for _, one := range iso(d.kind) {
			readers, err := d.compile(one)
			if err != nil {
				return nil, err
			}
			all = append(all, readers...)
		}
		return all, nil
	}
	parsed, err := parseLayout(layout)
	if err != nil {
		return nil, err
	}
	if err := d.complete(layout, parsed); err != nil {
		return nil, err
	}
	return []reader{func(c *clock, value []byte) bool { return c.parse(parsed, value) }}, nil
}

// iso are the forms of ISO 8601 that programs write.
func iso(kind Type) []string {
	clocks := []string{"HH:mm:ss", "HH:mm:ss.S", "HH:mm"}
	switch kind {
	case Date:
		return []string{"yyyy-MM-dd"}
	case Time:
		return clocks
	}
	var all []string
	for _, zone := range []string{"", "XXX"} {
		for _, between := range []string{" ", "'T'"} {
			for _, c := range clocks {
				all = append(all, "yyyy-MM-dd"+between+c+zone)
			}
		}
	}
	return append(all, "yyyy-MM-dd")
}

// complete refuses a layout that leaves a part open, or says it twice.
func (d *datetime) complete(layout string, parsed []token) error {
	has := map[part]int{}
	for _, t := range parsed {
		p := t.part
		switch p {
		case literal:
			continue
		case monthName, monthShort:
			p = month
		}
		if has[p]++; has[p] > 1 {
			return problem("layout", layout, "has a part twice", "MM is the month, mm the minute, HH or hh the hour, ss the second")
		}
	}
	switch {
	case has[hour] > 0 && has[hour12] > 0:
		return problem("layout", layout, "has two hours", "choose HH, or hh with a")
	case has[hour12] != has[half]:
		return problem("layout", layout, "has one of hh and a, which belong together", "use HH for 24 hours")
	case d.kind == Time && has[hour]+has[hour12] == 0:
		return problem("layout", layout, "has no hour", "add HH")
	case d.kind != Time && (has[year] == 0 || has[month] == 0 || has[day] == 0):
		return problem("layout", layout, "lacks a year, a month or a day", "such as yyyy-MM-dd")
	case has[fraction] > 0 && has[second] == 0:
		return problem("layout", layout, "has S, the fraction of a second, and no second", "add ss")
	}
	return nil
}

func (d *datetime) append(dst, value []byte) ([]byte, error) {
	value = bytes.TrimSpace(value)
	var c clock
	if !slices.ContainsFunc(d.readers, func(read reader) bool { return read(&c, value) }) || d.kind != Time && c.year < 1 {
		return nil, fmt.Errorf("%s is not a %s like %s", quoted(value), d.kind, strings.Join(d.layouts, " or "))
	}
	if d.location != nil && !c.hasOffset {
		if err := c.locate(d.location); err != nil {
			return nil, fmt.Errorf("%s: %w", quoted(value), err)
		}
	}
	if d.kind != Time {
		dst = appendPadded(dst, c.year, 4)
		dst = appendPadded(append(dst, '-'), c.month, 2)
		dst = appendPadded(append(dst, '-'), c.day, 2)
	}
	if d.kind == Date {
		return dst, nil
	}
	if d.kind == Timestamp {
		dst = append(dst, ' ')
	}
	dst = appendPadded(dst, c.hour, 2)
	dst = appendPadded(append(dst, ':'), c.minute, 2)
	dst = appendPadded(append(dst, ':'), c.second, 2)
	if len(c.fraction) > 0 {
		dst = append(append(dst, '.'), c.fraction...)
	}
	if c.hasOffset {
		dst = appendOffset(dst, c.offset)
	}
	return dst, nil
}

// locate gives the clock the offset that it has at a place.
func (c *clock) locate(at *time.Location) error {
	t := time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, c.second, 0, at)
	if t.Day() != c.day || t.Hour() != c.hour || t.Minute() != c.minute {
		return fmt.Errorf("this time was skipped in %s, when the clocks went forward", at)
	}
	_, c.offset = t.Zone()
	// Where clocks went back, the time came with the earlier offset first.
	const longestShift = 3 * time.Hour
	if _, before := t.Add(-longestShift).Zone(); before > c.offset {
		first := t.Add(-time.Duration(before-c.offset) * time.Second)
		if _, again := first.Zone(); again == before {
			c.offset = before
		}
	}
	c.hasOffset = true
	return nil
}

func appendPadded(dst []byte, n, width int) []byte {
	for limit := int(math.Pow10(width - 1)); n < limit && limit > 1; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

func appendOffset(dst []byte, seconds int) []byte {
	sign := byte('+')
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	dst = appendPadded(append(dst, sign), seconds/3600, 2)
	dst = appendPadded(append(dst, ':'), seconds/60%60, 2)
	if seconds%60 != 0 { // local mean times of the nineteenth century
		dst = appendPadded(append(dst, ':'), seconds%60, 2)
	}
	return dst
}

// set fills the clock from a moment, to the microsecond.
func (c *clock) set(t time.Time) {
	*c = clock{year: t.Year(), month: int(t.Month()), day: t.Day(), hour: t.Hour(), minute: t.Minute(), second: t.Second()}
	if micros := t.Nanosecond() / 1000; micros > 0 {
		c.fraction = bytes.TrimRight(appendPadded(nil, micros, 6), "0")
	}
}

// unix reads a count since 1970, in parts of a second; a fraction is allowed.
func (c *clock) unix(value []byte, perSecond int64) bool {
	whole, rest, _ := strings.Cut(string(value), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > math.MaxInt64/2_000_000 || n < -math.MaxInt64/2_000_000 {
		return false
	}
	micros := n * (1_000_000 / perSecond)
	if rest != "" {
		part, err := strconv.ParseUint(rest, 10, 64)
		if err != nil || len(rest) > 15 {
			return false
		}
		share := int64(float64(part) / math.Pow10(len(rest)) * float64(1_000_000/perSecond))
		if strings.HasPrefix(whole, "-") {
			share = -share
		}
		micros += share
	}
	t := time.UnixMicro(micros).UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		return false
	}
	c.set(t)
	c.hasOffset = true
	return true
}

// excel reads days since 1899-12-30. Before March 1900 spreadsheets count a day
// that never was, so those are refused.
func (c *clock) excel(value []byte) bool {
	const first, last = 61, 2_958_466
	days, err := strconv.ParseFloat(string(value), 64)
	if err != nil || !(days >= first && days < last) {
		return false
	}
	whole := math.Floor(days)
	// A spreadsheet's number holds about a millisecond.
	inDay := time.Duration(math.Round((days-whole)*86_400_000)) * time.Millisecond
	c.set(time.Date(1899, time.December, 30+int(whole), 0, 0, 0, 0, time.UTC).Add(inDay))
	return true
}
