package config

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/config/field"
)

// Then is what follows a run that has ended.
type Then struct {
	Success []ThenJob // after it has succeeded, with rejects or without
	Failure []ThenJob // after it has failed for good
	Always  []ThenJob // after either; not after a cancellation
}

// ThenJob is a job that is started when a run of another has ended.
type ThenJob struct {
	Job    string
	Params json.RawMessage // a JSON object that the job takes, or nil
}

// All returns what follows in any case, in the order of the file.
func (t Then) All() []ThenJob { return slices.Concat(t.Success, t.Failure, t.Always) }

func thenFields() field.Table[Then] {
	next := thenJobs{field.Section[ThenJob]{Fields: thenJobFields()}}
	return field.Table[Then]{
		field.Row("success", next, "", "Jobs to start when a run has succeeded, with rejects or without.",
			func(t *Then) *[]ThenJob { return &t.Success }),
		field.Row("failure", next, "", "Jobs to start when a run has failed for good. They are given `run`, `job` and `error` of it as params: those that they declare, or all if they are of a built-in kind and declare none; in a template `{{.error}}`. `params` of the same name come first.",
			func(t *Then) *[]ThenJob { return &t.Failure }),
		field.Row("always", next, "", "Jobs to start in both cases. A run that is cancelled starts nothing.",
			func(t *Then) *[]ThenJob { return &t.Always }),
	}
}

func thenJobFields() field.Table[ThenJob] {
	return field.Table[ThenJob]{
		field.Row("job", field.Text{Words: "one of `jobs`", Check: CheckJobName}, "", "The job; an import needs a `source`.",
			func(n *ThenJob) *string { return &n.Job }).Require(),
		field.Row("params", field.Mapping{}, "", "What it is given; the job says what it takes.",
			func(n *ThenJob) *json.RawMessage { return &n.Params }),
	}
}

// thenJobs is a list of jobs: their names, or mappings with params.
type thenJobs struct{ long field.Section[ThenJob] }

func (t thenJobs) Read(d *field.Checker, v field.Value, into *[]ThenJob) {
	if v.Node.Scalar() && v.Node.Kind != field.NullNode {
		var next ThenJob
		field.Text{Check: CheckJobName}.Read(d, v, &next.Job)
		*into = []ThenJob{next}
		return
	}
	if !d.Is(v, field.ListNode, "a list of jobs") {
		return
	}
	out := make([]ThenJob, len(v.Node.Items))
	for i := range v.Node.Items {
		item := v.Item(i)
		if item.Node.Kind == field.MapNode {
			t.long.Read(d, item, &out[i])
			continue
		}
		field.Text{Check: CheckJobName}.Read(d, item, &out[i].Job)
	}
	*into = out
}

func (t thenJobs) Meta() field.Meta {
	long := t.long.Meta()
	name := map[string]any{"type": "string"}
	return field.Meta{
		Words: "list of jobs: their names, or mappings",
		Schema: map[string]any{
			"type": []string{"array", "string", "null"}, "items": map[string]any{"anyOf": []any{name, long.Schema}},
		},
		Optional: true,
		Keys:     "[]",
		Fields:   long.Fields,
	}
}

// checkThen looks at what follows the jobs: it must be there, take its params, and end.
func (d *Checker) checkThen() {
	for _, name := range slices.Sorted(maps.Keys(d.Config.Jobs)) {
		then := d.Config.Jobs[name].Then
		for _, group := range []struct {
			name  string
			nexts []ThenJob
		}{{"success", then.Success}, {"failure", then.Failure}, {"always", then.Always}} {
			at := field.Path{"jobs", name, "then", group.name}
			for i, next := range group.nexts {
				if group.name == "failure" {
					next.Params = d.withFailure(next)
				}
				d.checkNext(next, at, at.Join(field.Index(i)))
			}
		}
		if cycle := d.cycle(name); cycle != nil {
			d.Problem(field.Path{"jobs", name, "then"}, "what follows must come to an end; for something that repeats, write a schedule",
				"is a cycle: %s", strings.Join(cycle, " → "))
		}
	}
}

func (d *Checker) checkNext(next ThenJob, list, at field.Path) {
	if next.Job == "" || !d.Checkable(list) {
		return
	}
	job := d.Config.Jobs[next.Job]
	if job == nil {
		d.Problem(at, field.DidYouMean(next.Job, slices.Sorted(maps.Keys(d.Config.Jobs))), "%q is not one of jobs", d.SourceText(at, next.Job))
		return
	}
	if problem, hint := d.needsFile(job); problem != "" {
		d.Problem(at, hint, "job %s %s", next.Job, problem)
		return
	}
	var wrong *ParamError
	if err := job.CheckParams(next.Params); errors.As(err, &wrong) {
		d.Problem(at, wrong.Hint, "job %s: %s", next.Job, (&ParamError{Param: wrong.Param, Message: wrong.Message}).Error())
	}
}

// withFailure adds to the params of next what the database gives to a job that follows a failure, where it declares them.
func (d *Checker) withFailure(next ThenJob) json.RawMessage {
	job := d.Config.Jobs[next.Job]
	params, problem := field.DecodeObject[json.RawMessage](next.Params)
	if job == nil || problem != "" {
		return next.Params
	}
	for _, p := range job.Params {
		example, given := map[string]string{"run": "1", "job": `"job"`, "error": `"error"`}[p.Name]
		switch {
		case !given || params[p.Name] != nil:
		case p.Type == TextParam:
			params[p.Name] = json.RawMessage(`"text"`)
		case p.Type == JSONParam, p.Name == "run" && (p.Type == IntegerParam || p.Type == NumberParam):
			params[p.Name] = json.RawMessage(example)
		}
	}
	merged, err := json.Marshal(params)
	if err != nil {
		return next.Params
	}
	return merged
}

// cycle returns the way from the job back to itself, if there is one and the job is the first of it by name.
func (d *Checker) cycle(start string) []string {
	var way []string
	seen := map[string]bool{}
	var walk func(name string) bool
	walk = func(name string) bool {
		way = append(way, name)
		if job := d.Config.Jobs[name]; job != nil {
			for _, next := range job.Then.All() {
				if next.Job == start {
					way = append(way, start)
					return true
				}
				if !seen[next.Job] && next.Job > start {
					seen[next.Job] = true
					if walk(next.Job) {
						return true
					}
				}
			}
		}
		way = way[:len(way)-1]
		return false
	}
	if walk(start) {
		return way
	}
	return nil
}
