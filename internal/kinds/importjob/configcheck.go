package importjob

import (
	"slices"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

// Check looks at what belongs together.
func (i *Config) Check(d *config.Checker, job *config.Job, at field.Path) {
	if d.Checkable(at, "header", "columns") {
		i.checkFields(d, at)
	}
	i.checkValues(d, at)
	if i.Delimiter != 0 && i.Delimiter == i.Quote && d.Checkable(at, "delimiter", "quote") {
		field := "delimiter"
		if !d.Given(at.Join(field)) {
			field = "quote"
		}
		d.Problem(at.Join(field), "", "delimiter and quote are the same character")
	}
	if i.OnConflict == Update && len(i.Match) == 0 && d.Checkable(at, "on_conflict", "match") {
		d.Problem(at.Join("on_conflict"), "add match: with the columns that make rows the same", "update needs match")
	}
	i.checkMode(d, at)
	i.checkSet(d, at)
	i.checkMatch(d, at)
	i.checkSource(d, job, at)
}

// checkMode also sets what the mode is the default of.
func (i *Config) checkMode(d *config.Checker, at field.Path) {
	if i.Mode != Atomic || !d.Checkable(at, "mode") {
		return
	}
	if i.Writers > 1 && d.Checkable(at, "writers") {
		d.Problem(at.Join("writers"), "remove it", "an atomic import is one transaction, which has one writer")
	}
	if !d.Given(at.Join("reject_limit", "rows")) {
		i.RejectLimit.Rows = 0
	}
}

// checkFields gives each column its field: by name with a header, by number without.
func (i *Config) checkFields(d *config.Checker, at field.Path) {
	if !i.Header && len(i.Columns) == 0 {
		d.Problem(at.Join("header"), "add columns: with a field number each, or in the order of the fields", "without header the columns must be given")
		return
	}
	if i.Format == config.NDJSON {
		i.Header = true // its members have names
	}
	inOrder := !slices.ContainsFunc(i.Columns, func(c Column) bool { return c.Field != "" || c.Number != 0 })
	for n := range i.Columns {
		c := &i.Columns[n]
		column := at.Join("columns").Join(c.Target)
		switch {
		case i.Header && c.Number != 0:
			d.Problem(column, "put it in quotes if the header has this name, or say header: false", "field %d is a number, and the file has a header", c.Number)
		case i.Header && c.Field == "":
			c.Field = c.Target
		case i.Header:
		case c.Field != "":
			d.Problem(column, "give the number of the field, from 1", "field %q is a name, and the file has no header", d.SourceText(at.Join("columns", c.Target, "field"), c.Field))
		case inOrder:
			c.Number = n + 1
		case c.Number == 0:
			d.Problem(column, "give all columns a number, or none", "has no field number, and other columns have")
		}
	}
}

func (i *Config) checkSet(d *config.Checker, at field.Path) {
	if !d.Checkable(at, "set", "columns") {
		return
	}
	for _, rule := range i.Set {
		if hasColumn(i.Columns, rule.Column) {
			d.Problem(at.Join("set").Join(rule.Column), "remove it here or from columns", "is filled from the file too")
		}
	}
}

func (i *Config) checkMatch(d *config.Checker, at field.Path) {
	if !d.Checkable(at, "match", "columns", "set") {
		return
	}
	const limit = 32 // PostgreSQL's
	if len(i.Match) > limit {
		d.Problem(at.Join("match"), "", "has more than the %d columns that an index can have", limit)
		return
	}
	for n, name := range i.Match {
		item := at.Join("match").Join(field.Index(n))
		problem, shown := config.CheckIdentifier(name), d.SourceText(item, name)
		switch {
		case problem != "":
			d.Problem(item, "", "%q %s", shown, problem)
		case slices.Index(i.Match, name) < n:
			d.Problem(item, "remove one of them", "%q is there twice", shown)
		case slices.ContainsFunc(i.Set, func(r SetRule) bool { return r.Column == name }):
			d.Problem(item, "match columns that the file has", "%q is set to the time, so no row would ever match", shown)
		case len(i.Columns) > 0 && !hasColumn(i.Columns, name):
			known := make([]string, len(i.Columns))
			for k, c := range i.Columns {
				known[k] = c.Target
			}
			d.Problem(item, field.DidYouMean(name, known), "%q is not among columns", shown)
		}
	}
}

func hasColumn(columns []Column, name string) bool {
	return slices.ContainsFunc(columns, func(c Column) bool { return c.Target == name })
}
