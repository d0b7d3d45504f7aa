package config

// problem reports a problem of the value at at, or of its parent where the file does
// not have it.
func (d *decoder) problem(at path, hint, format string, args ...any) {
	_, pos, _ := locate(d.root, at)
	d.failAt(pos, at, hint, format, args...)
}

// shown is the text at at, or at its parent in a short form, as the file has it: what
// came from outside may be secret. text is for a value that the file does not have.
func (d *decoder) shown(at path, text string) string {
	if n, _, _ := locate(d.root, at); n != nil && n.source != "" {
		text = n.source
	}
	return shorten(text)
}

// sure tells whether the values below parent are free of problems, and known.
func (d *decoder) sure(parent path, names ...string) bool {
	for _, name := range names {
		at := parent.join(name)
		if d.bad[at.String()] {
			return false
		}
		if n, _, found := locate(d.root, at); found && n.hasUnresolved() {
			return false
		}
	}
	return true
}

// given reports whether the file has a value at at.
func (d *decoder) given(at path) bool {
	_, _, found := locate(d.root, at)
	return found
}

// at is the value at at, false if the file does not have it.
func (d *decoder) valueAt(at path) (value, bool) {
	n, pos, found := locate(d.root, at)
	return value{node: n, at: at, pos: pos}, found
}
