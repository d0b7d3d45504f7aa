package convert

import (
	"fmt"
	"strconv"
	"strings"
)

// call is what makes two entries of a schedule the same job.
type call struct {
	class, queue string
	attempts     int // 0: as all others
}

func (f *sidekiqFile) readSchedules(settings *node) {
	if s := settings.get("schedule"); s != nil {
		f.schedule(s)
	}
	s := settings.get("scheduler")
	if s == nil {
		return
	}
	for _, e := range s.entries {
		if e.key == "enabled" {
			if on, ok := e.value.truth(); ok && !on {
				f.problem(e.line, "enabled: false", "take its schedules out again, or pause them", "the scheduler is off, but its schedule is converted")
			}
			continue
		}
		if e.key == "schedule" {
			f.schedule(e.value)
			continue
		}
		f.leftOut(e)
	}
}

// schedule reads a mapping from names to entries, or a list of entries with names.
func (f *sidekiqFile) schedule(n *node) {
	switch n.kind {
	case mapNode:
		for _, e := range n.entries {
			if !f.full() {
				f.entry(e.key, e.line, e.value)
			}
		}
	case listNode:
		for _, item := range n.items {
			if f.full() {
				return
			}
			name := ""
			if given := item.get("name"); given != nil {
				name = given.text
			}
			f.entry(name, max(1, item.line), item)
		}
	case nullNode:
	default:
		f.problem(n.line, n.what(), "", "not a schedule")
	}
}

// entry carries over one scheduled class.
func (f *sidekiqFile) entry(name string, line int, n *node) {
	if f.erb.in(name) {
		return // a tag makes the name; it was reported if it is more than a variable, and the rest of the line cannot be known
	}
	if n.kind != mapNode {
		f.problem(line, name+": "+n.what(), "write cron: and class:", "not an entry of a schedule")
		return
	}
	class := name
	for _, key := range []string{"class", "klass"} {
		if given := n.get(key); given != nil {
			class = given.text
		}
	}
	if class == "" || f.erb.in(class) {
		f.problem(line, name, "add class:", "the class is not in the file")
		return
	}
	if f.off(n, name, line) {
		return
	}
	w, ok := f.when(n, name, line)
	if !ok {
		return
	}
	args, ok := f.args(n.get("args"))
	if !ok {
		f.problem(line, name, "write them as values", "its arguments are not in the file, so it is left out")
		return
	}
	j := f.jobOf(f.callOf(n, class, line), line)
	s := &schedule{job: j.name, fields: f.scheduleFields(w), note: []string{fmt.Sprintf("line %d%s", line, f.description(n))}}
	if w.every > 0 {
		s.note = append(s.note, "counted from midnight UTC, not from when the process started")
	}
	if args != "" {
		s.fields = append(s.fields, member{name: "params", value: "{args: " + args + "}"})
	}
	f.addSchedule([]string{name, class}, s)
	f.leftovers(n)
}

func (f *sidekiqFile) description(n *node) string {
	d := n.get("description")
	if d == nil || d.kind != scalarNode || f.erb.in(d.text) {
		return ""
	}
	return ": " + oneLine(d.text)
}

// off reports whether the entry is switched off; such a one is left out.
func (f *sidekiqFile) off(n *node, name string, line int) bool {
	status, enabled := n.get("status"), n.get("enabled")
	if status != nil && strings.EqualFold(status.text, "disabled") {
		f.problem(line, name, "convert it once it is enabled", "its status is disabled, so it is left out")
		return true
	}
	if enabled != nil {
		if on, ok := enabled.truth(); ok && !on {
			f.problem(line, name, "convert it once it is enabled", "it is not enabled, so it is left out")
			return true
		}
	}
	return false
}

// when reads the one of cron, every, in and at that the entry has.
func (f *sidekiqFile) when(n *node, name string, line int) (when, bool) {
	for _, e := range n.entries {
		var read func(string) (when, *refusal)
		switch e.key {
		case "cron":
			read = readFugit
		case "every":
			read = readEvery
		case "in", "at", "interval":
			f.problem(e.line, name+": "+e.key+": "+e.value.what(), "give it a cron expression, or start the job once: tidemill start",
				"only cron and every can be carried over")
			return when{}, false
		default:
			continue
		}
		text := e.value
		if text.kind == listNode && len(text.items) > 0 { // with options after it
			for _, option := range text.items[1:] {
				f.problem(max(1, option.line), name+": "+e.key, "look whether they matter", "options of rufus-scheduler are not carried over")
			}
			text = text.items[0]
		}
		if text.kind != scalarNode || f.erb.in(text.text) {
			f.problem(e.line, name+": "+e.key, "write the time itself", "the time is not in the file")
			return when{}, false
		}
		w, refused := read(text.text)
		if refused == nil && w.zone == "" {
			w.zone, refused = f.zoneOf(n)
		}
		if refused != nil {
			f.problem(e.line, name+": "+e.key+": "+text.text, refused.hint, "%s", refused.why)
			return when{}, false
		}
		return w, true
	}
	f.problem(line, name, "add cron:", "it has no time")
	return when{}, false
}

func (f *sidekiqFile) zoneOf(n *node) (string, *refusal) {
	for _, key := range []string{"timezone", "tz"} {
		if zone := n.get(key); zone != nil {
			_, refused := readCron("@daily", zone.text)
			return zone.text, refused
		}
	}
	return "", nil
}

