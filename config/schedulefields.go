package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/cron"
)

// scheduleFields are the fields of a schedule in `schedules`.
func scheduleFields() object[Schedule] {
	job := row("job", text{words: "one of `jobs`", check: checkJobName}, "", "The job that it starts; an import needs a `source` for it.",
		func(s *Schedule) *string { return &s.Job }).needed()
	return slices.Concat(object[Schedule]{job}, tickFields())
}

// tickFields are the fields of a schedule in its job.
func tickFields() object[Schedule] {
	return object[Schedule]{
		row("cron", cronText(), "", "When it is due: `\"0 9 * * *\"` is every day at 9:00. Give this or `every`.",
			func(s *Schedule) *string { return &s.Cron }),
		row("every", interval{}, "", "Distance from one tick to the next. Ticks are the multiples of it since 1970 in UTC, so that a restart does not shift them: with `1h`, each full hour.",
			func(s *Schedule) *time.Duration { return &s.Every }),
		row("timezone", text{words: "IANA name", check: checkTimezone}, "", "Time zone of `cron`.",
			func(s *Schedule) *string { return &s.Timezone }).from("the top-level `timezone`"),
		row("catch_up", choice{CatchUpLatest, CatchUpAll, CatchUpNone}, CatchUpLatest, "What happens to ticks that are late, by a minute or, if no worker ran when they came due, by one interval where that is shorter: one run for the newest of them, one for each of the newest 1,000, or none.",
			func(s *Schedule) *string { return &s.CatchUp }),
		row("catch_up_window", duration{time.Minute, year}, "24h", "Ticks that are older than this are not caught up.",
			func(s *Schedule) *time.Duration { return &s.CatchUpWindow }),
		row("overlap", choice{OverlapSkip, OverlapQueue, OverlapAllow}, OverlapSkip, "What a tick does while a run of its job is live, whoever started it; one that is paused or waits for a retry is live: nothing, wait for the end of the run (one tick may wait), or start another. A job that is `unique` cannot have `allow`.",
			func(s *Schedule) *string { return &s.Overlap }),
		row("jitter", duration{0, day}, "0s", "Each run begins up to this much after its tick, so that those of one instant do not begin together.",
			func(s *Schedule) *time.Duration { return &s.Jitter }),
		row("params", args{}, "", "What each run is given; the job says what it takes.",
			func(s *Schedule) *json.RawMessage { return &s.Params }),
	}
}

// schedules is a mapping from names to schedules.
type schedules struct {
	long   section[Schedule]
	config *Config // so far
}

func newSchedules(c *Config) schedules { return schedules{section[Schedule]{scheduleFields()}, c} }

func (t schedules) read(d *decoder, v value, into *map[string]*Schedule) {
	if !d.is(v, mapNode, "a mapping from names to schedules") {
		return
	}
	for _, e := range v.node.entries {
		at := v.entry(e)
		if !isJobName(e.key) {
			d.fail(at, jobNameHint, "%q is not the name of a schedule", shorten(e.key))
			continue
		}
		if !d.is(at, mapNode, "a mapping with the fields of a schedule") {
			continue
		}
		s := readSchedule(d, at, t.long, t.config)
		s.Name = e.key
		(*into)[e.key] = s
	}
}

func (schedules) reset(_ *decoder, into *map[string]*Schedule) { *into = map[string]*Schedule{} }

func (t schedules) shape() shape {
	long := t.long.shape()
	return shape{
		words: "mapping from name to schedule",
		schema: map[string]any{
			"type":                 []string{"object", "null"},
			"propertyNames":        map[string]any{"pattern": jobNamePattern, "maxLength": maxNameLength},
			"additionalProperties": long.schema,
		},
		optional: true,
		keys:     "SCHEDULE",
		fields:   long.fields,
	}
}

// readSchedule reads a mapping.
func readSchedule(d *decoder, v value, long section[Schedule], c *Config) *Schedule {
	s := emptySchedule(d, long, c)
	long.read(d, v, s)
	_, hasCron := v.node.find("cron")
	_, hasEvery := v.node.find("every")
	switch {
	case hasCron && hasEvery:
		d.fail(v, "remove one of them", "cron and every exclude each other")
	case !hasCron && !hasEvery:
		d.fail(v, `add cron: "0 9 * * *" or every: 1h`, "cron or every is missing")
	}
	return s
}

func emptySchedule(d *decoder, long section[Schedule], c *Config) *Schedule {
	s := &Schedule{}
	long.reset(d, s)
	s.Timezone = c.Timezone
	return s
}

// jobSchedule is the one schedule of a job, which has its name: a cron expression or a mapping.
type jobSchedule struct {
	long   section[Schedule]
	config *Config // so far
}

func newJobSchedule(c *Config) jobSchedule { return jobSchedule{section[Schedule]{tickFields()}, c} }

func (t jobSchedule) read(d *decoder, v value, into **Schedule) {
	if v.node.kind == mapNode {
		*into = readSchedule(d, v, t.long, t.config)
		return
	}
	if cron, ok := cronText().text(d, v); ok {
		s := emptySchedule(d, t.long, t.config)
		s.Cron = cron
		*into = s
	}
}

func (t jobSchedule) shape() shape {
	long := t.long.shape()
	long.schema["type"] = "object" // nothing is no schedule, and a mistake
	return shape{
		words:  "cron expression, or mapping",
		schema: map[string]any{"anyOf": []any{cronText().shape().schema, long.schema}},
		fields: long.fields,
	}
}

func cronText() text { return text{words: "cron expression", check: checkCron} }

func checkCron(s string) (problem, hint string) {
	if every, ok := parseDuration(s); ok {
		if every < cron.MinEvery || every > cron.MaxEvery || every%time.Second != 0 {
			return "is a duration, not a cron expression", "write every: with whole seconds, from 1s to 366d"
		}
		return "is a duration, not a cron expression", "write every: " + s
	}
	if s == "" {
		return "is not a cron expression", `write it like "0 9 * * *"`
	}
	_, err := cron.Parse(cron.Spec{Cron: s})
	var wrong *cron.SpecError
	switch {
	case err == nil:
		return "", ""
	case !errors.As(err, &wrong):
		return "is not a cron expression: " + err.Error(), ""
	case wrong.Column > 0:
		return fmt.Sprintf("is not a cron expression: at column %d of it, %s", wrong.Column, wrong.Message), wrong.Hint
	}
	return "is not a cron expression: " + wrong.Message, wrong.Hint
}

func checkJobName(s string) (problem, hint string) {
	if s == "" {
		return "names no job", "give the name of one of jobs"
	}
	return "", ""
}

// interval is the distance between ticks.
type interval struct{}

func (interval) within() duration { return duration{cron.MinEvery, cron.MaxEvery} }

func (t interval) read(d *decoder, v value, into *time.Duration) {
	var every time.Duration
	t.within().read(d, v, &every)
	if every%time.Second != 0 {
		d.refuse(v, "", "is not of whole seconds")
		return
	}
	*into = every
}

func (t interval) shape() shape {
	s := t.within().shape()
	s.words += ", whole seconds"
	return s
}
