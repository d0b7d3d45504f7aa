package bulk

import "strings"

// alike reports whether a was perhaps meant by b: equal but for case, or one edit apart (two for names of eight and more).
func alike(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b {
		return true
	}
	limit := 1
	if min(len(a), len(b)) >= 8 {
		limit = 2
	}
	return min(len(a), len(b)) > 2 && distance(a, b) <= limit
}

// distance is the number of single-byte edits between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
