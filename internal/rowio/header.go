package rowio

import (
	"fmt"
	"slices"
	"strings"
)

// Header is the names of the fields of a file.
type Header struct {
	names []string
}

// NewHeader reads the names out of the first record: without white space at
// their ends, no-break spaces and marks included.
func NewHeader(fields []Field) *Header {
	h := &Header{names: make([]string, len(fields))}
	for i, f := range fields {
		h.names[i] = strings.TrimFunc(string(f.Value), func(r rune) bool { return r == '\ufeff' || r == '\u200b' || isSpace(r) })
	}
	return h
}

func isSpace(r rune) bool { return strings.TrimSpace(string(r)) == "" }

// Names are the names in the order of the fields. Those without one are "".
func (h *Header) Names() []string { return slices.Clone(h.names) }

// Index is the field with this name. A name that is not there, or is there twice, is
// an error that says what is; names that nobody asks for may be missing or doubled.
func (h *Header) Index(name string) (int, error) {
	at := slices.Index(h.names, name)
	if name == "" || at < 0 {
		return 0, fmt.Errorf("the file has no field %q%s; its header is: %s", name, h.similar(name), h.list())
	}
	if again := slices.Index(h.names[at+1:], name); again >= 0 {
		return 0, fmt.Errorf("the file's header has the name %q twice, for the fields %d and %d; rename one of them", name, at+1, at+again+2)
	}
	return at, nil
}

// Check is an error when the header has a field without a name, or a name
// twice: when all fields are to be used by their names.
func (h *Header) Check() error {
	for i, name := range h.names {
		if name == "" {
			return fmt.Errorf("field %d of the file's header has no name; name it, or list the columns to import; the header is: %s", i+1, h.list())
		}
		if _, err := h.Index(name); err != nil {
			return err
		}
	}
	return nil
}

// similar suggests a name that differs only in case or space.
func (h *Header) similar(name string) string {
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(s))
	}
	for _, other := range h.names {
		if other != "" && fold(other) == fold(name) {
			return fmt.Sprintf(" (but %q)", other)
		}
	}
	return ""
}

// list is the names without flooding the screen when it is no header at all.
func (h *Header) list() string {
	text := strings.ToValidUTF8(strings.Join(h.names, ", "), "\uFFFD")
	if runes := []rune(text); len(runes) > 200 {
		return string(runes[:200]) + "…"
	}
	return text
}
