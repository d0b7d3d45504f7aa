package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/cron"
)

// scheduleFields are the fields of a schedule in `schedules`.
func scheduleFields() field.Table[Schedule] {
	job := field.Row("job", field.Text{Words: "one of `jobs`", Check: CheckJobName}, "", "The job that it starts; an import needs a `source` for it.",
		func(s *Schedule) *string { return &s.Job }).Require()
	return slices.Concat(field.Table[Schedule]{job}, tickFields())
}

// tickFields are the fields of a schedule in its job.
func tickFields() field.Table[Schedule] {
	return field.Table[Schedule]{
		field.Row("cron", cronText(), "", "When it is due: `\"0 9 * * *\"` is every day at 9:00. Give this or `every`.",
			func(s *Schedule) *string { return &s.Cron }),
		field.Row("every", interval{}, "", "Distance from one tick to the next. Ticks are the multiples of it since 1970 in UTC, so that a restart does not shift them: with `1h`, each full hour.",
			func(s *Schedule) *time.Duration { return &s.Every }),
		field.Row("timezone", field.Text{Words: "IANA name", Check: CheckTimezone}, "", "Time zone of `cron`.",
			func(s *Schedule) *string { return &s.Timezone }).Inherit("the top-level `timezone`"),
		field.Row("catch_up", field.Choice{CatchUpLatest, CatchUpAll, CatchUpNone}, CatchUpLatest, "What happens to ticks that are late, by a minute or, if no worker ran when they came due, by one interval where that is shorter: one run for the newest of them, one for each of the newest 1,000, or none.",
			func(s *Schedule) *string { return &s.CatchUp }),
		field.Row("catch_up_window", field.Duration{Min: time.Minute, Max: Year}, "24h", "Ticks that are older than this are not caught up.",
			func(s *Schedule) *time.Duration { return &s.CatchUpWindow }),
		field.Row("overlap", field.Choice{OverlapSkip, OverlapQueue, OverlapAllow}, OverlapSkip, "What a tick does while a run of its job is live, whoever started it; one that is paused or waits for a retry is live: nothing, wait for the end of the run (one tick may wait), or start another. A job that is `unique` cannot have `allow`.",
			func(s *Schedule) *string { return &s.Overlap }),
		field.Row("jitter", field.Duration{Min: 0, Max: field.Day}, "0s", "Each run begins up to this much after its tick, so that those of one instant do not begin together.",
			func(s *Schedule) *time.Duration { return &s.Jitter }),
		field.Row("params", field.Mapping{}, "", "What each run is given; the job says what it takes.",
			func(s *Schedule) *json.RawMessage { return &s.Params }),
	}
}

// schedules is a mapping from names to schedules.
type schedules struct {
	long   field.Section[Schedule]
	config *Config // so far
}

func newSchedules(c *Config) schedules {
	return schedules{field.Section[Schedule]{Fields: scheduleFields()}, c}
}

func (t schedules) Read(d *field.Checker, v field.Value, into *map[string]*Schedule) {
	if !d.Is(v, field.MapNode, "a mapping from names to schedules") {
		return
	}
	for _, e := range v.Node.Entries {
		at := v.Entry(e)
		if !isJobName(e.Key) {
			d.ProblemAt(at, jobNameHint, "%q is not the name of a schedule", field.Shorten(e.Key))
			continue
		}
		if !d.Is(at, field.MapNode, "a mapping with the fields of a schedule") {
			continue
		}
		s := readSchedule(d, at, t.long, t.config)
		s.Name = e.Key
		(*into)[e.Key] = s
	}
}

func (schedules) Reset(_ *field.Checker, into *map[string]*Schedule) { *into = map[string]*Schedule{} }

func (t schedules) Meta() field.Meta {
	long := t.long.Meta()
	return field.Meta{
		Words: "mapping from name to schedule",
		Schema: map[string]any{
			"type":                 []string{"object", "null"},
			"propertyNames":        map[string]any{"pattern": jobNamePattern, "maxLength": maxNameLength},
			"additionalProperties": long.Schema,
		},
		Optional: true,
		Keys:     "SCHEDULE",
		Fields:   long.Fields,
	}
}

// readSchedule reads a mapping.
func readSchedule(d *field.Checker, v field.Value, long field.Section[Schedule], c *Config) *Schedule {
	s := emptySchedule(d, long, c)
	long.Read(d, v, s)
	_, hasCron := v.Node.Find("cron")
	_, hasEvery := v.Node.Find("every")
	switch {
	case hasCron && hasEvery:
		d.ProblemAt(v, "remove one of them", "cron and every exclude each other")
	case !hasCron && !hasEvery:
		d.ProblemAt(v, `add cron: "0 9 * * *" or every: 1h`, "cron or every is missing")
	}
	return s
}

func emptySchedule(d *field.Checker, long field.Section[Schedule], c *Config) *Schedule {
	s := &Schedule{}
	long.Reset(d, s)
	s.Timezone = c.Timezone
	return s
}

// jobSchedule is the one schedule of a job, which has its name: a cron expression or a mapping.
type jobSchedule struct {
	long   field.Section[Schedule]
	config *Config // so far
}

func newJobSchedule(c *Config) jobSchedule {
	return jobSchedule{field.Section[Schedule]{Fields: tickFields()}, c}
}

func (t jobSchedule) Read(d *field.Checker, v field.Value, into **Schedule) {
	if v.Node.Kind == field.MapNode {
		*into = readSchedule(d, v, t.long, t.config)
		return
	}
	if cron, ok := cronText().Value(d, v); ok {
		s := emptySchedule(d, t.long, t.config)
		s.Cron = cron
		*into = s
	}
}

func (t jobSchedule) Meta() field.Meta {
	long := t.long.Meta()
	long.Schema["type"] = "object" // nothing is no schedule, and a mistake
	return field.Meta{
		Words:  "cron expression, or mapping",
		Schema: map[string]any{"anyOf": []any{cronText().Meta().Schema, long.Schema}},
		Fields: long.Fields,
	}
}

func cronText() field.Text { return field.Text{Words: "cron expression", Check: checkCron} }

func checkCron(s string) (problem, hint string) {
	if every, err := field.ParseDuration(s); err == nil {
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

func CheckJobName(s string) (problem, hint string) {
	if s == "" {
		return "names no job", "give the name of one of jobs"
	}
	return "", ""
}

// interval is the distance between ticks.
type interval struct{}

func (interval) within() field.Duration {
	return field.Duration{Min: cron.MinEvery, Max: cron.MaxEvery}
}

func (t interval) Read(d *field.Checker, v field.Value, into *time.Duration) {
	var every time.Duration
	t.within().Read(d, v, &every)
	if every%time.Second != 0 {
		d.InvalidValue(v, "", "is not of whole seconds")
		return
	}
	*into = every
}

func (t interval) Meta() field.Meta {
	s := t.within().Meta()
	s.Words += ", whole seconds"
	return s
}
