package config

import (
	"maps"
	"slices"

	"github.com/tidemill/tidemill/config/field"
)

// check fills in what depends on other fields and reports what does not fit
// together.
func (d *Checker) check() {
	c := d.Config
	if c.Database.RiverSchema == "" {
		c.Database.RiverSchema = c.Database.Schema
	}
	d.checkRetry(c.Retry, nil)
	d.checkRetention(&c.Retention, nil)
	queues := slices.Sorted(maps.Keys(c.Queues))
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		job, at := c.Jobs[name], field.Path{"jobs", name}
		_, configured := c.Queues[job.Queue]
		if !configured && d.Checkable(nil, "queues") && d.Checkable(at, "queue") {
			d.Problem(at.Join("queue"), field.DidYouMean(job.Queue, queues), "%q is not a configured queue", d.SourceText(at.Join("queue"), job.Queue))
		}
		if d.Given(at.Join("retry")) {
			d.checkRetry(job.Retry, at)
		}
		d.checkRetention(&job.Retention, at)
		if job.Spec != nil {
			job.Spec.Check(d, job, at)
		}
	}
	d.checkSchedules()
	d.checkThen()
	d.checkServer()
}

// checkRetry looks at the retry section below parent, which for a job has inherited
// fields.
func (d *Checker) checkRetry(r Retry, parent field.Path) {
	if r.Delay <= r.MaxDelay || !d.Checkable(nil, "retry") || !d.Checkable(parent, "retry") {
		return
	}
	at := parent.Join("retry")
	name := "delay"
	if !d.Given(at.Join(name)) {
		name = "max_delay"
	}
	d.Problem(at.Join(name), "raise max_delay or lower delay", "delay %s is longer than max_delay %s",
		field.FormatDuration(r.Delay), field.FormatDuration(r.MaxDelay))
}

// needsFile says what is wrong with a start of the job that has no file, "" if nothing is.
func (d *Checker) needsFile(job *Job) (problem, hint string) {
	need := job.NeedsFile()
	if need == nil || !d.Checkable(field.Path{"jobs", job.Name}, need.Unless) {
		return "", ""
	}
	return need.Problem, need.Hint
}
