package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
)

// checkSchedules looks at all schedules and puts those that stand in their job with the others.
func (d *Checker) checkSchedules() {
	c := d.Config
	for _, name := range slices.Sorted(maps.Keys(c.Schedules)) {
		d.checkSchedule(c.Schedules[name], path{"schedules", name})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		s, at := c.Jobs[name].Schedule, path{"jobs", name, "schedule"}
		if s == nil {
			continue
		}
		d.checkSchedule(s, at)
		if _, taken := c.Schedules[name]; taken {
			v, _ := d.valueAt(at)
			d.problem(path{"schedules", name}, "choose another name, or remove one of them", "the schedule in job %s, at line %d, has this name too", name, v.pos.Line)
			continue
		}
		c.Schedules[name] = s
	}
}

func (d *Checker) checkSchedule(s *Schedule, at path) {
	job, jobAt := d.Config.Jobs[s.Job], path{"jobs", s.Job}
	switch {
	case s.Job == "" || !d.sure(at, "job"):
		return
	case job == nil:
		d.checkKnown(s, at)
		return
	}
	if problem, hint := d.needsFile(job); problem != "" {
		if s != job.Schedule {
			at = at.join("job")
		}
		d.problem(at, hint, "job %s %s", s.Job, problem)
		return
	}
	if job.Unique && s.Overlap == OverlapAllow && d.sure(jobAt, "unique") && d.sure(at, "overlap") {
		d.problem(at.join("overlap"), "choose skip or queue", "job %s is unique: it has one live run at a time", s.Job)
	}
	d.checkScheduleParams(s, job, at)
}

// maxSuggested jobs are compared with a name that is none of them: a hint is one line, and a file may hold thousands of
// jobs and of wrong names.
const maxSuggested = 100

// checkKnown reports the name of a job that is not there. One that could not be read is.
func (d *Checker) checkKnown(s *Schedule, at path) {
	if d.given(path{"jobs", s.Job}) {
		return
	}
	at, hint := at.join("job"), "describe it under jobs"
	if names := slices.Sorted(maps.Keys(d.Config.Jobs)); len(names) > 0 && len(names) <= maxSuggested {
		hint = didYouMean(s.Job, names)
	}
	d.problem(at, hint, "%q is not a job", d.shown(at, s.Job))
}

// checkScheduleParams asks the job whether it takes the params.
func (d *Checker) checkScheduleParams(s *Schedule, job *Job, at path) {
	if !d.sure(at, "params") || !d.sure(path{"jobs", job.Name}, "kind", "params") {
		return
	}
	at = at.join("params")
	given := map[string]value{}
	if v, found := d.valueAt(at); found && v.node.kind == mapNode {
		for _, e := range v.node.entries {
			given[e.key] = v.entry(e)
		}
		if job.Params != nil {
			s.Params = declaredParams(d.decoder, v)
		}
	}
	for _, problem := range paramErrors(job.CheckParams(s.Params)) {
		v, ok := given[problem.Param]
		p := slices.IndexFunc(job.Params, func(p Param) bool { return p.Name == problem.Param })
		if !ok || p < 0 || v.node.kind == nullNode {
			d.problem(at.join(problem.Param), problem.Hint, "%s", problem.Message)
			continue
		}
		// The message of problem shows the value, which may be secret.
		checkParam(d.decoder, v, job.Params[p].Type, paramValue(d.decoder, v))
	}
}

// declaredParams is the object v in JSON for a job that says what its values are.
func declaredParams(d *decoder, v value) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range v.node.entries {
		if i > 0 {
			b.WriteByte(',')
		}
		writeString(&b, e.key)
		b.WriteByte(':')
		b.Write(paramValue(d, v.entry(e)))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// paramErrors takes the error of [Job.CheckParams] apart.
func paramErrors(err error) []*ParamError {
	var one *ParamError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*ParamError
		for _, err := range joined.Unwrap() {
			all = append(all, paramErrors(err)...)
		}
		return all
	}
	if errors.As(err, &one) {
		return []*ParamError{one}
	}
	return nil
}
