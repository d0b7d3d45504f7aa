package cron

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// cron is an expression of five fields.
type cron struct {
	minute, hour, dom, month, dow field
}

// String is the expression with its fields as they were written, a space between them.
func (c *cron) String() string {
	return strings.Join([]string{c.minute.text, c.hour.text, c.dom.text, c.month.text, c.dow.text}, " ")
}

// fixed reports whether the expression names times of day, which come once on each of their days whatever the clock does.
func (c *cron) fixed() bool { return !c.minute.star && !c.hour.star }

func shortcut(name string) (string, bool) {
	switch name {
	case "@yearly", "@annually":
		return "0 0 1 1 *", true
	case "@monthly":
		return "0 0 1 * *", true
	case "@weekly":
		return "0 0 * * 0", true
	case "@daily", "@midnight":
		return "0 0 * * *", true
	case "@hourly":
		return "0 * * * *", true
	}
	return "", false
}

func parseCron(text string) (*cron, error) {
	words := splitCron(text)
	if len(words) == 0 {
		return nil, &SpecError{Field: "cron", Message: "it is empty", Hint: `write five fields, like "0 9 * * *"`}
	}
	if first := strings.ToLower(words[0].text); strings.HasPrefix(first, "@") {
		full, ok := shortcut(first)
		if !ok || len(words) > 1 {
			return nil, badShortcut(text, first, words)
		}
		return parseCron(full)
	}
	if name, _, ok := strings.Cut(words[0].text, "="); ok && (name == "TZ" || name == "CRON_TZ") {
		return nil, zoneBefore(words[0], name)
	}
	kinds := fieldKinds()
	if len(words) != len(kinds) {
		return nil, fieldCount(text, words)
	}
	c := &cron{}
	for i, into := range []*field{&c.minute, &c.hour, &c.dom, &c.month, &c.dow} {
		f, err := kinds[i].parse(words[i])
		if err != nil {
			return nil, err
		}
		*into = f
	}
	if !c.possible() {
		return nil, &SpecError{Field: "cron", Column: words[2].column, Message: "no month that it names has such a day: " + describeDates(c)}
	}
	return c, nil
}

func badShortcut(text, name string, words []word) error {
	problem := &SpecError{Field: "cron", Column: words[0].column, Message: fmt.Sprintf("%s is not known", name)}
	switch _, known := shortcut(name); {
	case known && len(words) == 2 && isZoneName(words[1].text):
		return zoneBehind(words[1])
	case known:
		problem.Column, problem.Message = words[1].column, fmt.Sprintf("something follows %s, which stands alone", name)
	case name == "@every":
		problem.Message, problem.Hint = "@every does not belong here", cmp.Or(intervalHint(text), "write every: 1h in place of cron")
	case name == "@reboot":
		problem.Message = "@reboot is no time"
	default:
		problem.Hint = "there are @hourly, @daily, @weekly, @monthly, @yearly"
	}
	return problem
}

// word is a part of an expression between spaces.
type word struct {
	text   string
	column int // in characters, from 1
}

func splitCron(text string) []word {
	var words []word
	start := -1
	add := func(end int) {
		if start >= 0 {
			words = append(words, word{text[start:end], utf8.RuneCountInString(text[:start]) + 1})
		}
		start = -1
	}
	for i, r := range text {
		switch {
		case unicode.IsSpace(r):
			add(i)
		case start < 0:
			start = i
		}
	}
	add(len(text))
	return words
}

// daysIn is the greatest number of days that a month has.
func daysIn(month int) int {
	switch month {
	case 2:
		return 29
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// possible reports whether there is a day that matches. Where both day fields must match, every date that exists meets every
// day of the week in the course of the years.
func (c *cron) possible() bool {
	if !c.dom.star && !c.dow.star {
		return true // the day of the week alone is enough
	}
	for month := 1; month <= 12; month++ {
		for day := 1; c.month.has(month) && day <= daysIn(month); day++ {
			if c.dom.has(day) {
				return true
			}
		}
	}
	return false
}
