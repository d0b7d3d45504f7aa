package bulk

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// pinned are the settings that decide how PostgreSQL reads and writes values. They are those of exports, so that what was
// exported can be imported, whatever the server, the database and the role say.
const pinned = "SET LOCAL datestyle TO 'ISO, YMD'; SET LOCAL intervalstyle TO 'postgres'; SET LOCAL timezone TO 'UTC'; SET LOCAL bytea_output TO 'hex'"

// prepare makes the transaction one in which rows are written.
const prepare = "SET CONSTRAINTS ALL IMMEDIATE; " + pinned

// hasDates reports whether values of a type hold dates: date, timestamp and timestamptz, their arrays, ranges and
// multiranges. The OIDs never change.
func hasDates(oid uint32) bool {
	return slices.Contains([]uint32{oidDate, oidTimestamp, oidTimestamptz, 1182, 1115, 1185, 3912, 3908, 3910, 4535, 4533, 4534}, oid)
}

// dateOrder is an order of the parts of a date, and the layout that says so.
type dateOrder struct {
	year, month, day int // places among the numbers of the date; month is -1 where it is a word
}

// unclear is a date that DateStyle alone gives a meaning.
type unclear struct {
	text    []byte
	numbers [][]byte
	month   int // of the word, or 0
	layout  func(dateOrder) string
}

// unclearDate finds a date in v whose order of day, month and year is not known. A year of four digits in front, a year of four
// digits with the name of a month, and dates without separators have one order only.
func unclearDate(v []byte) *unclear {
	if isoDate(v) && (len(v) == 10 || plainTime(v[10:])) {
		return nil
	}
	if bytes.IndexByte([]byte("{[("), firstByte(v)) < 0 {
		return unclearIn(v)
	}
	for _, part := range bytes.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(`{}[](),"`, r) }) {
		if u := unclearIn(part); u != nil {
			return u
		}
	}
	return nil
}

func firstByte(v []byte) byte {
	if v = trim(v); len(v) > 0 {
		return v[0]
	}
	return 0
}

// unclearIn takes the numbers and the month's name of the parts that are no time of the day.
func unclearIn(v []byte) *unclear {
	u := &unclear{text: trim(v)}
	var form []string // what stands for each part of the text in a layout
	for _, part := range dateParts(u.text) {
		switch n := len(part); {
		case len(u.numbers) < 3 && digitsOnly(part):
			u.numbers = append(u.numbers, part)
			form = append(form, "#")
		case u.month == 0 && monthOf(part) > 0:
			u.month = monthOf(part)
			form = append(form, map[bool]string{true: "MMM", false: "MMMM"}[n == 3])
		case bytes.IndexByte(part, ':') > 0:
			between := ""
			if part[0]|0x20 == 't' {
				between = "'T'"
			}
			form = append(form, between+[]string{"HH:mm", "HH:mm:ss"}[min(bytes.Count(part, []byte(":")), 2)-1])
		case n == 1 && !alphanumeric(part[0]):
			form = append(form, string(part))
		}
	}
	u.layout = func(order dateOrder) string { return u.layoutOf(form, order) }
	wanted := 3
	if u.month > 0 {
		wanted = 2
	}
	if len(u.numbers) < wanted {
		return nil
	}
	u.numbers = u.numbers[:wanted]
	if len(u.numbers[0]) > 2 || len(u.numbers[1]) > 2 || wanted == 3 && len(u.numbers[2]) > 4 || u.sameInAllOrders() {
		return nil
	}
	return u
}

// dateParts cuts v into numbers, words, times and the separators between them. A time of the day keeps its zone.
func dateParts(v []byte) [][]byte {
	var parts [][]byte
	for i := 0; i < len(v); {
		end := i
		for end < len(v) && alphanumeric(v[end]) {
			end++
		}
		number := i
		for number < end && digit(v[number]) {
			number++
		}
		switch {
		case end == i:
			end++
		case number > i && number < end && v[number]|0x20 == 't': // 02T10:00
			end = number
		case end < len(v) && v[end] == ':':
			for end < len(v) && !space(v[end]) {
				end++
			}
		case number > i:
			end = number
		}
		parts = append(parts, v[i:end])
		i = end
	}
	return parts
}

