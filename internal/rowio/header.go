package rowio

import "strings"

// HeaderNames reads the names of the fields out of the first record: without white space at their ends, no-break spaces
// and byte order marks included. A field without a name has "".
func HeaderNames(fields []Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = strings.TrimFunc(string(f.Value), func(r rune) bool { return r == '\ufeff' || r == '\u200b' || isSpace(r) })
	}
	return names
}

func isSpace(r rune) bool { return strings.TrimSpace(string(r)) == "" }

// SimilarName returns the first of the names that differs from name only in case, spaces, underscores or hyphens; "" if
// none does.
func SimilarName(names []string, name string) string {
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(s))
	}
	for _, other := range names {
		if other != "" && fold(other) == fold(name) {
			return other
		}
	}
	return ""
}
