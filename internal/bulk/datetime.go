package bulk

import "bytes"

// refuseDatetime decides dates in the form YYYY-MM-DD, alone or followed by a numeric time, and strings that contain
// neither a digit nor one of the words that stand for a time. All other styles go to the server.
func refuseDatetime(v []byte) string {
	if isoDate(v) && (len(v) == 10 || plainTime(v[10:])) {
		year, month, day := number(v[:4]), number(v[5:7]), number(v[8:10])
		if year == 0 || month == 0 || month > 12 || day == 0 || day > daysIn(year, month) {
			return codeDatetimeOver
		}
		return ""
	}
	for _, c := range v {
		if digit(c) {
			return ""
		}
	}
	if len(v) > 100 {
		return codeBadDatetime // longer than any word; and it keeps the next step cheap
	}
	lower := bytes.ToLower(v)
	for _, word := range [...]string{"now", "today", "tomorrow", "yesterday", "epoch", "infinity", "allballs"} {
		if hasWord(lower, []byte(word)) {
			return ""
		}
	}
	return codeBadDatetime
}

// hasWord reports whether the word is somewhere in v with no letter before it.
func hasWord(v, word []byte) bool {
	for {
		i := bytes.Index(v, word)
		if i < 0 {
			return false
		}
		if i == 0 || v[i-1] < 'a' || v[i-1] > 'z' {
			return true
		}
		v = v[i+1:]
	}
}

func isoDate(v []byte) bool {
	if len(v) < 10 || v[4] != '-' || v[7] != '-' {
		return false
	}
	for _, i := range [...]int{0, 1, 2, 3, 5, 6, 8, 9} {
		if !digit(v[i]) {
			return false
		}
	}
	return true
}

// plainTime reports whether v is T or a blank, digits of a time and perhaps a numeric zone: nothing that could give the
// date before it another meaning, as BC does.
func plainTime(v []byte) bool {
	if v[0] != ' ' && v[0] != 'T' || len(v) < 6 {
		return false
	}
	for _, c := range v[1:] {
		if !digit(c) && c != ':' && c != '.' && c != '+' && c != '-' && c != 'Z' {
			return false
		}
	}
	return true
}

func number(v []byte) int {
	n := 0
	for _, c := range v {
		n = n*10 + int(c-'0')
	}
	return n
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
