package config

import (
	"fmt"
	"os"
	"strings"
)

// decoder collects the problems of one file.
type decoder struct {
	file   string
	opts   decodeOpts
	errors Errors
	root   *node // of the file; nil without

	// bad holds the paths of all problems and of their ancestors. Checks that need
	// several values are left out where one of them is bad already.
	bad map[string]bool
}

// decodeOpts say what stands for the names in a file.
type decodeOpts struct {
	Lookup  func(string) (string, bool) // gives the value of ${NAME}; nil: os.LookupEnv
	Offline bool                        // a name without value and default is left as it stands
}

// newDecoder returns one for the file of that name.
func newDecoder(file string, opts decodeOpts) *decoder {
	if opts.Lookup == nil {
		opts.Lookup = os.LookupEnv
	}
	return &decoder{file: file, opts: opts}
}

// parse reads the text of the file. The node is nil when it is not YAML; see problems.
func (d *decoder) parse(data []byte) value {
	d.root = d.parseTree(data)
	if d.root == nil {
		return value{}
	}
	return value{node: d.root, pos: d.root.pos}
}

// problems are all that were reported, in the order of the file.
func (d *decoder) problems() Errors {
	d.errors.sort()
	return d.errors
}

func (d *decoder) failAt(pos Position, at path, hint, format string, args ...any) {
	if d.bad == nil {
		d.bad = map[string]bool{}
	}
	for i := range at {
		d.bad[at[:i+1].String()] = true
	}
	d.errors = append(d.errors, &Error{
		File: d.file, Line: pos.Line, Column: pos.Column,
		Path: at.String(), Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// fail reports a problem of the place of v.
func (d *decoder) fail(v value, hint, format string, args ...any) {
	d.failAt(v.pos, v.at, hint, format, args...)
}

// refuse reports a problem of the text of the scalar v; the message follows the text.
func (d *decoder) refuse(v value, hint, format string, args ...any) {
	d.fail(v, hint, format, args...)
	e := d.errors[len(d.errors)-1]
	if e.Text = shorten(v.node.source); e.Text == "" {
		e.Message = "an empty text " + e.Message
	}
}

// is reports v unless it is of a list or mapping kind.
func (d *decoder) is(v value, kind nodeKind, want string) bool {
	if v.node.kind == kind {
		return true
	}
	if v.node.scalar() && v.node.source != "" {
		d.refuse(v, "", "is not %s", want)
		return false
	}
	d.fail(v, "", "is %s, not %s", v.node.kind.what(), want)
	return false
}

// scalar returns the text of v for a type that is not text, and whether there is
// one to read.
func (d *decoder) scalar(v value, want string) (string, bool) {
	switch {
	case !v.node.scalar():
		d.fail(v, "", "is %s, not %s", v.node.kind.what(), want)
		return "", false
	case v.node.kind == nullNode:
		d.fail(v, "give "+want+", or remove it", "has no value")
		return "", false
	case v.node.unresolved:
		return "", false
	}
	return v.node.text, true
}

// text returns the text of v for a type that takes any. known is false when the text
// still has names in it that have no value, so that its form cannot be checked.
func (d *decoder) text(v value) (text string, known, ok bool) { return d.anyText(v, false) }

// anyText is text; with secret, no message shows the text.
func (d *decoder) anyText(v value, secret bool) (text string, known, ok bool) {
	switch {
	case !v.node.scalar():
		d.fail(v, "", "is %s, not text", v.node.kind.what())
		return "", false, false
	case v.node.kind == nullNode && v.node.source == "":
		d.fail(v, "give a text, or remove it", "has no value")
		return "", false, false
	case v.node.kind != textNode && !v.node.replaced:
		what := v.node.kind.what()
		if v.node.kind == nullNode {
			what = "the empty value of YAML"
		}
		if secret {
			d.fail(v, "put it in quotes", "is %s, not text", what)
			return "", false, false
		}
		d.refuse(v, fmt.Sprintf("put it in quotes: %q", v.node.source), "is %s, not text", what)
		return "", false, false
	case strings.ContainsRune(v.node.text, 0):
		d.fail(v, "", "holds a NUL character")
		return "", false, false
	}
	return v.node.text, !v.node.unresolved, true
}
