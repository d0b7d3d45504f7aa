package valuefmt

import (
	"errors"
	"fmt"
)

// Problem is what is wrong with a format.
type Problem struct {
	// Path leads to the field: type, decimal, grouping, element, separator, true_if, false_if, layout (of Layouts) or
	// timezone (of Location); below element once more.
	Path    []string
	Value   string // that is wrong; empty if it is missing, or too much
	Message string // what is wrong, as words that follow the value, or else the field
	Hint    string // what to do; may be empty
}

func (p *Problem) Error() string {
	text := ""
	for _, name := range p.Path {
		text += name + ": "
	}
	if p.Value != "" {
		text += fmt.Sprintf("%q ", p.Value)
	}
	text += p.Message
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text
}

func problem(field, value, message, hint string) *Problem {
	return &Problem{Path: []string{field}, Value: value, Message: message, Hint: hint}
}

// within is a problem of a format inside of the field.
func within(field string, err error) error {
	var p *Problem
	if !errors.As(err, &p) {
		return err
	}
	return &Problem{Path: append([]string{field}, p.Path...), Value: p.Value, Message: p.Message, Hint: p.Hint}
}
