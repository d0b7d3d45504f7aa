package importjob

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/valuefmt"
)

// ValueFormat is how the values of a column are written in the file. What does not belong to the type is zero; the zero
// ValueFormat leaves them as they are.
type ValueFormat struct {
	Type      string       `json:",omitempty"` // empty: text, as PostgreSQL reads it
	Decimal   string       `json:",omitempty"` // of a number; empty: a point
	Grouping  string       `json:",omitempty"` // of a number, between three digits; empty: none
	Layouts   []string     `json:",omitempty"` // of a date, time or timestamp; empty: iso
	Timezone  string       `json:",omitempty"` // of a timestamp without offset; empty: it stays without
	TrueIf    []string     `json:",omitempty"` // of a boolean; empty: as in PostgreSQL
	FalseIf   []string     `json:",omitempty"`
	Separator string       `json:",omitempty"` // of an array; empty: it is a JSON array
	Element   *ValueFormat `json:",omitempty"` // of an array; nil: texts
}

// formatFields are what a column and the elements of an array have in common.
func formatFields[T any](target func(*T) *ValueFormat, types field.Choice) field.Table[T] {
	return field.Table[T]{
		field.Row("type", types, "", "What the values are, where they are not written as PostgreSQL reads them: the fields below say how. In NDJSON, numbers, `true` and `false` are taken as JSON has them, and the fields are for what is written as a string; a member for `json` is taken whole, a string too.",
			func(t *T) *string { return &target(t).Type }).Inherit("`text`: values are passed as they are, into a column of any type"),
		field.Row("decimal", field.Text{Words: "one character"}, "", "Of `number`: what separates the fraction.",
			func(t *T) *string { return &target(t).Decimal }).Inherit("`.`"),
		field.Row("grouping", field.Text{Words: "one character"}, "", "Of `number`: what may be between groups of three digits; a space stands for every kind of space.",
			func(t *T) *string { return &target(t).Grouping }),
		field.Row("layout", field.TextOrTexts{Words: "layout, or list of layouts"}, "", layoutDoc,
			func(t *T) *[]string { return &target(t).Layouts }).Inherit("`iso`"),
		field.Row("timezone", field.Text{Words: "IANA name", Check: config.CheckTimezone}, "", "Of `timestamp`: the zone of times without an offset. A time that was skipped there is rejected; one that came twice is the first.",
			func(t *T) *string { return &target(t).Timezone }).Inherit("none: it goes to PostgreSQL without an offset, which reads it as UTC where the column has one"),
		field.Row("true_if", field.TextOrTexts{Words: "text, or list of texts"}, "", "Of `boolean`: the texts that are true, in any case.",
			func(t *T) *[]string { return &target(t).TrueIf }).Inherit("`true`, `t`, `yes`, `y`, `on`, `1`"),
		field.Row("false_if", field.TextOrTexts{Words: "text, or list of texts"}, "", "Of `boolean`: the texts that are false, in any case.",
			func(t *T) *[]string { return &target(t).FalseIf }).Inherit("`false`, `f`, `no`, `n`, `off`, `0`"),
	}
}

const layoutDoc = "Of `date`, `time` and `timestamp`: how they are written, such as `dd.MM.yyyy HH:mm`; of several the first that fits. " +
	"`yyyy`, or `yy` (69 to 99 are 1969 to 1999); `MM`, `M` (1 or 01), `MMM` (Jan) or `MMMM` (January); `dd` or `d`; `HH` or `H`, or `hh` or `h` with `a` (AM or PM); " +
	"`mm` or `m`; `ss` or `s`; `S` (fraction of a second); `XXX` (offset: Z, +09:00, +0900 or +09). Letters that are to stand for themselves are in `'…'`. " +
	"Names for a whole layout: `iso`, `unix` and `unix_ms` (since 1970), `excel` (days since 1899-12-30)."

func valueTypes() field.Choice {
	return field.Choice{"text", "array", "boolean", "date", "json", "number", "time", "timestamp"}
}

// arrayFields are those of formatFields that only an array has.
func arrayFields() field.Table[Column] {
	return field.Table[Column]{
		field.Row("separator", field.Text{Words: "text"}, "", "Of `array`: what is between the elements. Space around them does not count; an empty one is NULL unless it is a text.",
			func(c *Column) *string { return &c.Separator }).Inherit("none: the value is a JSON array"),
		field.Row("element", element{field.Section[ValueFormat]{Fields: elementFields()}}, "", "Of `array`: how the elements are written.",
			func(c *Column) **ValueFormat { return &c.Element }).Inherit("texts"),
	}
}

