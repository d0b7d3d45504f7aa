package config

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

// Then is what follows a run that has ended.
type Then struct {
	Success []Next // after it has succeeded, with rejects or without
	Failure []Next // after it has failed for good
	Always  []Next // after either; not after a cancellation
}

// Next is a job that is started when a run of another has ended.
type Next struct {
	Job    string
	Params json.RawMessage // a JSON object that the job takes, or nil
}

// All returns what follows in any case, in the order of the file.
func (t Then) All() []Next { return slices.Concat(t.Success, t.Failure, t.Always) }

func thenFields() object[Then] {
	next := nexts{section[Next]{nextFields()}}
	return object[Then]{
		row("success", next, "", "Jobs to start when a run has succeeded, with rejects or without.",
			func(t *Then) *[]Next { return &t.Success }),
		row("failure", next, "", "Jobs to start when a run has failed for good. They are given `run`, `job` and `error` of it as params: those that they declare, or all if they are of a built-in kind and declare none; in a template `{{.error}}`. `params` of the same name come first.",
			func(t *Then) *[]Next { return &t.Failure }),
		row("always", next, "", "Jobs to start in both cases. A run that is cancelled starts nothing.",
			func(t *Then) *[]Next { return &t.Always }),
	}
}

func nextFields() object[Next] {
	return object[Next]{
		row("job", text{words: "one of `jobs`", check: checkJobName}, "", "The job; an import needs a `source`.",
			func(n *Next) *string { return &n.Job }).needed(),
		row("params", args{}, "", "What it is given; the job says what it takes.",
			func(n *Next) *json.RawMessage { return &n.Params }),
	}
}

// nexts is a list of jobs: their names, or mappings with params.
type nexts struct{ long section[Next] }

func (t nexts) read(d *decoder, v value, into *[]Next) {
	if v.node.scalar() && v.node.kind != nullNode {
		var next Next
		text{check: checkJobName}.read(d, v, &next.Job)
		*into = []Next{next}
		return
	}
	if !d.is(v, listNode, "a list of jobs") {
		return
	}
	out := make([]Next, len(v.node.items))
	for i := range v.node.items {
		item := v.item(i)
		if item.node.kind == mapNode {
			t.long.read(d, item, &out[i])
			continue
		}
		text{check: checkJobName}.read(d, item, &out[i].Job)
	}
	*into = out
}

func (t nexts) shape() shape {
	long := t.long.shape()
	name := map[string]any{"type": "string"}
	return shape{
		words: "list of jobs: their names, or mappings",
		schema: map[string]any{
			"type": []string{"array", "string", "null"}, "items": map[string]any{"anyOf": []any{name, long.schema}},
		},
		optional: true,
		keys:     "[]",
		fields:   long.fields,
	}
}

// checkThen looks at what follows the jobs: it must be there, take its params, and end.
func (d *Checker) checkThen() {
	for _, name := range slices.Sorted(maps.Keys(d.Config.Jobs)) {
		then := d.Config.Jobs[name].Then
		for _, group := range []struct {
			name  string
			nexts []Next
		}{{"success", then.Success}, {"failure", then.Failure}, {"always", then.Always}} {
			at := path{"jobs", name, "then", group.name}
			for i, next := range group.nexts {
				if group.name == "failure" {
					next.Params = d.withFailure(next)
				}
				d.checkNext(next, at, at.join(index(i)))
			}
		}
		if cycle := d.cycle(name); cycle != nil {
			d.problem(path{"jobs", name, "then"}, "what follows must come to an end; for something that repeats, write a schedule",
				"is a circle: %s", strings.Join(cycle, " → "))
		}
	}
}

func (d *Checker) checkNext(next Next, list, at path) {
	if next.Job == "" || !d.sure(list) {
		return
	}
	job := d.Config.Jobs[next.Job]
	if job == nil {
		d.problem(at, didYouMean(next.Job, slices.Sorted(maps.Keys(d.Config.Jobs))), "%q is not one of jobs", d.shown(at, next.Job))
		return
	}
	if problem, hint := d.needsFile(job); problem != "" {
		d.problem(at, hint, "job %s %s", next.Job, problem)
		return
	}
	var wrong *ParamError
	if err := job.CheckParams(next.Params); errors.As(err, &wrong) {
		d.problem(at, wrong.Hint, "job %s: %s", next.Job, (&ParamError{Param: wrong.Param, Message: wrong.Message}).Error())
	}
}

// withFailure adds to the params of next what the database gives to a job that follows a failure, where it declares them.
func (d *Checker) withFailure(next Next) json.RawMessage {
	job := d.Config.Jobs[next.Job]
	params, problem := decodeObject[json.RawMessage](next.Params)
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
