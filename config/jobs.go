package config

import (
	"regexp"
	"slices"

	"github.com/tidemill/tidemill/config/field"
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
	config *Config // so far: what jobs inherit is before them
	kinds  []Kind  // that of a user's own program is the last
	all    field.Table[Job]
}

func newJobs(kinds []Kind, c *Config) jobs {
	t := jobs{config: c, kinds: append(slices.Clone(kinds), programs())}
	t.all = t.fields() // once: its defaults are YAML, which takes a while to read
	return t
}

// programs are the kinds of a user's own program.
func programs() Kind {
	return Kind{
		Name: programKind, Doc: "Any other kind is one that your Go program registers with River.", Chunked: true,
		fields: programFields().Infos(),
	}
}

// common are the fields of jobs whatever their kind, but for those that this kind has no use for.
func (t jobs) common(k Kind) field.Table[Job] {
	return slices.DeleteFunc(slices.Clone(t.all), func(f field.Field[Job]) bool {
		return f.Name == "params" && k.Params == NoParams || f.Name == "stall" && !k.Chunked
	})
}

// infos are all fields of jobs of the kind k.
func (t jobs) infos(k Kind) []field.Info { return slices.Concat(t.common(k).Infos(), k.fields) }

// of is the kind with that name.
func (t jobs) of(name string) Kind {
	if k, ok := findKind(t.kinds, name); ok {
		return k
	}
	return t.kinds[len(t.kinds)-1]
}

func (t jobs) Read(d *field.Checker, v field.Value, into *map[string]*Job) {
	if !d.Is(v, field.MapNode, "a mapping") {
		return
	}
	for _, e := range v.Node.Entries {
		at := v.Entry(e)
		if !isJobName(e.Key) {
			d.ProblemAt(at, jobNameHint, "%q is not a job name", field.Shorten(e.Key))
			continue
		}
		if job := t.job(d, at); job != nil {
			job.Name = e.Key
			if job.Schedule != nil {
				job.Schedule.Name, job.Schedule.Job = e.Key, e.Key
			}
			(*into)[e.Key] = job
		}
	}
}

func (jobs) Reset(_ *field.Checker, into *map[string]*Job) { *into = map[string]*Job{} }

func (t jobs) job(d *field.Checker, v field.Value) *Job {
	if !d.Is(v, field.MapNode, "a mapping with the fields of a job") {
		return nil
	}
	job := &Job{}
	t.all[:1].ReadFields(d, v, job)
	if job.Kind == "" { // its further fields cannot be judged
		t.readCommon(d, v, job, t.all[1:])
		return job
	}
	own := t.of(job.Kind)
	t.checkKind(d, v, job, own)
	t.readCommon(d, v, job, t.common(own)[1:])
	if own.blank == nil {
		fields := programFields()
		fields.Reset(d, job)
		fields.ReadFields(d, v, job)
		return job
	}
	job.Spec = own.blank(d)
	own.read(d, v, job.Spec)
	if own.Params != AnyParams && job.Params == nil {
		job.Params = []Param{}
	}
	return job
}

func (t jobs) readCommon(d *field.Checker, v field.Value, job *Job, fields field.Table[Job]) {
	fields.Reset(d, job)
	job.Retry, job.Retention = t.config.Retry, t.config.Retention
	fields.ReadFields(d, v, job)
	job.OwnDelays = givesDelays(v)
}

// givesDelays reports whether the job says something about the delays between attempts,
// and not only how many there may be.
func givesDelays(job field.Value) bool {
	section, _ := job.Node.Find("retry")
	for _, name := range []string{"backoff", "delay", "max_delay", "jitter"} {
		if _, given := section.Value.Find(name); given {
			return true
		}
	}
	return false
}

// checkKind reports the fields that the kind of the job does not have; of those that
// another kind has it says which.
func (t jobs) checkKind(d *field.Checker, v field.Value, job *Job, own Kind) {
	known := t.infos(own)
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.Name
	}
	kind, _ := v.Node.Find("kind")
	meant := field.Suggest(job.Kind, t.builtIn())
	for _, e := range v.Node.Entries {
		if hasField(known, e.Key) {
			continue
		}
		owners := t.owners(e.Key)
		if len(owners) == 0 {
			continue
		}
		known = append(known, field.Info{Name: e.Key}) // reported here
		hint := ""
		if s := field.Suggest(e.Key, names); s != "" {
			hint = "did you mean " + s + "?"
		}
		if meant != job.Kind && slices.Contains(owners, meant) {
			hint = "did you mean kind: " + meant + "?"
		}
		d.ProblemAt(v.Entry(e), hint, "is a field of %s, and this job is of kind %s", kindWords(owners), kind.Value.Source)
	}
	field.CheckFields(d, v, known)
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

func hasField(fields []field.Info, name string) bool {
	return slices.ContainsFunc(fields, func(f field.Info) bool { return f.Name == name })
}

func (t jobs) Meta() field.Meta {
	var byKind []any
	variants := make([]field.Variant, len(t.kinds))
	for i, k := range t.kinds {
		is, title := map[string]any{"const": k.Name}, "Kind `"+k.Name+"`"
		if k.Name == programKind {
			is, title = map[string]any{"not": map[string]any{"enum": t.builtIn()}}, "Kinds of your own program"
		}
		byKind = append(byKind, map[string]any{
			"if":   map[string]any{"properties": map[string]any{"kind": is}, "required": []string{"kind"}},
			"then": field.ObjectSchema(t.infos(k)),
		})
		variants[i] = field.Variant{Title: title, Doc: k.Doc, Fields: k.fields}
	}
	return field.Meta{
		Words: "mapping from name to job",
		Schema: map[string]any{
			"type":          []string{"object", "null"},
			"propertyNames": map[string]any{"pattern": jobNamePattern, "maxLength": maxNameLength},
			"additionalProperties": map[string]any{
				"type":       "object",
				"required":   []string{"kind"},
				"properties": map[string]any{"kind": kind{t.builtIn()}.Meta().Schema},
				"allOf":      byKind,
			},
		},
		Optional: true,
		Keys:     "JOB",
		Fields:   t.all.Infos(),
		FieldsOf: t.fieldsOf,
		Variants: variants,
	}
}

// builtIn are the names of the kinds that are not of a user's own program.
func (t jobs) builtIn() []string { return kindNames(t.kinds[:len(t.kinds)-1]) }

// fieldsOf are the fields of the job n.
func (t jobs) fieldsOf(n *field.Node) []field.Info {
	e, _ := n.Find("kind")
	if e.Value == nil {
		return nil
	}
	return t.infos(t.of(e.Value.Text))
}