func (f *sidekiqFile) callOf(n *node, class string, line int) call {
	k := call{class: class, queue: "default"}
	if q := n.get("queue"); q != nil && q.kind == scalarNode && q.text != "" && !f.erb.in(q.text) {
		k.queue = q.symbol()
	}
	r := n.get("retry")
	if r == nil {
		return k
	}
	if on, ok := r.truth(); ok {
		if !on {
			k.attempts = 1
		}
		return k
	}
	if n, ok := f.number(entry{"retry", max(line, r.line), r}, 0, 32766); ok {
		k.attempts = n + 1
	}
	return k
}

// jobOf is the job that calls the class, one for all schedules that do it alike.
func (f *sidekiqFile) jobOf(k call, line int) *job {
	if j, ok := f.calls[k]; ok {
		return j
	}
	path, known := f.paths[k.class]
	if !known {
		path = f.takenPaths.take([]string{k.class})
		f.paths[k.class] = path
		if plain := plainName(k.class); path != plain {
			f.note(line, k.class, "its URL is /jobs/"+path+", as another class has the plain one or its name makes none")
		}
	}
	fields := []member{
		{name: "kind", value: "http"},
		{name: "queue", value: value(f.ensureQueue(line, k.queue)).scalar()},
		{name: "url", value: quote("${APP_URL}/jobs/" + path)},
		{name: "secret", value: `"${WEBHOOK_SECRET}"`},
		{name: "timeout", value: "15m", note: []string{"of the longest run; Sidekiq sets no limit, here it is at most 1h"}},
	}
	if k.attempts > 0 {
		fields = append(fields, member{name: "retry", value: fmt.Sprintf("{max_attempts: %d}", k.attempts)})
	}
	j := f.addJob([]string{path}, &job{fields: fields, note: []string{"class " + oneLine(k.class)}})
	f.calls[k] = j
	return j
}

// leftovers reports what else an entry says.
func (f *sidekiqFile) leftovers(n *node) {
	for _, e := range n.entries {
		switch e.key {
		case "name", "cron", "every", "class", "klass", "queue", "args", "description", "active_job", "status", "enabled", "retry", "timezone", "tz", "persist", "source":
		case "date_as_argument", "include_metadata":
			if on, ok := e.value.truth(); !ok || on {
				f.problem(e.line, e.key, "take scheduled_for out of the request's body", "the time of the run is no argument here")
			}
		case "symbolize_args":
			if on, ok := e.value.truth(); !ok || on {
				f.problem(e.line, e.key, "params.deep_symbolize_keys in the app", "JSON has no symbols")
			}
		default:
			f.problem(e.line, e.key, "look whether it matters", "not a field that can be carried over")
		}
	}
}

// args writes the arguments as the list that perform gets: a list as it is, anything else as its only item. Empty: none.
func (f *sidekiqFile) args(n *node) (string, bool) {
	switch {
	case n == nil || n.kind == nullNode:
		return "", true
	case n.kind == listNode:
		return f.yaml(n)
	case n.kind == scalarNode && n.quoted && isJSON(n.text):
		f.problem(max(1, n.line), "args: "+n.text, "write the list itself: args: [1, two]", "JSON in a text is read by sidekiq-cron and left as it is by sidekiq-scheduler")
		return "", false
	}
	text, ok := f.yaml(n)
	return "[" + text + "]", ok
}

// yaml writes a value of the file in one line of YAML that reads as the same JSON; false if a part of it is not known.
func (f *sidekiqFile) yaml(n *node) (string, bool) {
	if f.budget -= 1 + len(n.text); f.budget < 0 {
		f.problem(max(1, n.line), "args", "", "it repeats itself beyond measure")
		return "", false
	}
	switch n.kind {
	case nullNode:
		return "null", true
	case listNode:
		parts := make([]string, 0, len(n.items))
		for _, item := range n.items {
			text, ok := f.yaml(item)
			if !ok {
				return "", false
			}
			parts = append(parts, text)
		}
		return "[" + strings.Join(parts, ", ") + "]", true
	case mapNode:
		parts := make([]string, 0, len(n.entries))
		for _, e := range n.entries {
			text, ok := f.yaml(e.value)
			if !ok || f.erb.in(e.key) || strings.Contains(e.key, "\x00") {
				return "", false
			}
			if doubtfulKey(e.key) {
				f.problem(e.line, "args: "+e.key, "name it otherwise", "Ruby makes another name of it unless it is in quotes")
				return "", false
			}
			parts = append(parts, quote(e.key)+": "+text)
		}
		return "{" + strings.Join(parts, ", ") + "}", true
	}
	return f.scalar(n)
}

func (f *sidekiqFile) scalar(n *node) (string, bool) {
	if is, ok := n.truth(); ok {
		return strconv.FormatBool(is), true
	}
	if number, ok := n.jsonNumber(); ok {
		return number, true
	}
	if n.inexact() {
		f.problem(max(1, n.line), "args: "+n.text, "put it in quotes if it is text, or write the plain number", "Ruby reads it as a number, date or time, which JSON does not have like that")
		return "", false
	}
	if strings.Contains(n.text, "\x00") {
		f.problem(n.line, "args", "remove it", "a NUL character, which no JSON in PostgreSQL can hold")
		return "", false
	}
	v, ok := f.erb.value(n.symbol())
	return quote(string(v)), ok
}
