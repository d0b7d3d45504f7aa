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
	common object[Job] // fields of every kind that they do not except
	kinds  []jobKind   // that of a user's own program is the last
}

// jobKind is what jobs of one kind have beside the common fields.
type jobKind struct {
	name, doc string // name is programKind for those of a user's own program
	fields    []info
	read      func(d *decoder, v value, job *Job)
}

func newJobs() jobs {
	return jobs{
		common: jobFields(),
		kinds: []jobKind{
			builtIn(KindImport, "Loads a file into a table.", importFields(),
				func(j *Job) **Import { return &j.Import }),
			builtIn(KindHTTP, "Sends a request to a program of yours. Any answer of 2xx is success; 410 ends the job for good.", httpFields(),
				func(j *Job) **HTTP { return &j.HTTP }),
			builtIn(KindCommand, "Runs a program on the worker's machine, without a shell. Exit status 0 is success.", commandFields(),
				func(j *Job) **Command { return &j.Command }),
			builtIn(KindEmail, "Sends a mail. `to`, `cc`, `bcc`, `subject`, `text` and `html` are templates of Go (packages text/template and html/template) over the params of the job. Needs the top-level `mail`.", emailFields(),
				func(j *Job) **Email { return &j.Email }),
			builtIn(KindSQL, "Runs one SQL statement. `:name` in it stands for the param of that name, and is bound, never spliced.", sqlFields(),
				func(j *Job) **SQL { return &j.SQL }),
			builtIn(KindExport, "Writes a table, or the rows of a query, into a file in the storage. `tidemill export JOB -o FILE` fetches it.", exportFields(),
				func(j *Job) **Export { return &j.Export }),
			builtIn(KindCleanup, "Deletes rows that are old or expired, in short transactions that leave time to others. It goes on where it was stopped. `tidemill cleanup JOB --dry-run` counts.", cleanupFields(),
				func(j *Job) **Cleanup { return &j.Cleanup }),
			builtIn(KindEach, "Enqueues a job for each row of a query, or for each batch of rows. What follows it (`then`) follows the end of the last child: `success` if all have succeeded, `failure` if some failed, were cancelled or deleted.", eachFields(),
				func(j *Job) **Each { return &j.Each }),
			programs(),
		},
	}
}

// builtIn is a kind of ours, whose fields are kept at the member of a job that target gives.
func builtIn[T any](name, doc string, fields object[T], target func(*Job) **T) jobKind {
	return jobKind{name: name, doc: doc, fields: fields.infos(), read: func(d *decoder, v value, job *Job) {
		it := new(T)
		fields.reset(d, it)
		fields.readFields(d, v, it)
		*target(job) = it
	}}
}

func programs() jobKind {
	fields := programFields()
	return jobKind{
		name: programKind, doc: "Any other kind is one that your Go program registers with River.", fields: fields.infos(),
		read: func(d *decoder, v value, job *Job) {
			fields.reset(d, job)
			fields.readFields(d, v, job)
		},
	}
}

// infos are all fields of jobs of the kind k.
func (t jobs) infos(k jobKind) []info { return slices.Concat(t.common.of(k.name).infos(), k.fields) }

// of is the kind with that name.
func (t jobs) of(name string) jobKind {
	for _, k := range t.kinds {
		if k.name == name {
			return k
		}
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
	kindRow, rest := t.common[:1], t.common[1:]
	kindRow.readFields(d, v, job)
	if job.Kind == "" { // its further fields cannot be judged
		t.readCommon(d, v, job, rest)
		return job
	}
	own := t.of(job.Kind)
	t.checkKind(d, v, job, own)
	t.readCommon(d, v, job, rest.of(own.name))
	own.read(d, v, job)
	if (job.Kind == KindSQL || job.Kind == KindExport || job.Kind == KindEach) && job.Params == nil {
		job.Params = []Param{} // a statement has no place for one that is not declared
	}
	if job.Kind == KindCleanup {
		job.Params = []Param{} // rules have no place for any
	}
	return job
}

func (t jobs) readCommon(d *decoder, v value, job *Job, fields object[Job]) {
	fields.reset(d, job)
	job.Retry, job.Retention = d.config.Retry, d.config.Retention
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
func (t jobs) checkKind(d *decoder, v value, job *Job, own jobKind) {
	known := t.infos(own)
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.name
	}
	kind, _ := v.node.find("kind")
	meant := suggest(job.Kind, builtInKinds())
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
			names = append(names, k.name)
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
		is, title := map[string]any{"const": k.name}, "Kind `"+k.name+"`"
		if k.name == programKind {
			is, title = map[string]any{"not": map[string]any{"enum": builtInKinds()}}, "Kinds of your own program"
		}
		byKind = append(byKind, map[string]any{
			"if":   map[string]any{"properties": map[string]any{"kind": is}, "required": []string{"kind"}},
			"then": objectSchema(t.infos(k)),
		})
		variants[i] = variant{title, k.doc, k.fields}
	}
	return shape{
		words: "mapping from name to job",
		schema: map[string]any{
			"type":          []string{"object", "null"},
			"propertyNames": map[string]any{"pattern": jobNamePattern, "maxLength": maxNameLength},
			"additionalProperties": map[string]any{
				"type":       "object",
				"required":   []string{"kind"},
				"properties": map[string]any{"kind": kind{}.shape().schema},
				"allOf":      byKind,
			},
		},
		optional: true,
		keys:     "JOB",
		fields:   t.common.infos(),
		variants: variants,
	}
}
