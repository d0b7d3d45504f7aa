package config

import "time"

// period is how long something is kept: a duration, or Forever.
type period struct{}

const forever = "forever"

// within are the bounds of a period that is not Forever.
func (period) within() duration { return duration{0, 100 * year} }

func (t period) read(d *decoder, v value, into *time.Duration) {
	s, ok := d.scalar(v, "a duration")
	if !ok {
		return
	}
	if s == forever {
		*into = Forever
		return
	}
	if _, ok := parseDuration(s); !ok {
		d.refuse(v, "write it like 12h or 90d, or forever", "is not a duration")
		return
	}
	t.within().read(d, v, into)
}

func (t period) shape() shape {
	s := t.within().shape()
	s.words += ", or `" + forever + "`"
	s.schema = map[string]any{"anyOf": []any{map[string]any{"const": forever}, s.schema}}
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
func (d *Checker) checkRetention(r *Retention, parent path) {
	at := parent.join("retention").join("rejects")
	given := d.given(at)
	if given && r.Rejects > r.Runs && d.sure(nil, "retention") && d.sure(parent, "retention") {
		d.problem(at, "raise runs or lower rejects", "rejects %s are longer than runs %s", formatPeriod(r.Rejects), formatPeriod(r.Runs))
	}
	r.settle()
}

func formatPeriod(d time.Duration) string {
	if d == Forever {
		return forever
	}
	return formatDuration(d)
}
