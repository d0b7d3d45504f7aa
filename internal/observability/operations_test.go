package observability

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/cli"
)

var (
	alertHeading = regexp.MustCompile(`(?m)^### (Tidemill\w+)$`)
	fenced       = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")
)

func TestEveryAlertHasARunbook(t *testing.T) {
	t.Parallel()

	text := read(t, "docs/OPERATIONS.md")
	at := alertHeading.FindAllStringSubmatchIndex(text, -1)
	var headings []string
	for i, m := range at {
		name, end := text[m[2]:m[3]], len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		headings = append(headings, name)
		section := text[m[1]:end]
		if len(commands(section)) == 0 || !strings.Contains(section, "\nFirst look") || !strings.Contains(section, "\nRemedy:") {
			t.Errorf("the section on %s lacks a first look, a remedy or a command to type", name)
		}
	}
	for _, a := range Alerts() {
		if !slices.Contains(headings, a.Name) {
			t.Errorf("docs/OPERATIONS.md has no section ### %s", a.Name)
		}
		if got := runbookURL(a.Name); !strings.HasSuffix(got, "#"+strings.ToLower(a.Name)) {
			t.Errorf("the runbook of %s is %s", a.Name, got)
		}
	}
	for _, h := range headings {
		if !slices.ContainsFunc(Alerts(), func(a Alert) bool { return a.Name == h }) {
			t.Errorf("docs/OPERATIONS.md has a section on %s, which is no alert", h)
		}
	}
	for file, d := range Dashboards() {
		for _, p := range d.Panels {
			for _, l := range p.Links {
				if !slices.ContainsFunc(headings, func(h string) bool { return runbookURL(h) == l.URL }) {
					t.Errorf("%s: %s links to %s, which is not there", file, p.Title, l.URL)
				}
			}
		}
	}
}

// commands are the lines of shell blocks.
func commands(text string) []string {
	var all []string
	for _, block := range fenced.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				all = append(all, line)
			}
		}
	}
	return all
}

func TestCommandsOfTheRunbookExist(t *testing.T) {
	t.Parallel()

	all := commands(read(t, "docs/OPERATIONS.md"))
	if len(all) < 20 {
		t.Fatalf("%d commands were found", len(all))
	}
	for _, line := range all {
		if problem := wrong(t.Context(), line); problem != "" {
			t.Errorf("%s: %s", line, problem)
		}
	}
}

func TestWrongCommandsAreSeen(t *testing.T) {
	t.Parallel()

	for _, line := range []string{
		"psql", "tidemill nothing", "tidemill runs nothing", "tidemill runs show", "tidemill runs show 1 2", "tidemill runs", "tidemill runs show 42 --nothing",
	} {
		if wrong(t.Context(), line) == "" {
			t.Errorf("%s is taken for right", line)
		}
	}
	for _, line := range []string{"tidemill runs show 42", `tidemill jobs errors --since 1d`, `tidemill jobs retry --error "a b" --dry-run`, "tidemill processes"} {
		if problem := wrong(t.Context(), line); problem != "" {
			t.Errorf("%s: %s", line, problem)
		}
	}
}

var (
	shellWord = regexp.MustCompile(`"[^"]*"|\S+`)
	usage     = regexp.MustCompile(`(?m)^Usage:\n  (.*)$`)
	aFlag     = regexp.MustCompile(`^--?\w`)
	ofUsage   = regexp.MustCompile(`^\[?[A-Z]`) // RUN, [FILE], [ID...]
)

// wrong asks the command itself, by its help, whether it would take a line: the help shows how the command is used, and
// the flags are parsed before it is shown. "" is right.
func wrong(ctx context.Context, line string) string {
	words := shellWord.FindAllString(line, -1)
	if words[0] != "tidemill" {
		return "is not a tidemill command"
	}
	var out bytes.Buffer
	m := cli.Main{Args: append(words[1:len(words):len(words)], "--help"), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Version: "test"}
	if code := m.Run(ctx); code != 0 {
		return out.String()
	}
	found := usage.FindStringSubmatch(out.String())
	if found == nil || strings.Contains(found[1], "[command]") {
		return "names no command: " + out.String()
	}
	used := strings.Fields(strings.TrimSuffix(found[1], " [flags]"))
	path := len(used)
	if i := slices.IndexFunc(used, ofUsage.MatchString); i >= 0 {
		path = i
	}
	least, most := 0, 0
	for _, u := range used[path:] {
		if most++; !strings.HasPrefix(u, "[") {
			least++
		}
		if strings.Contains(u, "...") {
			most = len(words)
		}
	}
	given := 0
	for i, w := range words[path:] {
		// A flag's value is no argument; all flags with a value that runbooks use have it as the next word.
		if !aFlag.MatchString(w) && (i == 0 || !valued(words[path+i-1], out.String())) {
			given++
		}
	}
	if given < least || given > most {
		return "is given " + strings.Join(words[path:], " ") + "; usage: " + found[1]
	}
	return ""
}

// valued reports whether help describes flag as one that takes a value.
func valued(flag, help string) bool {
	return aFlag.MatchString(flag) && regexp.MustCompile(`(?m)^\s+(?:-\w, )?`+regexp.QuoteMeta(flag)+` \S`).MatchString(help)
}
