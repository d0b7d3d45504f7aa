package field

import (
	"fmt"
	"strings"
)

// Expansion is a scalar after the replacement of ${NAME} in it.
type Expansion struct {
	Text     string
	Replaced bool     // at least one value came from outside
	Unset    []string // names without value and default; left in text as they are
	Problem  string   // not well-formed; text is then as it was
}

// Expand replaces ${NAME}, ${NAME:-default} and $$ in text. A dollar in front of
// anything else is itself.
func Expand(text string, lookup func(string) (string, bool)) Expansion {
	if !strings.Contains(text, "$") {
		return Expansion{Text: text}
	}
	var e Expansion
	var out strings.Builder
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "$")
		out.WriteString(before)
		switch {
		case !found:
			rest = ""
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			rest = after[1:]
		case strings.HasPrefix(after, "{"):
			body, tail, closed := strings.Cut(after[1:], "}")
			if !closed {
				return Expansion{Text: text, Problem: "${ has no closing brace"}
			}
			name, fallback, hasDefault := strings.Cut(body, ":-")
			if !IsEnvName(name) {
				return Expansion{Text: text, Problem: fmt.Sprintf("${%s} is not ${NAME} or ${NAME:-default}", Shorten(body))}
			}
			value, ok := lookup(name)
			if hasDefault && value == "" {
				value, ok = fallback, true
			}
			if ok {
				e.Replaced = true
			} else {
				e.Unset = append(e.Unset, name)
				value = "${" + name + "}"
			}
			out.WriteString(value)
			rest = tail
		default:
			out.WriteByte('$')
			rest = after
		}
	}
	e.Text = out.String()
	return e
}

func IsEnvName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
