package rowio

import (
	"fmt"
	"strings"
	"unicode"
)

// class is what a field looks like.
type class uint8

const (
	classText class = iota
	classEmpty
	classNumber // also dates, times and amounts: digits and what is between them
	classCode   // letters and digits mixed, addresses: no name of a field
)

// judgeHeader compares the first record with the others. Above zero it is a
// header, below it is a row; reason names what decided.
func judgeHeader(records [][]string) (score float64, reason string) {
	if len(records) == 0 {
		return 0.1, "there are no records; taken with a header"
	}
	head, rows := records[0], records[1:]
	seen := map[string]bool{}
	for i, name := range head {
		name = strings.TrimSpace(name)
		switch classify(name) {
		case classNumber:
			return -1, fmt.Sprintf("no header: field %d of the first record is %q", i+1, clip(name))
		case classCode:
			score -= 0.5
			reason = fmt.Sprintf("no header: %q is hardly the name of a field", clip(name))
			continue
		case classEmpty:
			continue
		}
		if seen[name] {
			score -= 0.2
		}
		seen[name] = true
		found, why := judgeColumn(i, name, rows)
		score += found
		if found != 0 && reason == "" {
			reason = why
		}
	}
	switch {
	case reason == "" && score >= 0:
		return 0.1, "unclear whether there is a header; one is assumed"
	case reason == "":
		reason = "no header: the first record has values twice"
	}
	return score, reason
}

// judgeColumn compares a name with what is below it.
func judgeColumn(i int, name string, rows [][]string) (score float64, why string) {
	values, odd, same := 0, 0, 0
	for _, row := range rows {
		if i >= len(row) || strings.TrimSpace(row[i]) == "" {
			continue
		}
		value := strings.TrimSpace(row[i])
		values++
		if value == name {
			same++
		}
		if c := classify(value); c == classNumber || c == classCode {
			odd++
		}
	}
	switch {
	case values == 0:
		return 0, ""
	case same > 0:
		return -0.5, fmt.Sprintf("no header: %q of the first record is a value of others", clip(name))
	case odd*10 >= values*8:
		return 1, fmt.Sprintf("header: %q is above values of another kind", clip(name))
	}
	return 0, ""
}

func classify(s string) class {
	if s == "" {
		return classEmpty
	}
	digits, letters, other := 0, 0, 0
	for _, r := range s {
		switch {
		case unicode.IsDigit(r):
			digits++
		case unicode.IsLetter(r):
			letters++
		case strings.ContainsRune(" .,:/-+%'’$€£¥￥\u00a0\u202f()", r):
		default:
			other++
		}
	}
	switch {
	case strings.Contains(s, "@") && strings.Contains(s, "."), strings.Contains(s, "://"):
		return classCode
	case digits == 0:
		return classText
	case letters == 0 && other == 0, digits > letters && isTime(s):
		return classNumber
	case digits > letters:
		return classCode
	}
	return classText
}

// isTime recognizes 2024-01-02T03:04:05Z and the like.
func isTime(s string) bool {
	return len(s) >= 10 && strings.IndexFunc(s[:4], func(r rune) bool { return r < '0' || r > '9' }) < 0 && (s[4] == '-' || s[4] == '/')
}

func clip(s string) string {
	if runes := []rune(s); len(runes) > 30 {
		return string(runes[:30]) + "…"
	}
	return s
}
