package rowio

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the stack that a line of brackets can ask for.
const maxDepth = 1000

// jsonError is what is wrong with a text and where in it.
type jsonError struct {
	at      int
	message string
}

// jsonString is where a string lies, quotes included.
type jsonString struct {
	from, to int
	escaped  bool
}

func (s jsonString) inner(raw []byte) []byte { return raw[s.from+1 : s.to-1 : s.to-1] }

func skipSpace(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\r' || raw[i] == '\n') {
		i++
	}
	return i
}

// describe names what is at raw[i].
func describe(raw []byte, i int) string {
	if i >= len(raw) {
		return "the line ends"
	}
	r, _ := utf8.DecodeRune(raw[i:])
	return fmt.Sprintf("%q", r)
}

func expected(raw []byte, i int, what string) *jsonError {
	return &jsonError{i, fmt.Sprintf("%s where %s is expected", describe(raw, i), what)}
}

// members checks the object at raw[i], which is its brace, and calls each with the
// name and the place of the value of every member.
func members(raw []byte, i, depth int, each func(key jsonString, value, end int) *jsonError) (end int, err *jsonError) {
	i = skipSpace(raw, i+1)
	if i < len(raw) && raw[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(raw) || raw[i] != '"' {
			return i, expected(raw, i, `a name in "`)
		}
		key, err := scanJSONString(raw, i)
		if err != nil {
			return i, err
		}
		if i = skipSpace(raw, key.to); i >= len(raw) || raw[i] != ':' {
			return i, expected(raw, i, "a colon")
		}
		value := skipSpace(raw, i+1)
		if i, err = scanJSONValue(raw, value, depth+1); err != nil {
			return i, err
		}
		if err = each(key, value, i); err != nil {
			return i, err
		}
		i = skipSpace(raw, i)
		switch {
		case i < len(raw) && raw[i] == '}':
			return i + 1, nil
		case i < len(raw) && raw[i] == ',':
			i = skipSpace(raw, i+1)
		default:
			return i, expected(raw, i, "a comma or }")
		}
	}
}

// elements checks the array at raw[i].
func elements(raw []byte, i, depth int) (end int, err *jsonError) {
	i = skipSpace(raw, i+1)
	if i < len(raw) && raw[i] == ']' {
		return i + 1, nil
	}
	for {
		if i, err = scanJSONValue(raw, i, depth+1); err != nil {
			return i, err
		}
		i = skipSpace(raw, i)
		switch {
		case i < len(raw) && raw[i] == ']':
			return i + 1, nil
		case i < len(raw) && raw[i] == ',':
			i = skipSpace(raw, i+1)
		default:
			return i, expected(raw, i, "a comma or ]")
		}
	}
}

// scanJSONValue checks the value at raw[i] and returns the place after it.
func scanJSONValue(raw []byte, i, depth int) (end int, err *jsonError) {
	if depth > maxDepth {
		return i, &jsonError{i, fmt.Sprintf("arrays and objects are nested deeper than %d", maxDepth)}
	}
	if i >= len(raw) {
		return i, expected(raw, i, "a value")
	}
	switch b := raw[i]; {
	case b == '"':
		s, err := scanJSONString(raw, i)
		return s.to, err
	case b == '{':
		return members(raw, i, depth, func(jsonString, int, int) *jsonError { return nil })
	case b == '[':
		return elements(raw, i, depth)
	case b == '-' || b >= '0' && b <= '9':
		return scanJSONNumber(raw, i)
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(raw[i:], []byte(word)) {
			return i + len(word), nil
		}
	}
	return i, expected(raw, i, "a value")
}

func scanJSONNumber(raw []byte, i int) (end int, err *jsonError) {
	digits := func() bool {
		from := i
		for i < len(raw) && raw[i] >= '0' && raw[i] <= '9' {
			i++
		}
		return i > from
	}
	if raw[i] == '-' {
		i++
	}
	if i < len(raw) && raw[i] == '0' {
		i++
	} else if !digits() {
		return i, expected(raw, i, "a digit")
	}
	if i < len(raw) && raw[i] == '.' {
		i++
		if !digits() {
			return i, expected(raw, i, "a digit")
		}
	}
	if i < len(raw) && raw[i]|0x20 == 'e' {
		i++
		if i < len(raw) && (raw[i] == '+' || raw[i] == '-') {
			i++
		}
		if !digits() {
			return i, expected(raw, i, "a digit")
		}
	}
	return i, nil
}

// scanJSONString checks the string at raw[i], which is its quote.
func scanJSONString(raw []byte, i int) (jsonString, *jsonError) {
	s := jsonString{from: i}
	for i++; i < len(raw); i++ {
		switch b := raw[i]; {
		case b == '"':
			s.to = i + 1
			return s, nil
		case b < ' ':
			return s, &jsonError{i, fmt.Sprintf("the control character 0x%02X in a string; write it as \\u%04x", b, b)}
		case b != '\\':
			continue
		}
		s.escaped = true
		n, ok := escape(raw[i:])
		if !ok {
			return s, &jsonError{i, "a backslash that begins no escape, or half of a character; double it if it belongs to the text"}
		}
		i += n - 1
	}
	return s, &jsonError{s.from, "the string that begins here is never closed"}
}

// escape is the length of the escape that b begins with. Halves of characters
// beyond the basic plane must come in pairs: alone they are no text.
func escape(b []byte) (n int, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	if b[1] != 'u' {
		return 2, bytes.IndexByte([]byte(`"\/bfnrt`), b[1]) >= 0
	}
	r, ok := hex4(b)
	if !ok || !utf16.IsSurrogate(r) {
		return 6, ok
	}
	low, ok := hex4(b[6:])
	return 12, ok && utf16.DecodeRune(r, low) != utf8.RuneError
}

// hex4 reads \uXXXX.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// appendUnescaped appends the text of a checked string without its quotes.
func appendUnescaped(dst, inner []byte) []byte {
	for {
		i := bytes.IndexByte(inner, '\\')
		if i < 0 {
			return append(dst, inner...)
		}
		dst = append(dst, inner[:i]...)
		inner = inner[i:]
		n, _ := escape(inner)
		switch inner[1] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(inner)
			if n == 12 {
				low, _ := hex4(inner[6:])
				r = utf16.DecodeRune(r, low)
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, inner[1])
		}
		inner = inner[n:]
	}
}
