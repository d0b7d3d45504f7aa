package convert

import (
	"fmt"
	"slices"
	"strconv"
)

// sidekiqFile is a sidekiq.yml or a schedule, between its template and its conversion.
type sidekiqFile struct {
	*converter
	erb    *erb
	queues []*queue
	byName map[string]*queue // by the name that Sidekiq has
	here   map[string]*queue // by the name that Tidemill has
	calls  map[call]*job
	paths  map[string]string // of classes; each has a URL of its own

	takenPaths names
}

func (c *converter) sidekiqTree(text string) (*sidekiqFile, *node, error) {
	plain, tags := c.stripERB(text)
	root, err := c.parseYAML(plain)
	if err != nil {
		return nil, nil, err
	}
	return &sidekiqFile{converter: c, erb: tags, byName: map[string]*queue{}, here: map[string]*queue{}, calls: map[call]*job{},
		paths: map[string]string{}, takenPaths: names{}}, root, nil
}

// Sidekiq's own defaults.
const (
	sidekiqConcurrency = 5
	sidekiqRetries     = 25
)

func (c *converter) sidekiq(text string) error {
	f, root, err := c.sidekiqTree(text)
	if err != nil {
		return err
	}
	if root.kind != mapNode {
		return c.fail(max(1, root.line), "a sidekiq.yml is a mapping of settings, this is %s", root.what())
	}
	settings := f.settings(root)
	f.intro = append(f.intro, "Converted from "+c.file+" by: tidemill convert", "")
	f.readQueues(settings)
	for _, e := range settings.entries {
		f.setting(e)
	}
	f.readSchedules(settings)
	f.finishSidekiq(settings)
	return nil
}

// sidekiqCron converts a file that holds nothing but a schedule.
func (c *converter) sidekiqCron(text string) error {
	f, root, err := c.sidekiqTree(text)
	if err != nil {
		return err
	}
	if root.kind == mapNode && root.get(c.opts.Environment) != nil && root.get(c.opts.Environment).get("cron") == nil {
		root = f.settings(root)
	}
	f.intro = append(f.intro, "Converted from "+c.file+" by: tidemill convert", "")
	f.schedule(root)
	f.finishSidekiq(&node{})
	return nil
}

// settings are those of the file with those of the environment laid over them, field by field as Sidekiq does it.
func (f *sidekiqFile) settings(root *node) *node {
	out := &node{kind: mapNode, line: root.line}
	if own := root.get(f.opts.Environment); own != nil && own.kind == mapNode {
		out.entries = slices.Clone(own.entries)
	}
	given := map[string]bool{}
	for _, e := range out.entries {
		given[e.key] = true
	}
	for _, e := range root.entries {
		switch {
		case e.key == f.opts.Environment:
		case isEnvironment(e):
			f.note(e.line, e.key, "another environment than "+f.opts.Environment+"; --environment "+e.key+" converts it")
		case !given[e.key]:
			out.entries = append(out.entries, e)
		}
	}
	return out
}

func isEnvironment(e entry) bool {
	if e.value.kind != mapNode {
		return false
	}
	if slices.Contains([]string{"development", "production", "staging", "test"}, e.key) {
		return e.value.get("cron") == nil && e.value.get("class") == nil
	}
	return e.value.get("concurrency") != nil || e.value.get("queues") != nil
}

// setting carries over what is neither a queue nor a schedule, or says why not.
func (f *sidekiqFile) setting(e entry) {
	switch e.key {
	case "concurrency", "queues", "capsules", "schedule", "scheduler":
	case "max_retries":
		if n, ok := f.number(e, 0, 32766); ok {
			f.retries(n, "max_retries: "+strconv.Itoa(n)+" does not count the first attempt.")
		}
	case "timeout":
		if n, ok := f.number(e, 0, 86400); ok {
			f.top = append(f.top, member{name: "drain_timeout", value: strconv.Itoa(n) + "s"})
		}
	default:
		f.leftOut(e)
	}
}

