package convert

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// vercelTimeout is how long a function may run where vercel.json does not say.
const vercelTimeout = 300 * time.Second

func (c *converter) vercel(text string) error {
	root, err := c.parseJSON(text)
	if err != nil {
		return err
	}
	if root.kind != mapNode {
		return c.fail(root.line, "a vercel.json is an object, this is %s", root.what())
	}
	crons := root.get("crons")
	if crons == nil || crons.kind == listNode && len(crons.items) == 0 {
		return fmt.Errorf("%s: there are no crons in it", c.file)
	}
	if crons.kind != listNode {
		return c.fail(crons.line, "crons is not a list")
	}
	limits := durations(root.get("functions"))
	byPath := map[string]*job{}
	for _, item := range crons.items {
		c.vercelCron(item, limits, byPath)
	}
	c.intro = append(c.intro, "Converted from "+c.file+" by: tidemill convert", "",
		"The handlers stay as they are: they get GET and the Authorization header that Vercel sends. APP_URL is the address of the",
		"deployment, https://app.example.com, and CRON_SECRET the one that is set there.",
		"",
		"A tick that was missed because no worker ran is caught up once (catch_up: none is Vercel's way: it is lost). overlap: allow",
		"starts a run though an earlier one is not done, as Vercel does; without it such a tick is skipped.")
	c.top = append(c.top,
		member{name: "database", value: `{url: "${DATABASE_URL}"}`},
		member{name: "timezone", value: "UTC", note: []string{"of Vercel's schedules"}},
		member{name: "retry", value: "{max_attempts: 1}", note: []string{"Vercel does not retry. If the handlers may run twice for the same tick, let it be more."}})
	return nil
}

func (c *converter) vercelCron(item *node, limits []limit, byPath map[string]*job) {
	path, when := item.get("path"), item.get("schedule")
	if item.kind != mapNode || path == nil || when == nil || path.kind != scalarNode || when.kind != scalarNode {
		c.problem(item.line, item.what(), `write {"path": "/api/cron/daily", "schedule": "0 9 * * *"}`, "not a cron of Vercel")
		return
	}
	for _, e := range item.entries {
		if e.key != "path" && e.key != "schedule" {
			c.problem(e.line, e.key, "look whether it matters", "not a field that can be carried over")
		}
	}
	if why := badPath(path.text); why != "" {
		c.problem(path.line, path.text, "write it like /api/cron/daily", "%s", why)
		return
	}
	w, refused := readCron(when.text, "") // of the top level, which is UTC
	if refused != nil {
		c.problem(when.line, path.text+": "+when.text, refused.hint, "%s", refused.why)
		return
	}
	name := vercelName(path.text)
	j := byPath[path.text]
	if j == nil {
		j = c.addJob([]string{name, "root"}, &job{fields: c.vercelJob(path.text, limits), note: []string{fmt.Sprintf("line %d", path.line)}})
		byPath[path.text] = j
	}
	c.addSchedule([]string{j.name}, &schedule{job: j.name, fields: c.scheduleFields(w)})
}

func badPath(path string) string {
	u, err := url.Parse("https://app.example.com" + path)
	switch {
	case !strings.HasPrefix(path, "/"):
		return "the path does not begin with /"
	case err != nil || u.Host != "app.example.com" || strings.ContainsAny(path, " \t\n"):
		return "not a path of a URL"
	case strings.Contains(path, "#"):
		return "it has a fragment, which no server sees"
	}
	return ""
}

// vercelName makes daily-report of /api/cron/daily-report?full=1.
func vercelName(path string) string {
	path, _, _ = strings.Cut(strings.Trim(path, "/"), "?")
	for _, prefix := range []string{"api/", "crons/", "cron/"} {
		path = strings.TrimPrefix(path, prefix)
	}
	return strings.Trim(path, "/")
}

func (c *converter) vercelJob(path string, limits []limit) []member {
	timeout := member{name: "timeout", value: duration(vercelTimeout), note: []string{"Vercel's default; vercel.json has no maxDuration for this path"}}
	switch l, ok := limitOf(limits, path); {
	case ok && l.max > 0:
		timeout = member{name: "timeout", value: duration(l.max)}
	case ok:
		c.problem(l.line, l.text, "write another timeout: in the job of "+path, "not a number of seconds from 1 to 3600; it is %s there", duration(vercelTimeout))
		timeout.note = nil
	}
	return []member{
		{name: "kind", value: "http"},
		{name: "method", value: "GET"},
		{name: "url", value: quote("${APP_URL}" + string(literal(path)))},
		{name: "headers", value: `{Authorization: "Bearer ${CRON_SECRET}"}`},
		timeout,
	}
}

// limit is the maxDuration of the functions that a pattern matches.
type limit struct {
	pattern *regexp.Regexp
	max     time.Duration // 0: not a number that can be taken
	line    int
	text    string
}

func durations(functions *node) []limit {
	var limits []limit
	if functions == nil {
		return nil
	}
	for _, e := range functions.entries {
		most := e.value.get("maxDuration")
		if most == nil {
			continue
		}
		l := limit{pattern: glob(e.key), line: most.line, text: e.key + ": maxDuration: " + most.what()}
		if n, err := strconv.Atoi(most.text); err == nil && n >= 1 && n <= 3600 {
			l.max = time.Duration(n) * time.Second
		}
		if l.pattern != nil {
			limits = append(limits, l)
		}
	}
	return limits
}

const maxGlob = 256 // bytes of a pattern

// glob is the pattern of a file as a regular expression, nil if it is not one.
func glob(pattern string) *regexp.Regexp {
	if len(pattern) > maxGlob {
		return nil
	}
	var b strings.Builder
	b.WriteString("^")
	for rest := strings.TrimPrefix(pattern, "./"); rest != ""; {
		token := rest[:1]
		switch {
		case strings.HasPrefix(rest, "**/"):
			token = "**/"
			b.WriteString("(?:.*/)?")
		case strings.HasPrefix(rest, "**"):
			token = "**"
			b.WriteString(".*")
		case token == "*":
			b.WriteString("[^/]*")
		case token == "?":
			b.WriteString("[^/]")
		case token == "{":
			b.WriteString("(?:")
		case token == "}":
			b.WriteString(")")
		case token == ",":
			b.WriteString("|")
		default:
			b.WriteString(regexp.QuoteMeta(token))
		}
		rest = rest[len(token):]
	}
	compiled, err := regexp.Compile(b.String() + "$")
	if err != nil {
		return nil // braces that are not closed
	}
	return compiled
}

// limitOf is that of the first pattern that matches a file which serves the path.
func limitOf(limits []limit, path string) (limit, bool) {
	path, _, _ = strings.Cut(strings.Trim(path, "/"), "?")
	for _, l := range limits {
		for _, file := range []string{path, "app/" + path + "/route", "pages/" + path} {
			for _, ext := range []string{".ts", ".js", ".tsx", ".mjs", ".py", ".go", ".rb"} {
				if l.pattern.MatchString(file+ext) || l.pattern.MatchString("src/"+file+ext) {
					return l, true
				}
			}
		}
	}
	return limit{}, false
}
