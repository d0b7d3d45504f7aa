package config

import (
	"fmt"
	"regexp"
	"slices"
)

const jobNamePattern = `^[a-z0-9][a-z0-9_-]*$`

var jobNameRE = regexp.MustCompile(jobNamePattern)

// jobs is a mapping from names to jobs, whose fields depend on their kind.
type jobs struct {
	common  object[Job]    // fields of every kind
	program object[Job]    // further fields of kinds of the user's own
	imports object[Import] // further fields of kind import

	commonInfos, programInfos, importInfos []info
}

func newJobs() jobs {
	common, program, imports := jobFields(), programFields(), importFields()
	return jobs{
		common: common, program: program, imports: imports,
		commonInfos: common.infos(), programInfos: program.infos(), importInfos: imports.infos(),
	}
}

func (t jobs) read(d *decoder, v value, into *map[string]*Job) {
	if !d.is(v, mapNode, "a mapping") {
		return
	}
	for _, e := range v.node.entries {
		at := v.entry(e)
		if len(e.key) > maxNameLength || !jobNameRE.MatchString(e.key) {
			d.fail(at, "lower-case letters, digits, - and _, a letter or digit first, at most 64", "%q is not a job name", shorten(e.key))
			continue
		}
		if job := t.job(d, at); job != nil {
			job.Name = e.key
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
	t.common.reset(d, job)
	job.Retry, job.Retention = d.config.Retry, d.config.Retention
	t.common.readFields(d, v, job)
	job.OwnDelays = givesDelays(v)

	switch job.Kind {
	case "": // its further fields cannot be judged
	case KindImport:
		t.checkKind(d, v, job, t.importInfos, t.programInfos, "a kind that your program registers")
		job.Import = &Import{}
		t.imports.reset(d, job.Import)
		t.imports.readFields(d, v, job.Import)
	default:
		t.checkKind(d, v, job, t.programInfos, t.importInfos, "kind "+KindImport)
		t.program.reset(d, job)
		t.program.readFields(d, v, job)
	}
	return job
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

// checkKind reports the fields that the kind of the job does not have; of foreign
// ones it says to whom they belong.
func (t jobs) checkKind(d *decoder, v value, job *Job, own, foreign []info, owner string) {
	kind, _ := v.node.find("kind")
	var misplaced []info
	for _, f := range foreign {
		e, given := v.node.find(f.name)
		if !given {
			continue
		}
		misplaced = append(misplaced, f)
		hint := ""
		if s := suggest(job.Kind, builtInKinds()); s != "" && s != job.Kind {
			hint = "did you mean kind: " + s + "?"
		}
		d.fail(v.entry(e), hint, "is a field of %s, and this job is of kind %s", owner, kind.value.source)
	}
	checkFields(d, v, slices.Concat(t.commonInfos, own, misplaced))
}

func (t jobs) shape() shape {
	common, imports, program := t.commonInfos, t.importInfos, t.programInfos
	job := map[string]any{
		"type":       "object",
		"required":   []string{"kind"},
		"properties": map[string]any{"kind": kind{}.shape().schema},
		"if": map[string]any{
			"properties": map[string]any{"kind": map[string]any{"const": KindImport}},
			"required":   []string{"kind"},
		},
		"then": objectSchema(slices.Concat(common, imports)),
		"else": objectSchema(slices.Concat(common, program)),
	}
	return shape{
		words: "mapping from name to job",
		schema: map[string]any{
			"type":                 []string{"object", "null"},
			"propertyNames":        map[string]any{"pattern": jobNamePattern, "maxLength": maxNameLength},
			"additionalProperties": job,
		},
		optional: true,
		keys:     "JOB",
		fields:   common,
		variants: []variant{
			{fmt.Sprintf("Kind `%s`", KindImport), "Loads a file into a table.", imports},
			{"Kinds of your own program", "Any other kind is one that your Go program registers with River.", program},
		},
	}
}
