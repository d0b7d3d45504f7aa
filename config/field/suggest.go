package field

import (
	"strings"

	"github.com/tidemill/tidemill/internal/suggest"
)

// Suggest finds the name that was probably meant; "" when none is near.
func Suggest(got string, known []string) string {
	best, fewest := "", 0
	for _, name := range known {
		if edits, near := suggest.Distance(got, name); near && (best == "" || edits < fewest) {
			best, fewest = name, edits
		}
	}
	return best
}

// DidYouMean words a hint from suggest and falls back to the list of known names.
func DidYouMean(got string, known []string) string {
	if s := Suggest(got, known); s != "" {
		return "did you mean " + s + "?"
	}
	return "known here: " + strings.Join(known, ", ")
}
