package field

import (
	"fmt"
	"os"
	"strings"
)

// Checker collects the problems of one file.
type Checker struct {
	file   string
	Opts   Opts
	Errors Errors
	root   *Node // of the file; nil without

	// bad holds the paths of all problems and of their ancestors. Checks that need
	// several values are left out where one of them is bad already.
	bad map[string]bool
}

// Opts say what stands for the names in a file.
type Opts struct {
	Lookup  func(string) (string, bool) // gives the value of ${NAME}; nil: os.LookupEnv
	Offline bool                        // a name without value and default is left as it is
}

// New returns one for the file of that name.
func New(file string, opts Opts) *Checker {
	if opts.Lookup == nil {
		opts.Lookup = os.LookupEnv
	}
	return &Checker{file: file, Opts: opts}
}

// Parse reads the text of the file. The node is nil when it is not YAML; see problems.
func (d *Checker) Parse(data []byte) Value {
	d.root = d.ParseTree(data)
	if d.root == nil {
		return Value{}
	}
	return Value{Node: d.root, Pos: d.root.pos}
}

// Problems are all that were reported, in the order of the file.
func (d *Checker) Problems() Errors {
	d.Errors.sort()
	return d.Errors
}

func (d *Checker) report(pos Position, at Path, hint, format string, args ...any) {
	if d.bad == nil {
		d.bad = map[string]bool{}
	}
	for i := range at {
		d.bad[at[:i+1].String()] = true
	}
	d.Errors = append(d.Errors, &Error{
		File: d.file, Line: pos.Line, Column: pos.Column,
		Path: at.String(), Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// ProblemAt reports a problem of the place of v.
func (d *Checker) ProblemAt(v Value, hint, format string, args ...any) {
	d.report(v.Pos, v.at, hint, format, args...)
}

// InvalidValue reports a problem of the text of the scalar v; the message follows the text.
func (d *Checker) InvalidValue(v Value, hint, format string, args ...any) {
	d.ProblemAt(v, hint, format, args...)
	e := d.Errors[len(d.Errors)-1]
	if e.Text = Shorten(v.Node.Source); e.Text == "" {
		e.Message = "an empty text " + e.Message
	}
}

// Is reports v unless it is of a list or mapping kind.
func (d *Checker) Is(v Value, kind NodeKind, want string) bool {
	if v.Node.Kind == kind {
		return true
	}
	if v.Node.Scalar() && v.Node.Source != "" {
		d.InvalidValue(v, "", "is not %s", want)
		return false
	}
	d.ProblemAt(v, "", "is %s, not %s", v.Node.Kind.What(), want)
	return false
}

// Scalar returns the text of v for a type that is not text, and whether there is
// one to read.
func (d *Checker) Scalar(v Value, want string) (string, bool) {
	switch {
	case !v.Node.Scalar():
		d.ProblemAt(v, "", "is %s, not %s", v.Node.Kind.What(), want)
		return "", false
	case v.Node.Kind == NullNode:
		d.ProblemAt(v, "give "+want+", or remove it", "has no value")
		return "", false
	case v.Node.unresolved:
		return "", false
	}
	return v.Node.Text, true
}

// Text returns the text of v for a type that takes any. known is false when the text
// still has names in it that have no value, so that its form cannot be checked.
func (d *Checker) Text(v Value) (text string, known, ok bool) { return d.anyText(v, false) }

// anyText is text; with secret, no message shows the text.
func (d *Checker) anyText(v Value, secret bool) (text string, known, ok bool) {
	switch {
	case !v.Node.Scalar():
		d.ProblemAt(v, "", "is %s, not text", v.Node.Kind.What())
		return "", false, false
	case v.Node.Kind == NullNode && v.Node.Source == "":
		d.ProblemAt(v, "give a text, or remove it", "has no value")
		return "", false, false
	case v.Node.Kind != TextNode && !v.Node.Replaced:
		what := v.Node.Kind.What()
		if v.Node.Kind == NullNode {
			what = "the empty value of YAML"
		}
		if secret {
			d.ProblemAt(v, "put it in quotes", "is %s, not text", what)
			return "", false, false
		}
		d.InvalidValue(v, fmt.Sprintf("put it in quotes: %q", v.Node.Source), "is %s, not text", what)
		return "", false, false
	case strings.ContainsRune(v.Node.Text, 0):
		d.ProblemAt(v, "", "holds a NUL character")
		return "", false, false
	}
	return v.Node.Text, !v.Node.unresolved, true
}
