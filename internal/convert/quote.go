package convert

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// value is text in the notation of the configuration, where ${NAME} stands for a variable.
type value string

// literal is the text s itself, whatever dollars it has.
func literal(s string) value {
	var b strings.Builder
	for i, r := range s {
		b.WriteRune(r)
		if r == '$' && (i+1 == len(s) || strings.ContainsAny(s[i+1:i+2], "${")) {
			b.WriteByte('$')
		}
	}
	return value(b.String())
}

// variable is what the environment variable holds or, if fallback is not nil, else that.
func variable(name string, fallback *string) value {
	if fallback == nil {
		return value("${" + name + "}")
	}
	return value("${" + name + ":-" + *fallback + "}")
}

// plainRE is text that is itself without quotes, in a list or mapping, too. What begins with a letter or slash is no number.
var plainRE = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./+@%-]*$`)

// scalar writes v in YAML.
func (v value) scalar() string {
	switch strings.ToLower(string(v)) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return quote(string(v))
	}
	if plainRE.MatchString(string(v)) {
		return string(v)
	}
	return quote(string(v))
}

// quote writes s in double quotes, on one line.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r <= 0xff && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteAll(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quote(string(literal(text)))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// mapping writes fields as {name: value, …}.
func mapping(fields []member) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.name + ": " + f.value
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
