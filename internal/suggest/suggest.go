// Package suggest finds slips of the keyboard: names that were perhaps meant by another one.
package suggest

import "strings"

// Distance is how many edits lead from got to name, and whether they are few enough that name was perhaps meant. Case, spaces, hyphens
// and underscores do not count. Names with different numbers, such as windows-1251 and windows-1252, are no slips of one another.
func Distance(got, name string) (edits int, near bool) {
	got, name = plain(got), plain(name)
	if len(got) > 100 { // no name is that long; distance is quadratic
		return 0, false
	}
	if a, b := digits(got), digits(name); a != "" && b != "" && a != b {
		return 0, false
	}
	edits = distance(got, name)
	return edits, edits <= max(1, min(len(got), len(name))/3)
}

func plain(s string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, last, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := range s {
		row[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(t)]
}
