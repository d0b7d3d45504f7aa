package config

import "slices"

// Check looks at what belongs together.
func (i *Import) Check(d *Checker, job *Job, at path) {
	if d.sure(at, "header", "columns") {
		i.checkFields(d, at)
	}
	i.checkValues(d, at)
	if i.Delimiter != 0 && i.Delimiter == i.Quote && d.sure(at, "delimiter", "quote") {
		field := "delimiter"
		if !d.given(at.join(field)) {
			field = "quote"
		}
		d.problem(at.join(field), "", "delimiter and quote are the same character")
	}
	if i.OnConflict == Update && len(i.Match) == 0 && d.sure(at, "on_conflict", "match") {
		d.problem(at.join("on_conflict"), "add match: with the columns that make rows the same", "update needs match")
	}
	i.checkMode(d, at)
	i.checkSet(d, at)
	i.checkMatch(d, at)
	i.checkSource(d, job, at)
}

// checkMode also sets what the mode is the default of.
func (i *Import) checkMode(d *Checker, at path) {
	if i.Mode != Atomic || !d.sure(at, "mode") {
		return
	}
	if i.Writers > 1 && d.sure(at, "writers") {
		d.problem(at.join("writers"), "remove it", "an atomic import is one transaction, which has one writer")
	}
	if !d.given(at.join("reject_limit", "rows")) {
		i.RejectLimit.Rows = 0
	}
}

// checkFields gives each column its field: by name with a header, by number without.
func (i *Import) checkFields(d *Checker, at path) {
	if !i.Header && len(i.Columns) == 0 {
		d.problem(at.join("header"), "add columns: with a field number each, or in the order of the fields", "without header the columns must be given")
		return
	}
	if i.Format == NDJSON {
		i.Header = true // its members have names
	}
	inOrder := !slices.ContainsFunc(i.Columns, func(c Column) bool { return c.Field != "" || c.Number != 0 })
	for n := range i.Columns {
		c := &i.Columns[n]
		column := at.join("columns").join(c.Target)
		switch {
		case i.Header && c.Number != 0:
			d.problem(column, "put it in quotes if the header has this name, or say header: false", "field %d is a number, and the file has a header", c.Number)
		case i.Header && c.Field == "":
			c.Field = c.Target
		case i.Header:
		case c.Field != "":
			d.problem(column, "give the number of the field, from 1", "field %q is a name, and the file has no header", d.shown(at.join("columns", c.Target, "field"), c.Field))
		case inOrder:
			c.Number = n + 1
		case c.Number == 0:
			d.problem(column, "give all columns a number, or none", "has no field number, and other columns have")
		}
	}
}

func (i *Import) checkSet(d *Checker, at path) {
	if !d.sure(at, "set", "columns") {
		return
	}
	for _, rule := range i.Set {
		if hasColumn(i.Columns, rule.Column) {
			d.problem(at.join("set").join(rule.Column), "remove it here or from columns", "is filled from the file too")
		}
	}
}

func (i *Import) checkMatch(d *Checker, at path) {
	if !d.sure(at, "match", "columns", "set") {
		return
	}
	const limit = 32 // PostgreSQL's
	if len(i.Match) > limit {
		d.problem(at.join("match"), "", "has more than the %d columns that an index can have", limit)
		return
	}
	for n, name := range i.Match {
		item := at.join("match").join(index(n))
		problem, shown := identProblem(name), d.shown(item, name)
		switch {
		case problem != "":
			d.problem(item, "", "%q %s", shown, problem)
		case slices.Index(i.Match, name) < n:
			d.problem(item, "remove one of them", "%q is there twice", shown)
		case slices.ContainsFunc(i.Set, func(r SetRule) bool { return r.Column == name }):
			d.problem(item, "match columns that the file has", "%q is set to the time, so no row would ever match", shown)
		case len(i.Columns) > 0 && !hasColumn(i.Columns, name):
			known := make([]string, len(i.Columns))
			for k, c := range i.Columns {
				known[k] = c.Target
			}
			d.problem(item, didYouMean(name, known), "%q is not among columns", shown)
		}
	}
}

func hasColumn(columns []Column, name string) bool {
	return slices.ContainsFunc(columns, func(c Column) bool { return c.Target == name })
}