// leftOut says of a setting why it is not carried over.
func (f *sidekiqFile) leftOut(e entry) {
	if why := needless(e.key); why != "" {
		f.note(e.line, e.key, why)
		return
	}
	switch e.key {
	case "dead_max_jobs", "dead_timeout_in_seconds":
		f.problem(e.line, e.key, "write retention: {failed: 180d}", "failed jobs are kept by age, and by default forever")
	case "limits", "process_limits", "blocking":
		f.problem(e.line, e.key, "the number of a queue in queues is its limit in each process", "limits of sidekiq-limit_fetch")
	default:
		f.problem(e.line, e.key, "look whether it matters", "not a setting that is known")
	}
}

// needless is why a setting needs no counterpart, empty for one that may.
func needless(key string) string {
	switch key {
	case "verbose":
		return "how much is logged is an option of the worker, --log-level"
	case "logfile", "pidfile", "daemon":
		return "a worker stays in the foreground and logs to standard error"
	case "require", "environment", "tag", "labels", "index", "cron_schedule_file", "dynamic", "dynamic_every":
		return "it is about the Ruby process"
	case "poll_interval_average", "average_scheduled_poll_interval", "cron_poll_interval", "poll_interval":
		return "workers find what is due by themselves"
	case "redis", "url", "namespace":
		return "there is no Redis"
	}
	return ""
}

// number reads a whole number. A variable is not one: what it decides is computed here, with its default.
func (f *sidekiqFile) number(e entry, least, most int) (int, bool) {
	text, given := e.value.text, e.value
	if v, ok := f.erb.only(text); ok {
		if v.fallback == nil {
			f.problem(e.line, e.key, "write the number", "the variable %s decides it and has no default", v.name)
			return 0, false
		}
		text = *v.fallback
		given = &node{kind: scalarNode, text: text, quoted: true}
		f.problem(e.line, e.key, "write another number where it is not "+text, "the variable %s decides it; its default is taken", v.name)
	} else if f.erb.in(text) {
		return 0, false // reported
	}
	n, ok := given.integer()
	if !ok || n < int64(least) || n > int64(most) {
		f.problem(e.line, e.key+": "+e.value.what(), "write a number", "not a whole number from %d to %d", least, most)
		return 0, false
	}
	return int(n), true
}

func (f *sidekiqFile) retries(n int, why string) {
	f.top = append(f.top, member{
		name: "retry", value: fmt.Sprintf("{max_attempts: %d, delay: 15s, max_delay: 1d}", n+1),
		note: []string{why + " A class with sidekiq_options retry: N of its own", "needs retry: {max_attempts: N + 1} in its job. The delays double from 15 s to a day; Sidekiq's grow to about four."},
	})
}

// finishSidekiq orders the top level and says what the reader has to know of it.
func (f *sidekiqFile) finishSidekiq(settings *node) {
	if settings.get("max_retries") == nil {
		f.retries(sidekiqRetries, "Sidekiq tries a failed job again 25 times.")
	}
	zone := f.zoneField([]string{
		"TIME ZONE: the file names none; Sidekiq then takes that of TZ, of Rails (config.time_zone) or of the machine. If that is",
		"not UTC write its name here, like Asia/Tokyo.",
	}, "the file names no time zone")
	f.top = slices.Concat([]member{{name: "database", value: `{url: "${DATABASE_URL}"}`}}, zone, f.queueFields(), f.top)
	if len(f.jobs) == 0 {
		f.intro = append(f.intro, "The classes of Ruby are not in the file: docs/MOVING.md of Tidemill says what becomes of them.")
		return
	}
	f.intro = append(f.intro,
		"The Ruby code stays in the app, which is called: POST ${APP_URL}/jobs/CLASS with the body",
		`{"id": …, "job": …, "params": {"args": […]}, "attempt": …, "scheduled_for": …}, signed with WEBHOOK_SECRET`,
		"(docs/HTTP_JOBS.md has the check). The action does the work: Klass.new.perform(*params[\"args\"]). Or run it on the",
		"worker's machine, without an action:",
		`  kind: command, argv: [bin/rails, runner, "Klass.new.perform"], dir: /srv/app`,
		"",
		"overlap: allow starts a run though an earlier one is not done, as Sidekiq does; without it such a tick is skipped.",
		"A tick that was missed because no worker ran is caught up once (catch_up: none is the alternative).")
}
