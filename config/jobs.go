package config

import (
	"regexp"
	"slices"
)

// The form of the names of jobs, schedules and tokens.
const (
	jobNamePattern = `^[a-z0-9][a-z0-9_-]*$`
	jobNameHint    = "lower-case letters, digits, - and _, a letter or digit first, at most 64"
)

var jobNameRE = regexp.MustCompile(jobNamePattern)

func isJobName(s string) bool { return len(s) <= maxNameLength && jobNameRE.MatchString(s) }

// jobs is a mapping from names to jobs, whose fields depend on their kind.
type jobs struct {
	config *Config // so far: what jobs inherit stands before them
	kinds  []Kind  // that of a user's own program is the last
}

func newJobs(kinds []Kind, c *Config) jobs { return jobs{c, append(slices.Clone(kinds), programs())} }

// programs are the kinds of a user's own program.
func programs() Kind {
	return Kind{
		Name: programKind, Doc: "Any other kind is one that your Go program registers with River.", Chunked: true,
		fields: programFields().infos(),
	}
}

// common are the fields of jobs whatever their kind, but for those that this kind has no use for.
func (t jobs) common(k Kind) object[Job] {
	return slices.DeleteFunc(t.fields(), func(f field[Job]) bool {
		return f.name == "params" && k.Params == NoParams || f.name == "stall" && !k.Chunked
	})
}

// infos are all fields of jobs of the kind k.
func (t jobs) infos(k Kind) []info { return slices.Concat(t.common(k).infos(), k.fields) }

// of is the kind with that name.
func (t jobs) of(name string) Kind {
	if k, ok := findKind(t.kinds, name); ok {
		return k
	}
	return t.kinds[len(t.kinds)-1]
}

func (t jobs) read(d *decoder, v value, into *map[string]*Job) {
	if !d.is(v, mapNode, "a mapping") {
		return
	}
	for _, e := range v.node.entries {
		at := v.entry(e)
		if !isJobName(e.key) {
			d.fail(at, jobNameHint, "%q is not a job name", shorten(e.key))
			continue
		}
		if job := t.job(d, at); job != nil {
			job.Name = e.key
			if job.Schedule != nil {
				job.Schedule.Name, job.Schedule.Job = e.key, e.key
			}
			(*into)[e.key] = job
		}
	}
}

func (jobs) reset(_ *decoder, into *map[string]*Job) { *into = map[string]*Job{} }

func (t jobs) job(d *decoder, v value) *Job {
	if !d.is(v, mapNode, "a mapping with the fields of a job") {
		return nil
	}
	job := &Job{}
	all := t.fields()
	all[:1].readFields(d, v, job)
	if job.Kind == "" { // its further fields cannot be judged
		t.readCommon(d, v, job, all[1:])
		return job
	}
	own := t.of(job.Kind)
	t.checkKind(d, v, job, own)
	t.readCommon(d, v, job, t.common(own)[1:])
	if own.read == nil {
		fields := programFields()
		fields.reset(d, job)
		fields.readFields(d, v, job)
		return job
	}
	job.Spec = own.read(d, v)
	if own.Params != AnyParams && job.Params == nil {
		job.Params = []Param{}
	}
	return job
}

func (t jobs) readCommon(d *decoder, v value, job *Job, fields object[Job]) {
	fields.reset(d, job)
	job.Retry, job.Retention = t.config.Retry, t.config.Retention
	fields.readFields(d, v, job)
	job.OwnDelays = givesDelays(v)
}

// givesDelays tells whether the job says something about the delays between attempts,
// and not only how many there may be.
func givesDelays(job value) bool {
	section, _ := job.node.find("retry")
	for _, name := range []string{"backoff", "delay", "max_delay", "jitter"} {
		if _, given := section.value.find(name); given {
			return true
		}
	}
	return false
}

// checkKind reports the fields that the kind of the job does not have; of those that
// another kind has it says which.
func (t jobs) checkKind(d *decoder, v value, job *Job, own Kind) {
	known := t.infos(own)
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.name
	}
	kind, _ := v.node.find("kind")
	meant := suggest(job.Kind, t.builtIn())
	for _, e := range v.node.entries {
		owners := t.owners(e.key)
		if hasField(known, e.key) || len(owners) == 0 {
			continue
		}
		known = append(known, info{name: e.key}) // reported here
		hint := ""
		if s := suggest(e.key, names); s != "" {
			hint = "did you mean " + s + "?"
		}
		if meant != job.Kind && slices.Contains(owners, meant) {
			hint = "did you mean kind: " + meant + "?"
		}
		d.fail(v.entry(e), hint, "is a field of %s, and this job is of kind %s", kindWords(owners), kind.value.source)
	}
	checkFields(d, v, known)
}

// owners are the kinds whose jobs have the field.
func (t jobs) owners(field string) []string {
	var names []string
	for _, k := range t.kinds {
		if hasField(t.infos(k), field) {
			names = append(names, k.Name)
		}
	}
	return names
}

func hasField(fields []info, name string) bool {
	return slices.ContainsFunc(fields, func(f info) bool { return f.name == name })
}

func (t jobs) shape() shape {
	var byKind []any
	variants := make([]variant, len(t.kinds))
	for i, k := range t.kinds {
		is, title := map[string]any{"const": k.Name}, "Kind `"+k.Name+"`"
		if k.Name == programKind {
			is, title = map[string]any{"not": map[string]any{"enum": t.builtIn()}}, "Kinds of your own program"
		}
		byKind = append(byKind, map[string]any{
			"if":   map[string]any{"properties": map[string]any{"kind": is}, "required": []string{"kind"}},
			"then": objectSchema(t.infos(k)),
		})
		variants[i] = variant{title, k.Doc, k.fields}
	}
	return shape{
		words: "mapping from name to job",
		schema: map[string]any{
			"type":          []string{"object", "null"},
			"propertyNames": map[string]any{"pattern": jobNamePattern, "maxLength": maxNameLength},
			"additionalProperties": map[string]any{
				"type":       "object",
				"required":   []string{"kind"},
				"properties": map[string]any{"kind": kind{t.builtIn()}.shape().schema},
				"allOf":      byKind,
			},
		},
		optional: true,
		keys:     "JOB",
		fields:   t.fields().infos(),
		fieldsOf: t.fieldsOf,
		variants: variants,
	}
}

// builtIn are the names of the kinds that are not of a user's own program.
func (t jobs) builtIn() []string { return kindNames(t.kinds[:len(t.kinds)-1]) }

// fieldsOf are the fields of the job n.
func (t jobs) fieldsOf(n *node) []info {
	e, _ := n.find("kind")
	if e.value == nil {
		return nil
	}
	return t.infos(t.of(e.value.text))
}
