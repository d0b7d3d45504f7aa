package cron

import (
	"fmt"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// field is the set of values that a field of an expression allows.
type field struct {
	text string
	set  uint64 // bit n is value n
	star bool   // it begins with *, with or without a step, which is what Vixie's cron looks at
}

func (f field) has(n int) bool { return f.set>>n&1 == 1 }

// from is the first value of at least n, -1 if there is none.
func (f field) from(n int) int {
	if rest := f.set >> n << n; rest != 0 {
		return bits.TrailingZeros64(rest)
	}
	return -1
}

// upTo is the last value of at most n, -1 if there is none.
func (f field) upTo(n int) int {
	if n < 0 {
		return -1
	}
	return bits.Len64(f.set<<(63-n)>>(63-n)) - 1
}

func (f field) values() []int {
	var all []int
	for n := f.from(0); n >= 0; n = f.from(n + 1) {
		all = append(all, n)
	}
	return all
}

// fieldKind says what one of the five fields holds.
type fieldKind struct {
	name     string
	min, max int      // of what may be written
	last     int      // value that * ends with: below max where two values mean the same
	names    []string // of the values from min on
}

func fieldKinds() []fieldKind {
	return []fieldKind{
		{name: "minute", min: 0, max: 59, last: 59},
		{name: "hour", min: 0, max: 23, last: 23},
		{name: "day of the month", min: 1, max: 31, last: 31},
		{name: "month", min: 1, max: 12, last: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
		{name: "day of the week", min: 0, max: 7, last: 6, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
	}
}

func (k fieldKind) parse(w word) (field, error) {
	f := field{text: w.text, star: strings.HasPrefix(w.text, "*")}
	column := w.column
	for item := range strings.SplitSeq(w.text, ",") {
		if err := k.parseItem(&f, item); err != nil {
			err.Column = column
			return field{}, err
		}
		column += utf8.RuneCountInString(item) + 1
	}
	if k.max > k.last { // Sunday
		f.set = f.set&^(1<<k.max) | f.set>>k.max&1
	}
	return f, nil
}

// parseItem adds one item of a list to f. The column of its error is left to the caller.
func (k fieldKind) parseItem(f *field, item string) *SpecError {
	span, stepText, stepped := strings.Cut(item, "/")
	lowText, highText, ranged := strings.Cut(span, "-")
	var low, high int
	var err *SpecError
	switch {
	case item == "":
		return k.fail("has an empty place in its list")
	case span == "*":
		low, high = k.min, k.last
	default:
		if low, err = k.value(item, lowText); err != nil {
			return err
		}
		high = low
		if stepped {
			high = k.last
		}
		if ranged {
			if high, err = k.value(item, highText); err != nil {
				return err
			}
		}
	}
	if ranged && high == 0 && low > 0 && k.max > k.last && strings.EqualFold(highText, k.names[0]) {
		high = k.max // fri-sun: a week ends as well as begins with Sunday
	}
	if low > high {
		return k.backwards(item, lowText, highText, low, high)
	}
	step := 1
	if stepped {
		if step, err = k.step(stepText); err != nil {
			return err
		}
	}
	for n := low; n <= high; n += step {
		f.set |= 1 << n
	}
	return nil
}

func (k fieldKind) fail(format string, args ...any) *SpecError {
	return &SpecError{Field: "cron", Message: k.name + " " + fmt.Sprintf(format, args...)}
}

// Values of other programs' cron, which this one has not.
var (
	lastRE    = regexp.MustCompile(`(?i)^(?:\d+|[a-z]{3})?L(?:-\d+)?$`)
	weekdayRE = regexp.MustCompile(`(?i)^(?:\d+|L)W$`)
)

// value reads one value of item, a number or a name.
func (k fieldKind) value(item, text string) (int, *SpecError) {
	for i, name := range k.names {
		if strings.EqualFold(text, name) {
			return k.min + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err == nil && strings.Trim(text, "0123456789") == "" {
		if n < k.min || n > k.max {
			return 0, k.fail("%s is not in %s", text, k.allowed())
		}
		return n, nil
	}
	switch {
	case strings.Contains(item, "#"):
		return 0, k.fail("%q: # (a certain weekday of the month) is not supported", item)
	case lastRE.MatchString(item):
		return 0, k.fail("%q: L (the last day) is not supported", item)
	case weekdayRE.MatchString(item):
		return 0, k.fail("%q: W (the nearest working day) is not supported", item)
	case item == "?":
		problem := k.fail("%q is not supported", item)
		problem.Hint = "write *"
		return 0, problem
	case strings.HasPrefix(item, "H"):
		return 0, k.fail("%q: H (a time that is chosen for you) is not supported", item)
	}
	problem := k.fail("%q is not in %s", written(item, text), k.allowed())
	if hint := missingHint(item); hint != "" {
		if _, err := k.parse(word{text: hint}); err == nil {
			problem.Hint = "write " + hint
		}
	}
	return 0, problem
}

func (k fieldKind) step(text string) (int, *SpecError) {
	n, err := strconv.Atoi(text)
	most := k.last - k.min + 1 // which leaves the first value
	switch {
	case err != nil || strings.Trim(text, "0123456789") != "" || n == 0:
		return 0, k.fail("has the step %q, which is not a number from 1 on", text)
	case n > most:
		problem := k.fail("has the step %d, which is not in 1-%d", n, most)
		if unit, ok := unitOf(k.name); ok && unit < 24*time.Hour {
			if hint := everyHint(n, unit); hint != "" {
				problem.Hint = "for longer intervals " + hint
			}
		}
		return 0, problem
	}
	return n, nil
}

func (k fieldKind) allowed() string {
	text := fmt.Sprintf("%d-%d", k.min, k.max)
	if len(k.names) > 0 {
		text += " or " + k.names[0] + "-" + k.names[len(k.names)-1]
	}
	return text
}
