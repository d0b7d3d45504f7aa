package field

// Problem reports a problem of the value at at, or of its parent where the file does
// not have it.
func (d *Checker) Problem(at Path, hint, format string, args ...any) {
	_, pos, _ := Locate(d.root, at)
	d.report(pos, at, hint, format, args...)
}

// TextProblem is Problem with the text at fault, which the message follows.
func (d *Checker) TextProblem(at Path, text, hint, format string, args ...any) {
	d.Problem(at, hint, format, args...)
	d.Errors[len(d.Errors)-1].Text = Shorten(text)
}

// SourceText is the text at at, or at its parent in a short form, as the file has it: what
// came from outside may be secret. text is for a value that the file does not have.
func (d *Checker) SourceText(at Path, text string) string {
	if n, _, _ := Locate(d.root, at); n != nil && n.Source != "" {
		text = n.Source
	}
	return Shorten(text)
}

// Checkable reports whether the values below parent are free of problems, and known.
func (d *Checker) Checkable(parent Path, names ...string) bool {
	for _, name := range names {
		at := parent.Join(name)
		if d.bad[at.String()] {
			return false
		}
		if n, _, found := Locate(d.root, at); found && n.HasUnresolved() {
			return false
		}
	}
	return true
}

// Given reports whether the file has a value at at.
func (d *Checker) Given(at Path) bool {
	_, _, found := Locate(d.root, at)
	return found
}

// At is the value at at, false if the file does not have it.
func (d *Checker) At(at Path) (Value, bool) {
	n, pos, found := Locate(d.root, at)
	return Value{Node: n, at: at, Pos: pos}, found
}
