package valuefmt

import (
	"bytes"
	"fmt"
	"slices"
)

// State is what a record has for a field.
type State uint8

// The states.
const (
	Present State = iota // a value, perhaps of no length
	Empty                // nothing between two delimiters
	Null                 // null, said so
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
	keepEmpty bool // a value of no length is one
}

// Compile checks the rule. Its errors name the field that is wrong.
func (r Rule) Compile() (*Column, error) {
	converter, err := r.Format.Compile()
	if err != nil {
		return nil, fmt.Errorf("format: %w", err)
	}
	c := &Column{rule: r, converter: converter}
	c.keepEmpty = r.Format.Type == "" || r.Format.Type == Text || slices.Contains(r.Format.True, "") || slices.Contains(r.Format.False, "")
	for _, text := range r.NullIf {
		c.nullIf = append(c.nullIf, []byte(text))
	}
	return c, nil
}

// Append appends what PostgreSQL is to read for a field to dst. null says that
// it is NULL, and nothing was appended. A quoted field of no length is a value of a
// text column only: in files that quote everything, it is how others are left empty.
func (c *Column) Append(dst, value []byte, state State) (out []byte, null bool, err error) {
	if state == Null {
		return dst, true, nil
	}
	if c.rule.Trim {
		value = bytes.TrimSpace(value)
	}
	empty := state != Present || len(value) == 0 && !c.keepEmpty
	if empty = empty || slices.ContainsFunc(c.nullIf, func(text []byte) bool { return bytes.Equal(text, value) }); empty {
		if c.rule.Default == nil {
			return dst, true, nil
		}
		return append(dst, *c.rule.Default...), false, nil
	}
	out, err = c.converter.Append(dst, value)
	return out, false, err
}
