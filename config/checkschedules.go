package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/config/field"
)

// checkSchedules looks at all schedules and puts those that are in their job with the others.
func (d *Checker) checkSchedules() {
	c := d.Config
	for _, name := range slices.Sorted(maps.Keys(c.Schedules)) {
		d.checkSchedule(c.Schedules[name], field.Path{"schedules", name})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		s, at := c.Jobs[name].Schedule, field.Path{"jobs", name, "schedule"}
		if s == nil {
			continue
		}
		d.checkSchedule(s, at)
		if _, taken := c.Schedules[name]; taken {
			v, _ := d.At(at)
			d.Problem(field.Path{"schedules", name}, "choose another name, or remove one of them", "the schedule in job %s, at line %d, has this name too", name, v.Pos.Line)
			continue
		}
		c.Schedules[name] = s
	}
}

func (d *Checker) checkSchedule(s *Schedule, at field.Path) {
	job, jobAt := d.Config.Jobs[s.Job], field.Path{"jobs", s.Job}
	switch {
	case s.Job == "" || !d.Checkable(at, "job"):
		return
	case job == nil:
		d.checkKnown(s, at)
		return
	}
	if problem, hint := d.needsFile(job); problem != "" {
		if s != job.Schedule {
			at = at.Join("job")
		}
		d.Problem(at, hint, "job %s %s", s.Job, problem)
		return
	}
	if job.Unique && s.Overlap == OverlapAllow && d.Checkable(jobAt, "unique") && d.Checkable(at, "overlap") {
		d.Problem(at.Join("overlap"), "choose skip or queue", "job %s is unique: it has one live run at a time", s.Job)
	}
	d.checkScheduleParams(s, job, at)
}

// maxSuggested jobs are compared with a name that is none of them: a hint is one line, and a file may hold thousands of
// jobs and of wrong names.
const maxSuggested = 100

// checkKnown reports the name of a job that is not there. One that could not be read is.
func (d *Checker) checkKnown(s *Schedule, at field.Path) {
	if d.Given(field.Path{"jobs", s.Job}) {
		return
	}
	at, hint := at.Join("job"), "describe it under jobs"
	if names := slices.Sorted(maps.Keys(d.Config.Jobs)); len(names) > 0 && len(names) <= maxSuggested {
		hint = field.DidYouMean(s.Job, names)
	}
	d.Problem(at, hint, "%q is not a job", d.SourceText(at, s.Job))
}

// checkScheduleParams asks the job whether it takes the params.
func (d *Checker) checkScheduleParams(s *Schedule, job *Job, at field.Path) {
	if !d.Checkable(at, "params") || !d.Checkable(field.Path{"jobs", job.Name}, "kind", "params") {
		return
	}
	at = at.Join("params")
	given := map[string]field.Value{}
	if v, found := d.At(at); found && v.Node.Kind == field.MapNode {
		for _, e := range v.Node.Entries {
			given[e.Key] = v.Entry(e)
		}
		if job.Params != nil {
			s.Params = declaredParams(d.Checker, v)
		}
	}
	for _, problem := range paramErrors(job.CheckParams(s.Params)) {
		v, ok := given[problem.Param]
		p := slices.IndexFunc(job.Params, func(p Param) bool { return p.Name == problem.Param })
		if !ok || p < 0 || v.Node.Kind == field.NullNode {
			d.Problem(at.Join(problem.Param), problem.Hint, "%s", problem.Message)
			continue
		}
		// The message of problem shows the value, which may be secret.
		checkParam(d.Checker, v, job.Params[p].Type, paramValue(d.Checker, v))
	}
}

// declaredParams is the object v in JSON for a job that says what its values are.
func declaredParams(d *field.Checker, v field.Value) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range v.Node.Entries {
		if i > 0 {
			b.WriteByte(',')
		}
		field.WriteString(&b, e.Key)
		b.WriteByte(':')
		b.Write(paramValue(d, v.Entry(e)))
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
