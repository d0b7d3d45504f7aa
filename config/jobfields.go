package config

import (
	"encoding/json"
	"strings"
	"time"
)

// fields are those of a job whatever its kind, those that some kinds have no use for among them. The kind itself is the first.
func (t jobs) fields() object[Job] {
	return object[Job]{
		row("kind", kind{t.builtIn()}, "", "What the job does.",
			func(j *Job) *string { return &j.Kind }).needed(),
		row("queue", text{words: "one of `queues`"}, "default", "Queue the job waits in.",
			func(j *Job) *string { return &j.Queue }),
		row("priority", integer[int]{1, 4}, "1", "Order within the queue; 1 is first.",
			func(j *Job) *int { return &j.Priority }),
		row("retry", section[Retry]{inherited("retry", retryFields())}, "", "How a failed run is tried again. For a kind of your own program: `backoff`, `delay`, `max_delay` or `jitter` here take the place of a `NextRetry` written with package `retry`; a job without any of them leaves it in charge.",
			func(j *Job) *Retry { return &j.Retry }).from("the top-level `retry`, field by field"),
		row("retention", section[Retention]{jobRetentionFields()}, "", "How long what is finished is kept.",
			func(j *Job) *Retention { return &j.Retention }).from("the top-level `retention`, field by field"),
		row("unique", boolean{}, "false", "One live run at a time, also while it is paused or waits for a retry: another start returns the live run, and an import of another file is refused. Runs that were started before this was set do not count.",
			func(j *Job) *bool { return &j.Unique }),
		row("params", params{section[Param]{paramFields()}}, "", "What a start may give, by name: the type, or the fields below. A name is of lower-case letters, digits and `_`, begins with no digit and has at most 63 characters. Without `params` a start may give anything"+t.words(", except to a job of kind ", " or ", func(k Kind) bool { return k.Params == DeclaredParams })+"; `{}` is none"+t.words(". Not for kinds ", " and ", func(k Kind) bool { return k.Params == NoParams })+".",
			func(j *Job) *[]Param { return &j.Params }),
		row("schedule", newJobSchedule(t.config), "", "When the job starts by itself: `\"0 9 * * *\"`, or the fields below. The schedule has the name of the job; more than one stand in the top-level `schedules`. An import needs a `source` for it.",
			func(j *Job) **Schedule { return &j.Schedule }),
		row("then", section[Then]{thenFields()}, "", "What follows a run that has ended, whoever started it. A circle is refused.",
			func(j *Job) *Then { return &j.Then }),
		row("stall", duration{time.Second, 30 * day}, "10m", "A job that works in chunks and commits none for this long has failed an attempt. For "+t.words("kinds ", " and ", func(k Kind) bool { return k.Chunked && k.Name != programKind })+" and kinds of your own program.",
			func(j *Job) *time.Duration { return &j.Stall }),
	}
}

func jobRetentionFields() object[Retention] {
	fields := inherited("retention", retentionFields())
	last := &fields[len(fields)-1]
	last.inherits += ", if that is given; otherwise as `runs`"
	return fields
}

// programFields are the further fields of a job whose kind a user's program registers.
func programFields() object[Job] {
	return object[Job]{
		row("args", args{}, "{}", "Arguments of the job; become the JSON object that the worker decodes.",
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
