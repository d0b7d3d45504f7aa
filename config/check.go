package config

import (
	"maps"
	"slices"
)

// check fills in what depends on other fields and reports what does not fit
// together.
func (d *decoder) check() {
	c := d.config
	if c.Database.RiverSchema == "" {
		c.Database.RiverSchema = c.Database.Schema
	}
	d.checkRetry(c.Retry, nil)
	d.checkRetention(&c.Retention, nil)
	queues := slices.Sorted(maps.Keys(c.Queues))
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		job, at := c.Jobs[name], path{"jobs", name}
		_, configured := c.Queues[job.Queue]
		if !configured && d.sure(nil, "queues") && d.sure(at, "queue") {
			d.problem(at.join("queue"), didYouMean(job.Queue, queues), "%q is not a configured queue", d.shown(at.join("queue"), job.Queue))
		}
		if _, _, own := locate(c.root, at.join("retry")); own {
			d.checkRetry(job.Retry, at)
		}
		d.checkRetention(&job.Retention, at)
		switch {
		case job.Import != nil:
			d.checkImport(job.Import, at)
			d.checkSource(job, at)
		case job.Email != nil:
			d.checkEmail(job.Email, at)
		case job.SQL != nil:
			d.checkSQL(job, at)
		case job.Each != nil:
			d.checkEach(job, at)
		case job.Export != nil:
			d.checkExport(job, at)
		case job.Cleanup != nil:
			d.checkCleanup(job.Cleanup, at)
		}
	}
	d.checkSchedules()
	d.checkThen()
	d.checkServer()
}

// checkRetry looks at the retry section below parent, which for a job has inherited
// fields.
func (d *decoder) checkRetry(r Retry, parent path) {
	if r.Delay <= r.MaxDelay || !d.sure(nil, "retry") || !d.sure(parent, "retry") {
		return
	}
	at := parent.join("retry")
	field := "delay"
	if _, _, given := locate(d.config.root, at.join(field)); !given {
		field = "max_delay"
	}
	d.problem(at.join(field), "raise max_delay or lower delay", "delay %s is longer than max_delay %s",
		formatDuration(r.Delay), formatDuration(r.MaxDelay))
}

func (d *decoder) checkImport(i *Import, at path) {
	if d.sure(at, "header", "columns") {
		d.checkFields(i, at)
	}
	d.checkValues(i, at)
	if i.Delimiter != 0 && i.Delimiter == i.Quote && d.sure(at, "delimiter", "quote") {
		field := "delimiter"
		if _, _, given := locate(d.config.root, at.join(field)); !given {
			field = "quote"
		}
		d.problem(at.join(field), "", "delimiter and quote are the same character")
	}
	if i.OnConflict == Update && len(i.Match) == 0 && d.sure(at, "on_conflict", "match") {
		d.problem(at.join("on_conflict"), "add match: with the columns that make rows the same", "update needs match")
	}
	d.checkMode(i, at)
	d.checkSet(i, at)
	d.checkMatch(i, at)
}

// checkMode also sets what the mode is the default of.
func (d *decoder) checkMode(i *Import, at path) {
	if i.Mode != Atomic || !d.sure(at, "mode") {
		return
	}
	if i.Writers > 1 && d.sure(at, "writers") {
		d.problem(at.join("writers"), "remove it", "an atomic import is one transaction, which has one writer")
	}
	if _, _, given := locate(d.config.root, at.join("reject_limit", "rows")); !given {
		i.RejectLimit.Rows = 0
	}
}

// checkFields gives each column its field: by name with a header, by number without.
func (d *decoder) checkFields(i *Import, at path) {
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

func (d *decoder) checkSet(i *Import, at path) {
	if !d.sure(at, "set", "columns") {
		return
	}
	for _, rule := range i.Set {
		if hasColumn(i.Columns, rule.Column) {
			d.problem(at.join("set").join(rule.Column), "remove it here or from columns", "is filled from the file too")
		}
	}
}

func (d *decoder) checkMatch(i *Import, at path) {
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

// problem reports a problem of the value at at, or of its parent where the file does
// not have it.
func (d *decoder) problem(at path, hint, format string, args ...any) {
	_, pos, _ := locate(d.config.root, at)
	d.failAt(pos, at, hint, format, args...)
}

// shown is the text at at, or at its parent in a short form, as the file has it: what
// came from outside may be secret. text is for a value that the file does not have.
func (d *decoder) shown(at path, text string) string {
	if n, _, _ := locate(d.config.root, at); n != nil && n.source != "" {
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
		if n, _, found := locate(d.config.root, at); found && n.hasUnresolved() {
			return false
		}
	}
	return true
}
