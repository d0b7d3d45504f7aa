package cron

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A hint that shows something to write shows what is accepted, and means what was written for certain; where that is not
// known it shows the form alone.

// sentenceRE is an interval in words, or as @every and the configuration have it.
var sentenceRE = regexp.MustCompile(`(?i)^@?every\s+(?:(\d{1,9})\s*)?([a-z]+)$`)

// intervalHint says how the interval that text seems to be is written; empty if it is none.
func intervalHint(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if m := sentenceRE.FindStringSubmatch(text); m != nil {
		n := 1
		if m[1] != "" {
			n, _ = strconv.Atoi(m[1]) // at most nine digits
		}
		unit, _ := unitOf(m[2])
		return everyHint(n, unit)
	}
	for _, prefix := range []string{"@every ", "every "} {
		if len(text) > len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
			text = text[len(prefix):]
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= MinEvery && d <= MaxEvery && d%time.Second == 0 {
		return "write every: " + shortDuration(d) + " in place of cron"
	}
	return ""
}

// unitOf is the unit that a word names. A month and a year have no length, and M is one in some programs, so neither is one.
func unitOf(word string) (time.Duration, bool) {
	if word == "M" {
		return 0, false
	}
	switch strings.TrimSuffix(strings.ToLower(word), "s") {
	case "", "sec", "second":
		return time.Second, strings.ToLower(word) != ""
	case "m", "min", "minute":
		return time.Minute, true
	case "h", "hr", "hour":
		return time.Hour, true
	case "d", "day":
		return 24 * time.Hour, true
	case "w", "week":
		return 7 * 24 * time.Hour, true
	}
	return 0, false
}

// everyHint is empty for an interval that every refuses.
func everyHint(n int, unit time.Duration) string {
	if n < 1 || unit == 0 || time.Duration(n) > MaxEvery/unit {
		return ""
	}
	letter := "s"
	switch unit {
	case time.Minute:
		letter = "m"
	case time.Hour:
		letter = "h"
	case 24 * time.Hour:
		letter = "d"
	case 7 * 24 * time.Hour:
		n, letter = n*7, "d"
	}
	return fmt.Sprintf("write every: %d%s in place of cron", n, letter)
}

// fieldCount is what is wrong with an expression of not five fields, and what was probably meant.
func fieldCount(text string, words []word) error {
	problem := &SpecError{Field: "cron", Message: fmt.Sprintf("it has %d fields instead of 5", len(words)), Hint: "write minute, hour, day of the month, month, day of the week"}
	if hint := intervalHint(text); hint != "" {
		problem.Hint = hint
		if strings.EqualFold(words[0].text, "every") {
			problem.Message = "a sentence is no expression"
		}
		return problem
	}
	if strings.EqualFold(words[0].text, "every") {
		problem.Message, problem.Hint = "a sentence is no expression", `write five fields, like "0 9 * * *", or an interval, like every: 5m`
		return problem
	}
	if last := words[len(words)-1]; len(words) == 6 && isZoneName(last.text) {
		return zoneBehind(last)
	}
	switch len(words) {
	case 6:
		problem.Hint += "; there are no seconds and no years"
		if hint := sixHint(words); hint != "" {
			problem.Hint = "there are no seconds and no years; " + hint
		}
	case 7:
		problem.Hint += "; there are no seconds and no years"
	}
	return problem
}

// zoneBefore is about TZ=… before the expression, which some programs take.
func zoneBefore(first word, name string) error {
	problem := &SpecError{Field: "cron", Column: first.column, Message: name + "= does not belong here", Hint: "give the time zone as timezone"}
	if zone := strings.TrimPrefix(first.text, name+"="); zone != "" && isZoneName(zone) {
		problem.Hint = "leave it out here and write timezone: " + zone
	}
	return problem
}

func zoneBehind(last word) error {
	return &SpecError{Field: "cron", Column: last.column, Message: "a time zone does not belong here", Hint: "leave it out here and write timezone: " + last.text}
}

// isZoneName is false for the names that are fields, too, as a number is.
func isZoneName(name string) bool {
	if strings.Trim(name, "0123456789*,-/?#") == "" {
		return false
	}
	zone, err := parseZone(name)
	return err == nil && zone != nil
}

// sixHint is what six fields become here. Quartz and most others have seconds before the five; AWS has a year after them,
// and is recognised by where the ? is.
func sixHint(words []word) string {
	fields := make([]string, len(words))
	for i, w := range words {
		fields[i] = w.text
	}
	at := func(i int) bool { return fields[i] == "?" }
	five, rest := fields[1:], fields[0]
	if at(2) || at(4) {
		five, rest = fields[:5], fields[5]
		if rest != "*" {
			return ""
		}
	}
	plain := strings.ReplaceAll(strings.Join(five, " "), "?", "*")
	if _, err := parseCron(plain); err != nil {
		return ""
	}
	switch {
	case at(2) || at(4):
		return fmt.Sprintf("without the year it is %q", plain)
	case rest == "0" || rest == "00":
		return fmt.Sprintf("without the seconds it is %q", plain)
	case plain != "* * * * *":
		return ""
	case rest == "*":
		return everyHint(1, time.Second)
	}
	step, stepped := strings.CutPrefix(rest, "*/")
	if n, err := strconv.Atoi(step); stepped && err == nil && n > 0 && 60%n == 0 {
		return everyHint(n, time.Second)
	}
	return ""
}

// backwards is the error of a range whose end comes before its beginning: it went over the end of the day, week or year.
func (k fieldKind) backwards(item, lowText, highText string, low, high int) *SpecError {
	span, stepText, stepped := strings.Cut(item, "/")
	step := 1
	if stepped {
		var bad *SpecError
		if step, bad = k.step(stepText); bad != nil {
			return bad
		}
	}
	if !strings.Contains(span, "-") { // 7/2, where * ends with 6
		err := k.fail("%q begins after the last value that a step reaches, %d", item, k.last)
		err.Hint = fmt.Sprintf("%s is %d here: write %d/%s", span, k.min, k.min, stepText)
		return err
	}
	err := k.fail("%s runs backwards", item)
	if low > k.last { // 7 is 0
		low = k.min
	}
	if low <= high { // 7-1
		err.Hint = fmt.Sprintf("%s is %d here: write %s", lowText, k.min, rangeText(k.min, strconv.Itoa(low), high, highText))
		if stepped {
			err.Hint += "/" + stepText
		}
		return err
	}
	if step == 1 {
		err.Hint = fmt.Sprintf("write two ranges, %s,%s", rangeText(low, lowText, k.last, strconv.Itoa(k.last)), rangeText(k.min, strconv.Itoa(k.min), high, highText))
		return err
	}
	// With a step two ranges would be another thing: it continues over the end.
	size := k.last - k.min + 1
	var values []string
	for n := low; n <= high+size; n += step {
		values = append(values, strconv.Itoa((n-k.min)%size+k.min))
	}
	err.Hint = "write the values, " + strings.Join(values, ",")
	return err
}

func rangeText(low int, lowText string, high int, highText string) string {
	if low == high {
		return lowText
	}
	return lowText + "-" + highText
}

// written is what to show of item for a value of it that is wrong: the value, or all of it where that is only a part of
// what was meant, as of -1 and /15.
func written(item, text string) string {
	if text == "" || strings.Contains(text, "-") {
		return item
	}
	return text
}

// missingHint says what a value that is not there may have been.
func missingHint(item string) string {
	if strings.HasPrefix(item, "/") {
		return "*" + item
	}
	return ""
}
