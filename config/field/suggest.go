package field

import "strings"

// Suggest finds the name that was probably meant; "" when none is near. Names with different numbers, such as windows-1251
// and windows-1252, are no slips of one another.
func Suggest(got string, known []string) string {
	plain := func(s string) string {
		return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
	}
	got = plain(got)
	if len(got) > 100 { // no field is that long; distance is quadratic
		return ""
	}
	best, bestDistance := "", 0
	for _, name := range known {
		d := distance(got, plain(name))
		if a, b := digits(got), digits(name); a != "" && b != "" && a != b {
			continue
		}
		if d > max(1, min(len(got), len(name))/3) {
			continue
		}
		if best == "" || d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// DidYouMean words a hint from suggest and falls back to the list of known names.
func DidYouMean(got string, known []string) string {
	if s := Suggest(got, known); s != "" {
		return "did you mean " + s + "?"
	}
	return "known here: " + strings.Join(known, ", ")
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
