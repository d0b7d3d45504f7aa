package valuefmt

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// part is what a run of letters in a layout stands for.
type part uint8

const (
	literal part = iota
	year
	month
	day
	hour
	hour12
	minute
	second
	fraction
	half // AM or PM
	offset
	monthName
	monthShort
)

// token is one part of a layout: how many digits it has, or its text.
type token struct {
	part     part
	min, max int
	text     string
}

// tokens are the runs of letters that mean something.
func tokens() map[string]token {
	return map[string]token{
		"yyyy": {part: year, min: 4, max: 4}, "yy": {part: year, min: 2, max: 2},
		"MM": {part: month, min: 2, max: 2}, "M": {part: month, min: 1, max: 2},
		"MMMM": {part: monthName}, "MMM": {part: monthShort},
		"dd": {part: day, min: 2, max: 2}, "d": {part: day, min: 1, max: 2},
		"HH": {part: hour, min: 2, max: 2}, "H": {part: hour, min: 1, max: 2},
		"hh": {part: hour12, min: 2, max: 2}, "h": {part: hour12, min: 1, max: 2},
		"mm": {part: minute, min: 2, max: 2}, "m": {part: minute, min: 1, max: 2},
		"ss": {part: second, min: 2, max: 2}, "s": {part: second, min: 1, max: 2},
		"S": {part: fraction, min: 1, max: 9},
		"a": {part: half}, "XXX": {part: offset},
	}
}

// parseLayout reads a layout as the package describes them.
func parseLayout(layout string) ([]token, error) {
	known := tokens()
	var all []token
	text := func(s string) {
		if n := len(all); n > 0 && all[n-1].part == literal {
			all[n-1].text += s
			return
		}
		all = append(all, token{part: literal, text: s})
	}
	for rest := layout; rest != ""; {
		switch c := rest[0]; {
		case strings.HasPrefix(rest, "''"):
			text("'")
			rest = rest[2:]
		case c == '\'':
			inner, after, closed := strings.Cut(rest[1:], "'")
			if !closed {
				return nil, problem("layout", layout, "has a ' that is not closed", "")
			}
			text(inner)
			rest = after
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			n := len(rest) - len(strings.TrimLeft(rest, string(rune(c))))
			t, ok := known[rest[:n]]
			if !ok {
				return nil, problem("layout", layout, fmt.Sprintf("has %q, which means nothing", rest[:n]), "write dates like yyyy-MM-dd HH:mm:ss, and enclose text in '")
			}
			all = append(all, t)
			rest = rest[n:]
		default:
			text(rest[:1])
			rest = rest[1:]
		}
	}
	return all, nil
}

// clock is a date and time as it is written.
type clock struct {
	year, month, day, hour, minute, second int
	fraction                               []byte // digits
	pm, hasOffset                          bool
	offset                                 int // seconds east of UTC
}

// parse reads all of value by the layout.
func (c *clock) parse(layout []token, value []byte) bool {
	*c = clock{month: 1, day: 1}
	for _, t := range layout {
		n, ok := c.take(t, value)
		if !ok {
			return false
		}
		value = value[n:]
	}
	if c.pm { // which may be before the hour
		c.hour += 12
	}
	return len(value) == 0 && c.valid()
}

// take reads one part and returns how many bytes it has.
func (c *clock) take(t token, value []byte) (n int, ok bool) {
	switch t.part {
	case literal:
		return len(t.text), bytes.HasPrefix(value, []byte(t.text))
	case half:
		if len(value) < 2 || value[1]|0x20 != 'm' {
			return 0, false
		}
		c.pm = value[0]|0x20 == 'p'
		return 2, c.pm || value[0]|0x20 == 'a'
	case offset:
		return c.takeOffset(value)
	case monthName, monthShort:
		return c.takeMonth(t, value)
	}
	number := 0
	for n < t.max && n < len(value) && value[n] >= '0' && value[n] <= '9' {
		if t.part != fraction {
			number = number*10 + int(value[n]-'0')
		}
		n++
	}
	if n < t.min {
		return 0, false
	}
	switch t.part {
	case year:
		if t.max == 2 {
			number += 2000
			if number >= 2069 {
				number -= 100
			}
		}
		c.year = number
	case month:
		c.month = number
	case day:
		c.day = number
	case hour:
		c.hour = number
	case hour12:
		if number < 1 || number > 12 {
			return 0, false
		}
		c.hour = number % 12
	case minute:
		c.minute = number
	case second:
		c.second = number
	case fraction:
		c.fraction = value[:n]
	}
	return n, true
}

func (c *clock) takeMonth(t token, value []byte) (n int, ok bool) {
	for m := time.January; m <= time.December; m++ {
		name := m.String()
		if t.part == monthShort {
			name = name[:3]
		}
		if len(value) >= len(name) && bytes.EqualFold(value[:len(name)], []byte(name)) {
			c.month = int(m)
			return len(name), true
		}
	}
	return 0, false
}

// takeOffset reads Z, +hh:mm, +hhmm or +hh.
func (c *clock) takeOffset(value []byte) (n int, ok bool) {
	c.hasOffset = true
	if len(value) > 0 && value[0]|0x20 == 'z' {
		return 1, true
	}
	if len(value) < 3 || value[0] != '+' && value[0] != '-' {
		return 0, false
	}
	two := func(at int) (int, bool) {
		if len(value) < at+2 || !isDigit(value[at]) || !isDigit(value[at+1]) {
			return 0, false
		}
		return int(value[at]-'0')*10 + int(value[at+1]-'0'), true
	}
	hours, ok := two(1)
	if !ok || hours > 15 {
		return 0, false
	}
	n = 3
	minutes := 0
	next := n
	if next < len(value) && value[next] == ':' {
		next++
	}
	if m, ok := two(next); ok {
		minutes, n = m, next+2
	}
	if minutes > 59 {
		return 0, false
	}
	c.offset = hours*3600 + minutes*60
	if value[0] == '-' {
		c.offset = -c.offset
	}
	return n, true
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func (c *clock) valid() bool {
	if c.month < 1 || c.month > 12 || c.hour > 23 || c.minute > 59 || c.second > 59 || c.day < 1 {
		return false
	}
	return c.day <= time.Date(c.year, time.Month(c.month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
