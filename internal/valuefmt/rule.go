package valuefmt

import (
	"bytes"
	"slices"
)

// State is how a record has a field.
type State uint8

// The states.
const (
	Bare    State = iota // a text without quotes; one of no length is an empty field
	Quoted               // a text in quotes, perhaps of no length
	String               // a string of JSON, its quotes and escapes resolved
	Value                // a number, true, false, an array or an object of JSON, as it is there
	Null                 // null of JSON
	Missing              // the record does not have the field
)

// Rule is all that happens to the values of a column on their way.
type Rule struct {
	// Default stands for values that are empty or missing, as PostgreSQL reads it;
	// nil: they are NULL. A null that the file says stays NULL.
	Default *string

	// Format is how values are written.
	Format Format

	// NullIf are the texts that stand for an empty value, after trimming.
	NullIf []string

	// Trim takes white space off both ends before anything else.
	Trim bool
}

// Column applies a [Rule]. It is safe for concurrent use.
type Column struct {
	rule      Rule
	converter *Converter
	nullIf    [][]byte
	keepEmpty bool // a text of no length in quotes is a value
}

// Compile checks the rule. Its error is a [*Problem].
func (r Rule) Compile() (*Column, error) {
	converter, err := r.Format.Compile()
	if err != nil {
		return nil, err
	}
	c := &Column{rule: r, converter: converter}
	c.keepEmpty = r.Format.Type == "" || r.Format.Type == Text || slices.Contains(r.Format.True, "") || slices.Contains(r.Format.False, "")
	for _, text := range r.NullIf {
		c.nullIf = append(c.nullIf, []byte(text))
	}
	return c, nil
}

// Code is the SQLSTATE that PostgreSQL has for values like those that Append refuses.
func (c *Column) Code() string { return c.rule.Format.code() }

// Outcome says what became of a value besides its conversion.
type Outcome struct {
	Null    bool // it is NULL
	Trimmed bool // white space was taken off
	NullIf  bool // it was written, and stands for an empty value
	Default bool // it was empty, and the default took its place
}

// Append appends what PostgreSQL is to read for a field to dst; nothing for NULL.
// A quoted field of no length is a value of a text column only: in files that quote
// everything, it is how others are left empty.
func (c *Column) Append(dst, value []byte, state State) (out []byte, o Outcome, err error) {
	if state == Null {
		return dst, Outcome{Null: true}, nil
	}
	if c.rule.Trim && state != Value {
		written := len(value)
		value = bytes.TrimSpace(value)
		o.Trimmed = len(value) < written
	}
	if c.empty(value, state) {
		o.NullIf = len(value) > 0
		if c.rule.Default == nil {
			o.Null = true
			return dst, o, nil
		}
		o.Default = true
		return append(dst, *c.rule.Default...), o, nil
	}
	switch state {
	case String:
		out, err = c.converter.appendString(dst, value)
	case Value:
		out, err = c.converter.appendValue(dst, value)
	default:
		out, err = c.converter.Append(dst, value)
	}
	return out, o, err
}

func (c *Column) empty(value []byte, state State) bool {
	switch {
	case state == Missing:
		return true
	case len(value) > 0:
	case state == Bare:
		return true
	case state == String && c.rule.Format.Type == JSON: // "" is a value of JSON
	case !c.keepEmpty:
		return true
	}
	return slices.ContainsFunc(c.nullIf, func(text []byte) bool { return bytes.Equal(text, value) })
}
