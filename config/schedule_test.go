package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

// Schedules of jobs of several kinds, in flow style: of the one in a job, and of those beside.
func TestScheduleRules(t *testing.T) {
	t.Parallel()
	const jobs = `jobs: {
		own: {kind: own}, single: {kind: own, unique: true}, load: {kind: import, table: t}, call: {kind: http, url: "http://h"},
		stats: {kind: sql, statement: "SELECT :day, :n", params: {day: {type: date, default: scheduled_for}, n: integer}}, none: {kind: sql, statement: SELECT 1} }
`
	const (
		five    = " (write minute, hour, day of the month, month, day of the week"
		when    = " (add cron: \"0 9 * * *\" or every: 1h)"
		seconds = " is not a duration (write it like 30s, 10m, 1h30m or 1d12h)"
		daily   = `job: own, cron: "@daily", `
	)
	tests := map[string]struct {
		fields string
		want   []string // after "schedules.s"; nil: accepted
	}{
		"cron":                  {`job: own, cron: "0 9 * * mon-fri"`, nil},
		"shortcut":              {daily, nil},
		"every second":          {"job: own, every: 1s", nil},
		"every leap year":       {"job: own, every: 366d", nil},
		"everything":            {daily + "timezone: Asia/Tokyo, catch_up: none, catch_up_window: 1m, overlap: allow, jitter: 1d, params: {a: {b: [1]}}", nil},
		"empty params":          {"job: none, every: 1h, params: {}", nil},
		"nothing":               {"", []string{": job is missing (add job:)", ": cron or every is missing" + when}},
		"cron and every":        {daily + "every: 1h", []string{": cron and every exclude each other (remove one of them)"}},
		"empty cron":            {"job: own, cron: ''", []string{`.cron: an empty text is not a cron expression (write it like "0 9 * * *")`}},
		"blank cron":            {"job: own, cron: ' '", []string{`.cron: " " is not a cron expression: it is empty (write five fields, like "0 9 * * *")`}},
		"no cron":               {"job: own, cron: ", []string{".cron: has no value (give a text, or remove it)"}},
		"six fields":            {"job: own, cron: 0 0 9 * * 1", []string{`.cron: "0 0 9 * * 1" is not a cron expression: it has 6 fields instead of 5 (there are no seconds and no years; without the seconds it is "0 9 * * 1")`}},
		"one number":            {"job: own, cron: 5", []string{`.cron: "5" is a number, not text (put it in quotes: "5")`}},
		"hour":                  {"job: own, cron: 0 25 * * *", []string{`.cron: "0 25 * * *" is not a cron expression: at column 3 of it, hour 25 is not in 0-23`}},
		"impossible date":       {"job: own, cron: 0 0 30 2 *", []string{`.cron: "0 0 30 2 *" is not a cron expression: at column 5 of it, no month that it names has such a day: on 30 February`}},
		"zone in cron":          {"job: own, cron: TZ=UTC 0 9 * * *", []string{`.cron: "TZ=UTC 0 9 * * *" is not a cron expression: at column 1 of it, TZ= does not belong here (leave it out here and write timezone: UTC)`}},
		"@every":                {`job: own, cron: "@every 1h"`, []string{`.cron: "@every 1h" is not a cron expression: at column 1 of it, @every does not belong here (write every: 1h in place of cron)`}},
		"duration as cron":      {"job: own, cron: 1h30m", []string{`.cron: "1h30m" is a duration, not a cron expression (write every: 1h30m)`}},
		"half a second as cron": {"job: own, cron: 500ms", []string{`.cron: "500ms" is a duration, not a cron expression (write every: with whole seconds, from 1s to 366d)`}},
		"zone after cron":       {"job: own, cron: 0 9 * * * Asia/Tokyo", []string{`.cron: "0 9 * * * Asia/Tokyo" is not a cron expression: at column 11 of it, a time zone does not belong here (leave it out here and write timezone: Asia/Tokyo)`}},
		"sentence":              {"job: own, cron: every 5 minutes", []string{`.cron: "every 5 minutes" is not a cron expression: a sentence is no expression (write every: 5m in place of cron)`}},
		"every number":          {"job: own, every: 30", []string{`.every: "30"` + seconds}},
		"every half second":     {"job: own, every: 1.5s", []string{`.every: "1.5s" is not of whole seconds`}},
		"every nothing":         {"job: own, every: 0s", []string{`.every: "0s" is not from 1s to 366d`}},
		"every long":            {"job: own, every: 367d", []string{`.every: "367d" is not from 1s to 366d`}},
		"zone":                  {daily + "timezone: Mars", []string{`.timezone: "Mars" is not a time zone (write it like Asia/Tokyo, Europe/Berlin or UTC)`}},
		"local zone":            {daily + "timezone: Local", []string{`.timezone: "Local" is not a time zone (write it like Asia/Tokyo, Europe/Berlin or UTC)`}},
		"catch_up":              {daily + "catch_up: lates", []string{`.catch_up: "lates" is not one of latest, all, none (did you mean latest?)`}},
		"window":                {daily + "catch_up_window: 59s", []string{`.catch_up_window: "59s" is not from 1m to 365d`}},
		"overlap":               {daily + "overlap: no", []string{`.overlap: "no" is not one of skip, queue, allow`}},
		"jitter":                {daily + "jitter: 25h", []string{`.jitter: "25h" is not from 0s to 1d`}},
		"unknown field":         {daily + "tiemzone: UTC", []string{".tiemzone: unknown field (did you mean timezone?)"}},
		"unknown job":           {"job: onw, every: 1h", []string{`.job: "onw" is not a job (did you mean own?)`}},
		"job of no likeness":    {"job: sync-users, every: 1h", []string{`.job: "sync-users" is not a job (known here: call, load, none, own, single, stats)`}},
		"empty job":             {"job: '', every: 1h", []string{".job: an empty text names no job (give the name of one of jobs)"}},
		"import":                {"job: load, every: 1h", []string{".job: job load is an import without source, which takes a file (say where its files are: source: file:///srv/drop/*.csv)"}},
		"unique":                {"job: single, every: 1h, overlap: queue", nil},
		"unique side by side":   {"job: single, every: 1h, overlap: allow", []string{".overlap: job single is unique: it has one live run at a time (choose skip or queue)"}},
		"params as list":        {daily + "params: [a]", []string{".params: is a list, not a mapping"}},
		"params of any job":     {"job: call, every: 1h, params: {a: 1, b: null}", nil},
		"number not of JSON":    {daily + "params: {a: 007}", []string{`.params.a: "007" is not a number in JSON (put it in quotes to keep it as text, or write it without leading zeros, plus signs and bare dots)`}},
		"params":                {"job: stats, every: 1h, params: {n: 1, day: 2026-01-31}", nil},
		"params as texts":       {"job: stats, every: 1h, params: {n: '-1', day: }", nil},
		"param missing":         {"job: stats, every: 1h", []string{".params.n: is missing (job stats needs it: a whole number)"}},
		"param null":            {"job: stats, every: 1h, params: {n: }", []string{".params.n: is missing (job stats needs it: a whole number)"}},
		"param unknown":         {"job: stats, every: 1h, params: {n: 1, dya: 2026-01-31}", []string{".params.dya: job stats has no such param (did you mean day?)"}},
		"param of none":         {"job: none, every: 1h, params: {a: 1}", []string{".params.a: job none has no such param (it takes none)"}},
		"params of other type":  {"job: stats, every: 1h, params: {n: 1.5, day: [2026-01-31]}", []string{`.params.n: "1.5" is not a whole number (write it like 12 or -5)`, ".params.day: a list is not a date (write it like 2026-01-31)"}},
		"secret param":          {"job: stats, every: 1h, params: {n: '${TEXT}'}", []string{`.params.n: "${TEXT}" is not a whole number (write it like 12 or -5)`}},
		"param from outside":    {"job: stats, every: 1h, params: {n: '${NUMBER}'}", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := lookup(map[string]string{"TEXT": "hidden", "NUMBER": "12"})
			var got []string
			for _, line := range messages(t, jobs+"schedules: {s: {"+tt.fields+"}}", opts) {
				_, after, _ := strings.Cut(line, "schedules.s")
				got = append(got, after)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJobScheduleRules(t *testing.T) {
	t.Parallel()
	const stats = "kind: sql, statement: 'SELECT :n', params: {n: integer}, "
	for fields, want := range map[string][]string{
		"kind: own, schedule: '@hourly'":                                 nil,
		"kind: own, schedule: {every: 5m}":                               nil,
		"kind: own, schedule: ":                                          {".schedule: has no value (give a text, or remove it)"},
		"kind: own, schedule: 1h":                                        {`.schedule: "1h" is a duration, not a cron expression (write every: 1h)`},
		"kind: own, schedule: 0 9 * *":                                   {`.schedule: "0 9 * *" is not a cron expression: it has 4 fields instead of 5 (write minute, hour, day of the month, month, day of the week)`},
		"kind: own, schedule: [0 9 * * *]":                               {".schedule: is a list, not text"},
		"kind: own, schedule: {}":                                        {`.schedule: cron or every is missing (add cron: "0 9 * * *" or every: 1h)`},
		"kind: own, schedule: {every: 1h, job: b}":                       {".schedule.job: unknown field (known here: cron, every, timezone, catch_up, catch_up_window, overlap, jitter, params)"},
		"kind: own, unique: true, schedule: {every: 1h, overlap: allow}": {".schedule.overlap: job a is unique: it has one live run at a time (choose skip or queue)"},
		stats + "schedule: {every: 1h, params: {n: 5}}":                  nil,
		stats + "schedule: {every: 1h, params: {n: x}}":                  {`.schedule.params.n: "x" is not a whole number (write it like 12 or -5)`},
		stats + "schedule: 0 9 * * *":                                    {".schedule.params.n: is missing (job a needs it: a whole number)"},
		"kind: import, table: t, schedule: 0 9 * * *":                    {".schedule: job a is an import without source, which takes a file (say where its files are: source: file:///srv/drop/*.csv)"},
		"kind: import, table: t, source: file:///*, schedule: 0 9 * *":   {`.schedule: "0 9 * *" is not a cron expression: it has 4 fields instead of 5 (write minute, hour, day of the month, month, day of the week)`},
		"kind: import, table: t, source: file:///*, schedule: '@daily'":  nil,
		"kind: own, schedules: {}":                                       {".schedules: unknown field (did you mean schedule?)"},
	} {
		var got []string
		for _, line := range messages(t, "jobs: {a: {"+fields+"}}", lookup(nil)) {
			_, after, _ := strings.Cut(line, "jobs.a")
			got = append(got, after)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", fields, diff)
		}
	}
}

func TestSchedulesAsAWhole(t *testing.T) {
	t.Parallel()
	for src, want := range map[string][]string{
		"schedules: []":             {"1:1: schedules: is a list, not a mapping from names to schedules"},
		"schedules: {A: {}}":        {`1:13: schedules.A: "A" is not the name of a schedule (lower-case letters, digits, - and _, a letter or digit first, at most 64)`},
		"schedules: {a: 0 9 * * *}": {`1:13: schedules.a: "0 9 * * *" is not a mapping with the fields of a schedule`},
		"schedules: {a: }":          {"1:13: schedules.a: is empty, not a mapping with the fields of a schedule"},
		"schedules: {a: {job: a, every: 1h}}": {
			`1:17: schedules.a.job: "a" is not a job (describe it under jobs)`,
		},
		"jobs: {" + many("j%d: {kind: own},") + "}\nschedules: {a: {job: j, every: 1h}}": {
			`2:17: schedules.a.job: "j" is not a job (describe it under jobs)`,
		},
		// The job is there, though it has no name.
		"jobs: {A: {kind: own}}\nschedules: {a: {job: A, every: 1h}}": {
			`1:8: jobs.A: "A" is not a job name (lower-case letters, digits, - and _, a letter or digit first, at most 64)`,
		},
		// What the params are is not known.
		"jobs: {a: {kind: sql, statement: 'SELECT :n', params: {n: x}}}\nschedules: {b: {job: a, every: 1h}}": {
			`1:56: jobs.a.params.n: "x" is not one of text, integer, number, boolean, date, timestamp, uuid, json`,
		},
		"jobs:\n  a: {kind: own, schedule: 0 9 * * *}\n  b: {kind: own}\nschedules: {a: {job: b, every: 1h}}": {
			"4:13: schedules.a: the schedule in job a, at line 2, has this name too (choose another name, or remove one of them)",
		},
		"timezone: Mars\njobs: {a: {kind: own, schedule: 0 9 * * *}}": {
			`1:1: timezone: "Mars" is not a time zone (write it like Asia/Tokyo, Europe/Berlin or UTC)`,
		},
	} {
		if diff := cmp.Diff(want, messages(t, src, lookup(nil))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", src, diff)
		}
	}
}

func TestJobSchedule(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "jobs: {a: {kind: own, schedule: 0 9 * * *}, b: {kind: own}}\nschedules: {c: {job: a, every: 90m, timezone: UTC}}\ntimezone: Asia/Tokyo")
	base := config.Schedule{Job: "a", Timezone: "Asia/Tokyo", CatchUp: config.CatchUpLatest, CatchUpWindow: field.Day, Overlap: config.OverlapSkip}
	inJob, beside := base, base
	inJob.Name, inJob.Cron = "a", "0 9 * * *"
	beside.Name, beside.Every, beside.Timezone = "c", 90*time.Minute, "UTC"
	if diff := cmp.Diff(map[string]*config.Schedule{"a": &inJob, "c": &beside}, c.Schedules); diff != "" {
		t.Errorf("schedules (-want +got):\n%s", diff)
	}
	if c.Jobs["a"].Schedule != c.Schedules["a"] || c.Jobs["b"].Schedule != nil {
		t.Error("the schedule in a job is not that of the config")
	}
}

// A value from outside is text where the job says what it is, whatever it looks like.
func TestScheduleParamsFromOutside(t *testing.T) {
	t.Parallel()
	src := "jobs:\n  a: {kind: http, url: 'http://h', params: {code: text, tree: json}}\n  b: {kind: http, url: 'http://h'}\n" +
		"schedules:\n  a:\n    job: a\n    every: 1h\n    params:\n      code: ${N}\n      tree: [1, 'x']\n  b:\n    job: b\n    every: 1h\n    params:\n      code: ${N}\n"
	c, err := config.Parse("", []byte(src), lookup(map[string]string{"N": "007"}))
	if err == nil {
		t.Fatalf("a number that JSON does not have is accepted: %s", c.Schedules["b"].Params)
	}
	c, err = config.Parse("", []byte(src), lookup(map[string]string{"N": "7"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": `{"code":"7","tree":[1,"x"]}`, "b": `{"code":7}`} {
		if got := string(c.Schedules[name].Params); got != want {
			t.Errorf("params of %s are %s, want %s", name, got, want)
		}
	}
}

func TestSchedulesOffline(t *testing.T) {
	t.Parallel()
	opts := lookup(nil)
	opts.Offline = true
	c, err := config.Parse("", []byte(`
jobs:
  a: {kind: sql, statement: "SELECT :n", params: {n: integer}, schedule: "${X}"}
  b: {kind: own, unique: true}
  c: {kind: "${X}"}
schedules:
  b: {job: b, cron: "${X}", timezone: "${X}", catch_up: "${X}", catch_up_window: "${X}", overlap: "${X}", jitter: "${X}", params: {a: "${X}"}}
  c: {job: "${X}", every: "${X}"}
  d: {job: c, every: 1h, params: {a: 1}}
  e: {job: a, every: 1h, params: {n: "${X}"}}
`), opts)
	if got := fmt.Sprint(err); strings.Count(got, "\n") > 0 || !strings.Contains(got, "jobs.a.schedule.params.n: is missing") {
		t.Errorf("%s: config %v", got, c)
	}
}