func elementFields() field.Table[ValueFormat] {
	types := slices.DeleteFunc(valueTypes(), func(t string) bool { return t == string(valuefmt.Array) })
	return formatFields(func(f *ValueFormat) *ValueFormat { return f }, types)
}

// element is a section that need not be there.
type element struct{ field.Section[ValueFormat] }

func (e element) Read(d *field.Checker, v field.Value, into **ValueFormat) {
	out := &ValueFormat{}
	e.Section.Read(d, v, out)
	*into = out
}

func (element) Reset(*field.Checker, **ValueFormat) {}

// literal is a text, number or truth value, kept as it is written.
type literal struct{}

func (literal) Read(d *field.Checker, v field.Value, into **string) {
	if s, ok := d.Scalar(v, "a value"); ok {
		*into = &s
	}
}

func (literal) Meta() field.Meta {
	return field.Meta{Words: "text, number, `true` or `false`", Schema: map[string]any{"type": []string{"string", "number", "boolean"}}}
}

// Compile returns what turns values of the column into those that PostgreSQL reads. A configuration that was loaded
// has only columns that can be compiled.
func (c Column) Compile() (*valuefmt.Column, error) {
	format, err := c.ValueFormat.compile()
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", c.Target, err)
	}
	column, err := valuefmt.Rule{Default: c.Default, Format: format, NullIf: c.NullIf, Trim: c.Trim}.Compile()
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", c.Target, err)
	}
	return column, nil
}

func (f ValueFormat) compile() (valuefmt.Format, error) {
	out := valuefmt.Format{
		Type: valuefmt.Type(f.Type), Decimal: f.Decimal, Grouping: f.Grouping, Layouts: f.Layouts,
		True: f.TrueIf, False: f.FalseIf, Separator: f.Separator,
	}
	if f.Timezone != "" {
		location, err := time.LoadLocation(f.Timezone)
		if err != nil {
			return out, fmt.Errorf("timezone: %w", err)
		}
		out.Location = location
	}
	if f.Element != nil {
		element, err := f.Element.compile()
		if err != nil {
			return out, fmt.Errorf("element: %w", err)
		}
		out.Element = &element
	}
	return out, nil
}

// checkValues looks at how the values of the columns are written.
func (i *Config) checkValues(d *config.Checker, at field.Path) {
	for n := range i.Columns {
		c := &i.Columns[n]
		if c.Type == string(valuefmt.Text) {
			c.Type = "" // so that it makes no difference to the hash
		}
		column := at.Join("columns")
		if !d.Checkable(column, c.Target) {
			continue
		}
		column = column.Join(c.Target)
		var p *valuefmt.Problem
		switch _, err := c.Compile(); {
		case errors.As(err, &p):
			formatProblem(d, p, column)
		case err != nil:
			d.Problem(column, "", "%s", err)
		default:
			checkDefault(d, c, column)
		}
	}
}

// formatProblem reports a problem of a format; what came from outside is not shown.
func formatProblem(d *config.Checker, p *valuefmt.Problem, at field.Path) {
	at = at.Join(p.Path...)
	v, given := d.At(at)
	n := v.Node
	if given && n.Kind == field.ListNode {
		for i, item := range n.Items {
			if item.Text == p.Value {
				n, at = item, at.Join(field.Index(i))
				break
			}
		}
	}
	if given && n.Replaced && p.Value != "" {
		d.Problem(at, p.Hint, "%q does not fit", field.Shorten(n.Source))
		return
	}
	d.TextProblem(at, p.Value, p.Hint, "%s", p.Message)
}

// checkDefault refuses a default that no row could be written with. Of times, PostgreSQL knows more than we do.
func checkDefault(d *config.Checker, c *Column, at field.Path) {
	if c.Default == nil || c.Type != string(valuefmt.Number) && c.Type != string(valuefmt.Boolean) && c.Type != string(valuefmt.JSON) {
		return
	}
	plain, err := valuefmt.Format{Type: valuefmt.Type(c.Type)}.Compile()
	if err != nil { // the type alone always compiles
		return
	}
	if _, err := plain.Append(nil, []byte(*c.Default)); err != nil {
		d.Problem(at.Join("default"), "write it as PostgreSQL reads it", "%q is no %s", d.SourceText(at.Join("default"), *c.Default), c.Type)
	}
}
