package config

// columns is a mapping from columns of the table to fields of the file.
type columns struct{ long section[Column] }

func (t columns) read(d *decoder, v value, into *[]Column) {
	if !d.is(v, mapNode, "a mapping from columns of the table to fields of the file") {
		return
	}
	if len(v.node.entries) == 0 {
		d.fail(v, "give at least one, or remove it", "no column is given")
		return
	}
	if !checkColumnCount(d, v) {
		return
	}
	var out []Column
	for _, e := range v.node.entries {
		at := v.entry(e)
		c := Column{Target: e.key}
		t.long.reset(d, &c)
		switch {
		case !checkColumn(d, at, e.key):
			continue
		case e.value.kind == mapNode:
			t.long.read(d, at, &c)
		case e.value.kind != nullNode || e.value.source != "":
			fieldRef{}.read(d, at, &c)
		}
		out = append(out, c)
	}
	*into = out
}

func (t columns) shape() shape {
	short, long := fieldRef{}.shape(), t.long.shape()
	return shape{
		words: "mapping from column to field, or to the fields below",
		schema: map[string]any{
			"type":          []string{"object", "null"},
			"minProperties": 1,
			"additionalProperties": map[string]any{"anyOf": []any{
				short.schema, long.schema, map[string]any{"type": "null"},
			}},
		},
		optional: true,
		keys:     "COLUMN",
		fields:   long.fields,
	}
}

// fieldRef is the name of a field or its number; which of them fits depends on the
// header and is checked with the whole import.
type fieldRef struct{}

func (fieldRef) number() integer[int] { return integer[int]{1, 10_000} }

func (t fieldRef) read(d *decoder, v value, into *Column) {
	if v.node.kind == intNode {
		t.number().read(d, v, &into.Number)
		return
	}
	s, _, ok := d.text(v)
	switch {
	case !ok:
	case s == "":
		d.refuse(v, "give the name of a field", "names no field")
	default:
		into.Field = s
	}
}

func (t fieldRef) shape() shape {
	return shape{
		words: "name, or number from 1",
		schema: map[string]any{"anyOf": []any{
			map[string]any{"type": "string", "minLength": 1}, t.number().shape().schema,
		}},
	}
}

// setRules is a mapping from columns of the table to what they are set to.
type setRules struct{}

func (setRules) words() choice {
	return choice{"now on " + OnInsert, "now on " + OnChange}
}

func (t setRules) read(d *decoder, v value, into *[]SetRule) {
	if !d.is(v, mapNode, "a mapping from columns to "+t.words()[0]+" or "+t.words()[1]) {
		return
	}
	if !checkColumnCount(d, v) {
		return
	}
	var out []SetRule
	for _, e := range v.node.entries {
		at := v.entry(e)
		var rule string
		t.words().read(d, at, &rule)
		if !checkColumn(d, at, e.key) || rule == "" {
			continue
		}
		when := OnInsert
		if rule == t.words()[1] {
			when = OnChange
		}
		out = append(out, SetRule{Column: e.key, Value: "now", When: when})
	}
	*into = out
}

func (t setRules) shape() shape {
	return shape{
		words: "mapping from column to " + t.words().shape().words,
		schema: map[string]any{
			"type":                 []string{"object", "null"},
			"additionalProperties": t.words().shape().schema,
		},
		optional: true,
	}
}

// checkColumnCount reports a mapping with more columns than a table can have.
func checkColumnCount(d *decoder, v value) bool {
	const limit = 1600 // PostgreSQL's
	if len(v.node.entries) > limit {
		d.fail(v, "", "has more than the %d columns that a table can have", limit)
		return false
	}
	return true
}

// checkColumn reports a key that cannot be the name of a column.
func checkColumn(d *decoder, v value, name string) bool {
	if problem := identProblem(name); problem != "" {
		d.fail(v, "", "%q %s", shorten(name), problem)
		return false
	}
	return true
}