func alphanumeric(c byte) bool {
	return digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func digitsOnly(v []byte) bool {
	return len(v) > 0 && !slices.ContainsFunc(v, func(c byte) bool { return !digit(c) })
}

// monthOf is the number of a month by its English name or the first three letters of it, or 0.
func monthOf(word []byte) int {
	lower := strings.ToLower(string(word))
	if lower == "sept" {
		return 9
	}
	for m := time.January; m <= time.December; m++ {
		name := strings.ToLower(m.String())
		if lower == name || lower == name[:3] {
			return int(m)
		}
	}
	return 0
}

// sameInAllOrders is true of 05-May-05.
func (u *unclear) sameInAllOrders() bool {
	return len(u.readings()) == 1 && len(u.orders()) == len(u.allOrders())
}

func (u *unclear) allOrders() []dateOrder {
	if u.month > 0 {
		return []dateOrder{{1, -1, 0}, {0, -1, 1}}
	}
	return []dateOrder{{2, 0, 1}, {2, 1, 0}, {0, 1, 2}}
}

// orders are those that PostgreSQL knows, as far as the date can be read so.
func (u *unclear) orders() []dateOrder {
	return slices.DeleteFunc(u.allOrders(), func(o dateOrder) bool {
		if len(u.numbers[o.day]) > 2 || o.month >= 0 && len(u.numbers[o.month]) > 2 {
			return true
		}
		year, month, day := u.date(o)
		return month < 1 || month > 12 || day < 1 || day > daysIn(year, month)
	})
}

func (u *unclear) date(o dateOrder) (year, month, day int) {
	year, month, day = number(u.numbers[o.year]), u.month, number(u.numbers[o.day])
	if o.month >= 0 {
		month = number(u.numbers[o.month])
	}
	switch {
	case len(u.numbers[o.year]) > 2:
	case year < 70:
		year += 2000
	default:
		year += 1900
	}
	return year, month, day
}

// layoutOf writes the value as a layout.
func (u *unclear) layoutOf(form []string, o dateOrder) string {
	at := 0
	var b strings.Builder
	for _, part := range form {
		if part != "#" {
			b.WriteString(part)
			continue
		}
		if at < len(u.numbers) {
			letter := map[int]string{o.year: "yy", o.day: "d"}
			if o.month >= 0 {
				letter[o.month] = "M"
			}
			word := letter[at]
			if n := len(u.numbers[at]); word == "yy" && n == 4 || word != "yy" && n == 2 {
				word += word
			}
			b.WriteString(word)
		}
		at++
	}
	return strings.TrimSpace(b.String())
}

// reading is a date that the text may be, and the layouts by which it is.
type reading struct {
	date    string
	layouts []string
}

func (u *unclear) readings() []reading {
	var all []reading
	for _, o := range u.orders() {
		year, month, day := u.date(o)
		date := fmt.Sprintf("%04d-%02d-%02d", year, month, day)
		if i := slices.IndexFunc(all, func(r reading) bool { return r.date == date }); i >= 0 {
			all[i].layouts = append(all[i].layouts, u.layout(o))
			continue
		}
		all = append(all, reading{date, []string{u.layout(o)}})
	}
	return all
}

// why says what the date may be, and what to add.
func (u *unclear) why(c *Column) string {
	readings := u.readings()
	if len(readings) == 0 {
		return fmt.Sprintf("column %q: there is no such date as %s", c.Name, show(u.text))
	}
	plain := c.BaseOID == oidDate || c.BaseOID == oidTimestamp || c.BaseOID == oidTimestamptz
	texts := make([]string, len(readings))
	for i, r := range readings {
		if texts[i] = r.date; plain {
			texts[i] += " (layout: " + strings.Join(r.layouts, " or ") + ")"
		}
	}
	may := "may be " + strings.Join(texts, " or ")
	if len(readings) == 1 {
		may = "can only be " + texts[0] + ", but other dates of this form have several readings"
	}
	what := "write dates in arrays and ranges as yyyy-MM-dd"
	switch {
	case plain && c.BaseOID == oidDate:
		what = "say how the column is written: type: date, and its layout"
	case plain:
		what = "say how the column is written: type: timestamp, and its layout"
	}
	return fmt.Sprintf("column %q: %s %s; %s", c.Name, show(u.text), may, what)
}
