package config

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/tidemill/tidemill/config/field"
)

// fields are those of a job whatever its kind, those that some kinds have no use for among them. The kind itself is the first.
func (t jobs) fields() field.Table[Job] {
	return field.Table[Job]{
		field.Row("kind", kind{t.builtIn()}, "", "What the job does.",
			func(j *Job) *string { return &j.Kind }).Require(),
		field.Row("queue", field.Text{Words: "one of `queues`"}, "default", "Queue the job waits in.",
			func(j *Job) *string { return &j.Queue }),
		field.Row("priority", field.Integer[int]{Min: 1, Max: 4}, "1", "Order within the queue; 1 is first.",
			func(j *Job) *int { return &j.Priority }),
		field.Row("retry", field.Section[Retry]{Fields: field.Inherited("retry", retryFields())}, "", "How a failed run is tried again. For a kind of your own program: `backoff`, `delay`, `max_delay` or `jitter` here take the place of a `NextRetry` written with package `retry`; a job without any of them leaves it in charge.",
			func(j *Job) *Retry { return &j.Retry }).Inherit("the top-level `retry`, field by field"),
		field.Row("retention", field.Section[Retention]{Fields: jobRetentionFields()}, "", "How long what is finished is kept.",
			func(j *Job) *Retention { return &j.Retention }).Inherit("the top-level `retention`, field by field"),
		field.Row("unique", field.Boolean{}, "false", "One live run at a time, also while it is paused or waits for a retry: another start returns the live run, and an import of another file is refused. Runs that were started before this was set do not count.",
			func(j *Job) *bool { return &j.Unique }),
		field.Row("params", params{field.Section[Param]{Fields: paramFields()}}, "", "What a start may give, by name: the type, or the fields below. A name is of lower-case letters, digits and `_`, begins with no digit and has at most 63 characters. Without `params` a start may give anything"+t.words(", except to a job of kind ", " or ", func(k Kind) bool { return k.Params == DeclaredParams })+"; `{}` is none"+t.words(". Not for kinds ", " and ", func(k Kind) bool { return k.Params == NoParams })+".",
			func(j *Job) *[]Param { return &j.Params }),
		field.Row("schedule", newJobSchedule(t.config), "", "When the job starts by itself: `\"0 9 * * *\"`, or the fields below. The schedule has the name of the job; more than one are in the top-level `schedules`. An import needs a `source` for it.",
			func(j *Job) **Schedule { return &j.Schedule }),
		field.Row("then", field.Section[Then]{Fields: thenFields()}, "", "What follows a run that has ended, whoever started it. A cycle is refused.",
			func(j *Job) *Then { return &j.Then }),
		field.Row("stall", field.Duration{Min: time.Second, Max: 30 * field.Day}, "10m", "A job that works in chunks and commits none for this long has failed an attempt. For "+t.words("kinds ", " and ", func(k Kind) bool { return k.Chunked && k.Name != programKind })+" and kinds of your own program.",
			func(j *Job) *time.Duration { return &j.Stall }),
	}
}

func jobRetentionFields() field.Table[Retention] {
	fields := field.Inherited("retention", retentionFields())
	last := &fields[len(fields)-1]
	last.Inherits += ", if that is given; otherwise as `runs`"
	return fields
}

// programFields are the further fields of a job whose kind a user's program registers.
func programFields() field.Table[Job] {
	return field.Table[Job]{
		field.Row("args", field.Mapping{}, "{}", "Arguments of the job; become the JSON object that the worker decodes.",
			func(j *Job) *json.RawMessage { return &j.Args }),
	}
}

// words names the kinds for which is is true, after before; nothing if there are none.
func (t jobs) words(before, last string, is func(Kind) bool) string {
	var names []string
	for _, k := range t.kinds {
		if is(k) {
			names = append(names, "`"+k.Name+"`")
		}
	}
	if len(names) == 0 {
		return ""
	}
	head, tail := strings.Join(names[:len(names)-1], ", "), names[len(names)-1]
	if head == "" {
		return before + tail
	}
	return before + head + last + tail
}
