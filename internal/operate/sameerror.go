package operate

import (
	"regexp"
	"strings"
)

// sameError reduces an error to what it has in common with others of its sort: its first line, with quoted values,
// identifiers and numbers replaced by placeholders. Digits that belong to a word, as in utf8, stay.
func sameError(text string) string {
	text = firstLine(text)
	text = quoted.ReplaceAllString(text, `$1"…"`)
	text = uuid.ReplaceAllString(text, "ID")
	text = hex.ReplaceAllStringFunc(text, func(word string) string {
		if strings.ContainsAny(word, "0123456789") {
			return "ID"
		}
		return word // a word such as defaced
	})
	text = number.ReplaceAllString(text, "${1}N")
	return text
}

var (
	// An apostrophe opens a quotation only where no word continues.
	quoted = regexp.MustCompile("(^|[^\\pL\\pN])(?:\"(?:[^\"\\\\]|\\\\.)*\"|'[^']*'|`[^`]*`|“[^”]*”)")
	uuid   = regexp.MustCompile(`\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b`)
	hex    = regexp.MustCompile(`\b(?:0x[0-9a-fA-F]+|[0-9a-f]{8,}|[0-9A-F]{8,})\b`)
	number = regexp.MustCompile(`(^|[^\pL\pN])\pN+(?:[.,]\pN+)*`)
)
