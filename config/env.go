package config

import (
	"fmt"
	"strings"
)

// expansion is a scalar after the replacement of ${NAME} in it.
type expansion struct {
	text     string
	replaced bool     // at least one value came from outside
	unset    []string // names without value and default; left in text as they stand
	problem  string   // not well-formed; text is then as it was
}

// expand replaces ${NAME}, ${NAME:-default} and $$ in text. A dollar in front of
// anything else is itself.
func expand(text string, lookup func(string) (string, bool)) expansion {
	if !strings.Contains(text, "$") {
		return expansion{text: text}
	}
	var e expansion
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
				return expansion{text: text, problem: "${ has no closing brace"}
			}
			name, fallback, hasDefault := strings.Cut(body, ":-")
			if !isEnvName(name) {
				return expansion{text: text, problem: fmt.Sprintf("${%s} is not ${NAME} or ${NAME:-default}", shorten(body))}
			}
			value, ok := lookup(name)
			if hasDefault && value == "" {
				value, ok = fallback, true
			}
			if ok {
				e.replaced = true
			} else {
				e.unset = append(e.unset, name)
				value = "${" + name + "}"
			}
			out.WriteString(value)
			rest = tail
		default:
			out.WriteByte('$')
			rest = after
		}
	}
	e.text = out.String()
	return e
}

func isEnvName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
