package field

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in the file. Line and Column count from 1, Column in
// characters. The zero Position means that the place is not in a file.
type Position struct {
	Line, Column int
}

// Error is one problem of a configuration.
type Error struct {
	File         string // as given to Load or Parse; empty without a file
	Line, Column int    // from 1; 0 when the problem has no place in the file
	Path         string // where in the structure: jobs.import-users.match[0]; empty for the whole file
	Text         string // the offending value as the file has it, shortened; empty where it would not help or is secret
	Message      string // what is wrong; together with Text it reads as one sentence
	Hint         string // what to do; may be empty
}

// Error gives the problem on one line:
//
//	tidemill.yaml:12:5: jobs.a.on_conflict: "skp" is not one of skip, update, error (did you mean skip?)
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		b.WriteByte(':')
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", e.Line, e.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	if e.Text != "" {
		fmt.Fprintf(&b, "%q ", e.Text)
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	return b.String()
}

// Errors are all problems found in one configuration, in the order of the file.
type Errors []*Error

// Error gives one problem a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the single problems.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Path leads from the root to a value. Names are elements as they are, the
// item i of a list is "[i]", counted from 0.
type Path []string

func (p Path) String() string {
	var b strings.Builder
	for _, name := range p {
		switch {
		case strings.HasPrefix(name, "["):
			b.WriteString(name)
			continue
		case b.Len() > 0:
			b.WriteByte('.')
		}
		if name == "" || strings.ContainsAny(name, ". \n\t\"[]:") {
			name = fmt.Sprintf("%q", name)
		}
		b.WriteString(name)
	}
	return b.String()
}

// Join copies, because several children extend the same parent.
func (p Path) Join(names ...string) Path { return slices.Concat(p, names) }

func Index(i int) string { return fmt.Sprintf("[%d]", i) }

const maxShown = 60 // characters of an offending value in a message

func Shorten(s string) string {
	if r := []rune(s); len(r) > maxShown {
		return string(r[:maxShown-1]) + "…"
	}
	return s
}
