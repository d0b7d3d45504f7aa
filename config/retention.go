package config

import (
	"time"

	"github.com/tidemill/tidemill/config/field"
)

// period is how long something is kept: a duration, or Forever.
type period struct{}

const forever = "forever"

// within are the bounds of a period that is not Forever.
func (period) within() field.Duration { return field.Duration{Min: 0, Max: 100 * Year} }

func (t period) Read(d *field.Checker, v field.Value, into *time.Duration) {
	s, ok := d.Scalar(v, "a duration")
	if !ok {
		return
	}
	if s == forever {
		*into = Forever
		return
	}
	if _, err := field.ParseDuration(s); err != nil {
		d.InvalidValue(v, "write it like 12h or 90d, or forever", "is not a duration")
		return
	}
	t.within().Read(d, v, into)
}

func (t period) Meta() field.Meta {
	s := t.within().Meta()
	s.Words += ", or `" + forever + "`"
	s.Schema = map[string]any{"anyOf": []any{map[string]any{"const": forever}, s.Schema}}
	return s
}

// asRuns stands for rejects that nobody has spoken about, until settle.
const asRuns time.Duration = -1

// settle gives Rejects its value. They cannot outlive their run: there would be nobody
// to ask for them.
func (r *Retention) settle() {
	if r.Rejects == asRuns {
		r.Rejects = r.Runs
	}
	r.Rejects = min(r.Rejects, r.Runs)
}

// checkRetention settles the section below parent, after it has looked whether what it
// says itself can be had. A job may inherit rejects that are longer than its own runs.
func (d *Checker) checkRetention(r *Retention, parent field.Path) {
	at := parent.Join("retention").Join("rejects")
	given := d.Given(at)
	if given && r.Rejects > r.Runs && d.Checkable(nil, "retention") && d.Checkable(parent, "retention") {
		d.Problem(at, "raise runs or lower rejects", "rejects %s are longer than runs %s", formatPeriod(r.Rejects), formatPeriod(r.Runs))
	}
	r.settle()
}

func formatPeriod(d time.Duration) string {
	if d == Forever {
		return forever
	}
	return field.FormatDuration(d)
}
