package config

import (
	"maps"
	"slices"
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
		job, at := c.Jobs[name], path{"jobs", name}
		_, configured := c.Queues[job.Queue]
		if !configured && d.sure(nil, "queues") && d.sure(at, "queue") {
			d.problem(at.join("queue"), didYouMean(job.Queue, queues), "%q is not a configured queue", d.shown(at.join("queue"), job.Queue))
		}
		if d.given(at.join("retry")) {
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
func (d *Checker) checkRetry(r Retry, parent path) {
	if r.Delay <= r.MaxDelay || !d.sure(nil, "retry") || !d.sure(parent, "retry") {
		return
	}
	at := parent.join("retry")
	field := "delay"
	if !d.given(at.join(field)) {
		field = "max_delay"
	}
	d.problem(at.join(field), "raise max_delay or lower delay", "delay %s is longer than max_delay %s",
		formatDuration(r.Delay), formatDuration(r.MaxDelay))
}

// needsFile says what is wrong with a start of the job that has no file, "" if nothing is.
func (d *Checker) needsFile(job *Job) (problem, hint string) {
	if taker, ok := job.Spec.(FileTaker); ok {
		return taker.NeedsFile(d, path{"jobs", job.Name})
	}
	return "", ""
}
