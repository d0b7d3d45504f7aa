package importjob

import (
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

// columns is a mapping from columns of the table to fields of the file.
type columns struct{ long field.Section[Column] }

func (t columns) Read(d *field.Checker, v field.Value, into *[]Column) {
	if !d.Is(v, field.MapNode, "a mapping from columns of the table to fields of the file") {
		return
	}
	if len(v.Node.Entries) == 0 {
		d.ProblemAt(v, "give at least one, or remove it", "no column is given")
		return
	}
	if !checkColumnCount(d, v) {
		return
	}
	var out []Column
	for _, e := range v.Node.Entries {
		at := v.Entry(e)
		c := Column{Target: e.Key}
		t.long.Reset(d, &c)
		switch {
		case !checkColumn(d, at, e.Key):
			continue
		case e.Value.Kind == field.MapNode:
			t.long.Read(d, at, &c)
		case e.Value.Kind != field.NullNode || e.Value.Source != "":
			fieldRef{}.Read(d, at, &c)
		}
		out = append(out, c)
	}
	*into = out
}

func (t columns) Meta() field.Meta {
	short, long := fieldRef{}.Meta(), t.long.Meta()
	return field.Meta{
		Words: "mapping from column to field, or to the fields below",
		Schema: map[string]any{
			"type":          []string{"object", "null"},
			"minProperties": 1,
			"additionalProperties": map[string]any{"anyOf": []any{
				short.Schema, long.Schema, map[string]any{"type": "null"},
			}},
		},
		Optional: true,
		Keys:     "COLUMN",
		Fields:   long.Fields,
	}
}

// fieldRef is the name of a field or its number; which of them fits depends on the
// header and is checked with the whole import.
type fieldRef struct{}

func (fieldRef) number() field.Integer[int] { return field.Integer[int]{Min: 1, Max: 10_000} }

func (t fieldRef) Read(d *field.Checker, v field.Value, into *Column) {
	if v.Node.Kind == field.IntNode {
		t.number().Read(d, v, &into.Number)
		return
	}
	s, _, ok := d.Text(v)
	switch {
	case !ok:
	case s == "":
		d.InvalidValue(v, "give the name of a field", "names no field")
	default:
		into.Field = s
	}
}

func (t fieldRef) Meta() field.Meta {
	return field.Meta{
		Words: "name, or number from 1",
		Schema: map[string]any{"anyOf": []any{
			map[string]any{"type": "string", "minLength": 1}, t.number().Meta().Schema,
		}},
	}
}

// setRules is a mapping from columns of the table to what they are set to.
type setRules struct{}

func (setRules) words() field.Choice {
	return field.Choice{"now on " + OnInsert, "now on " + OnChange}
}

func (t setRules) Read(d *field.Checker, v field.Value, into *[]SetRule) {
	if !d.Is(v, field.MapNode, "a mapping from columns to "+t.words()[0]+" or "+t.words()[1]) {
		return
	}
	if !checkColumnCount(d, v) {
		return
	}
	var out []SetRule
	for _, e := range v.Node.Entries {
		at := v.Entry(e)
		var rule string
		t.words().Read(d, at, &rule)
		if !checkColumn(d, at, e.Key) || rule == "" {
			continue
		}
		when := OnInsert
		if rule == t.words()[1] {
			when = OnChange
		}
		out = append(out, SetRule{Column: e.Key, Value: "now", When: when})
	}
	*into = out
}

func (t setRules) Meta() field.Meta {
	return field.Meta{
		Words: "mapping from column to " + t.words().Meta().Words,
		Schema: map[string]any{
			"type":                 []string{"object", "null"},
			"additionalProperties": t.words().Meta().Schema,
		},
		Optional: true,
	}
}

// checkColumnCount reports a mapping with more columns than a table can have.
func checkColumnCount(d *field.Checker, v field.Value) bool {
	const limit = 1600 // PostgreSQL's
	if len(v.Node.Entries) > limit {
		d.ProblemAt(v, "", "has more than the %d columns that a table can have", limit)
		return false
	}
	return true
}

// checkColumn reports a key that cannot be the name of a column.
func checkColumn(d *field.Checker, v field.Value, name string) bool {
	if problem := config.CheckIdentifier(name); problem != "" {
		d.ProblemAt(v, "", "%q %s", field.Shorten(name), problem)
		return false
	}
	return true
}
