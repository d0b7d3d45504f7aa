package config_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

func TestAnchorsAliasesMerges(t *testing.T) {
	t.Parallel()
	got := mustParse(t, `
retry: &often {delay: 1s, max_attempts: 5}
jobs:
  a: &base
    kind: own
    priority: 2
    retry: *often
    args: {list: &list [1, 2], again: *list}
  b:
    <<: *base
    priority: 3
  c:
    kind: own
    retry:
      <<: [{delay: 3s}, *often]
      max_attempts: 7
`).Jobs
	want := mustParse(t, `
retry: {delay: 1s, max_attempts: 5}
jobs:
  a: {kind: own, priority: 2, retry: {delay: 1s, max_attempts: 5}, args: {list: [1, 2], again: [1, 2]}}
  b: {kind: own, priority: 3, retry: {delay: 1s, max_attempts: 5}, args: {list: [1, 2], again: [1, 2]}}
  c: {kind: own, retry: {max_attempts: 7, delay: 3s}}
`).Jobs
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

func TestYAMLProblems(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		src  string
		want []string
	}{
		"empty":                 {"", []string{"1:1: the file is empty (describe at least one job under jobs)"}},
		"comment only":          {"# nothing\n", []string{"1:1: the file is empty (describe at least one job under jobs)"}},
		"marker only":           {"---\n", []string{"1:1: the file is empty (describe at least one job under jobs)"}},
		"one document":          {"---\nqueues: {a: 1}\n...\n", nil},
		"two documents":         {"queues: {a: 1}\n---\njobs: {}\n", []string{"2:1: a second document begins here (remove the line ---)"}},
		"second empty":          {"queues: {a: 1}\n---\n", []string{"2:1: a second document begins here (remove the line ---)"}},
		"two by end marker":     {"queues: {a: 1}\n...\njobs: {}\n", []string{"3:5: a second document begins here (remove the line ...)"}},
		"directive":             {"%YAML 1.2\n---\nqueues: {a: 1}\n", []string{"1:1: directives are not supported (remove this line)"}},
		"a text":                {"hello\n", []string{`1:1: "hello" is not a mapping`}},
		"a list":                {"- a\n", []string{`1:1: is a list, not a mapping`}},
		"template":              {"jobs:\n  a:\n    kind: email\n    to: {{.email}}\n    text: x\n", []string{"4:10: not YAML: could not find flow map content (put a text that begins with {{ in quotes)"}},
		"cron step":             {"schedules:\n  a:\n    job: a\n    cron: */5 * * * *\n", []string{"4:15: not YAML: value is not allowed in this context. map key-value is pre-defined (put a text that begins with * or @ in quotes)"}},
		"cron stars":            {"jobs:\n  a:\n    schedule: * * * * *\n", []string{"3:23: not YAML: undefined alias name (put a text that begins with * or @ in quotes)"}},
		"cron shortcut":         {"schedules: {a: {job: a, cron: @daily}}\n", []string{"1:31: not YAML: '@' is a reserved character (put a text that begins with * or @ in quotes)"}},
		"cron alias":            {"jobs: {a: {kind: own, schedule: * 9 * * *}}", []string{"1:23: jobs.a.schedule: has no value (give a text, or remove it)", "1:33: jobs.a.schedule: alias *9 * * * has no anchor (put a text that begins with * in quotes)"}},
		"tab":                   {"jobs:\n\ta: b\n", []string{"2:1: not YAML: a tab where spaces are expected (indent with spaces)"}},
		"unclosed bracket":      {"queues: {a: 1\n", []string{"1:9: not YAML: could not find flow mapping end token '}'"}},
		"unclosed quote":        {"jobs: \"\n", []string{"1:7: not YAML: could not find end character of double-quoted text"}},
		"wrong indentation":     {"jobs:\n  a: {kind: own}\n b: {kind: own}\n", []string{"3:2: not YAML: value is not allowed in this context"}},
		"bare name in braces":   {"database: {url: ${A}}\n", []string{"1:18: not YAML: ',' or '}' must be specified"}},
		"duplicates":            {"jobs:\n  a: {kind: own, kind: own}\n  a: {kind: own}\njobs: {}\n", []string{"2:18: jobs.a.kind: defined twice; first at line 2 (remove one of them)", "3:3: jobs.a: defined twice; first at line 2 (remove one of them)", "4:1: jobs: defined twice; first at line 1 (remove one of them)"}},
		"no anchor":             {"retry: *x\n", []string{`1:8: retry: alias *x has no anchor (define &x before it is used)`}},
		"alias in its anchor":   {"jobs: {a: {kind: own, args: &x {y: *x}}}\n", []string{`1:36: jobs.a.args.y: alias *x has no anchor (define &x before it is used)`}},
		"merge of a text":       {"retry:\n  <<: x\n", []string{"2:7: retry.<<: merges text, not a mapping (write <<: *name of a mapping)"}},
		"tag":                   {"drain_timeout: !!str 3s\n", []string{"1:16: drain_timeout: tags such as !!str are not supported (quote the value to keep it as text)"}},
		"list as key":           {"? [a]\n: b\n", []string{"2:1: not YAML: found an invalid key for this map"}},
		"alias as key":          {"retry: {delay: &d 1s}\n*d : x\n", []string{"2:1: a key of this form is not supported (write the key as plain text)"}},
		"UTF-16":                {"\xff\xfea\x00", []string{"1:1: the file is UTF-16 (save the file as UTF-8)"}},
		"not UTF-8":             {"# ok\n# é\xe9\n", []string{"2:4: byte 0xe9 is not UTF-8 (save the file as UTF-8)"}},
		"control character":     {"jobs:\n  \x00: b\n", []string{"2:3: control character U+0000 (remove it, or write it as an escape in double quotes)"}},
		"byte order mark, CRLF": {"\ufeffjobs:\r\n  a:\r\n    kindd: own\r\n    kind: own\r\n", []string{"3:5: jobs.a.kindd: unknown field (did you mean kind?)"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, messages(t, tt.src, lookup(nil))); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// Quotes, escapes, wide characters, comments and scalars of several lines must not
// shift the positions after them.
func TestPositionsBehindOddScalars(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `# é comment
jobs: # 日本
  a: {kind: own, args: {'o''x': "\u00e9\t", é: "日本", last: 1}} # end
  b:
    kind: own
    args:
      literal: |
        one
          two

        three
      folded: >-
        one
        two
      plain: one
        two
      quoted: "one
        two"
      last: 1
`)
	for _, tt := range []struct {
		path []string
		want field.Position
	}{
		{[]string{"jobs", "a", "args", "last"}, field.Position{Line: 3, Column: 54}},
		{[]string{"jobs", "b", "args", "folded"}, field.Position{Line: 12, Column: 7}},
		{[]string{"jobs", "b", "args", "plain"}, field.Position{Line: 15, Column: 7}},
		{[]string{"jobs", "b", "args", "quoted"}, field.Position{Line: 17, Column: 7}},
		{[]string{"jobs", "b", "args", "last"}, field.Position{Line: 19, Column: 7}},
	} {
		if got := c.At(tt.path...); got != tt.want {
			t.Errorf("At(%q) = %v, want %v", tt.path, got, tt.want)
		}
	}
	want := `{"literal":"one\n  two\n\nthree\n","folded":"one two","plain":"one two","quoted":"one two","last":1}`
	if got := string(c.Jobs["b"].Args); got != want {
		t.Errorf("args\n got %s\nwant %s", got, want)
	}
}

// A file of less than a megabyte must neither overflow the stack nor fill the memory.
func TestBombs(t *testing.T) {
	t.Parallel()
	var laughs strings.Builder
	laughs.WriteString("jobs:\n  a:\n    kind: own\n    args:\n      a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 20 {
		fmt.Fprintf(&laughs, "      a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	var chain strings.Builder
	chain.WriteString("a0: &a0 []\n")
	for i := range 200 {
		fmt.Fprintf(&chain, "a%d: &a%d [*a%d]\n", i+1, i+1, i)
	}
	var indented strings.Builder
	for i := range 200 {
		indented.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	const deep = "nested deeper than 100 levels"
	for name, tt := range map[string]struct{ src, want string }{
		"brackets":   {strings.Repeat("[", 50_000), "1:101: " + deep},
		"braces":     {strings.Repeat("{a: ", 20_000), "1:401: " + deep},
		"dashes":     {strings.Repeat("- ", 50_000), "1:201: " + deep},
		"laughs":     {laughs.String(), "9:15: jobs.a.args.a4: holds more than 100000 values"},
		"chain":      {chain.String(), "101:13: a100: " + deep},
		"indented":   {indented.String(), deep},
		"large file": {strings.Repeat("# comment\n", 200_000), "the file is larger than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := messages(t, tt.src, lookup(nil))
			if len(got) == 0 || !strings.HasSuffix(got[0], tt.want) || len(got) > 1 {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	seeds := []string{
		exampleText(f), "", "a: &x [*x]", "? a\n: b", "a: !!x y", "{a: ${B:-c}}", "%YAML 1.2\n---\na: b", "<<: *a", "&a b: *a", "a: |\n  b\n", ">\n>", "&{0", "0\n:", "*-0", "{\"000\":0000A,",
		"jobs: {a: {kind: import, table: '\"a\"\"b\".c', columns: {a, b: {field: 1}}, header: false}}",
		`jobs: {a: {kind: http, url: "https://h:1/p?q", headers: {A-b: c}, secret: [whsec_VGlkZW1pbGxUaWRlbWlsbFRpZGVtaWxs, "0123456789abcdef"], max_response: 0B}}`,
		`jobs: {a: {kind: command, argv: [a, "b c"], env: {A: "${B:-c}"}, params: {x: {type: json, default: [1, {y: null}]}}}}`,
		"mail: {url: 'smtp://u:p%40@h', from: 'A <a@b.c>', templates: x}\njobs: {a: {kind: email, to: ['{{.a}}', 'A <a@b.c>, d@e.f'], subject: '{{if .a}}x{{end}}', template: t}}",
		"jobs: {a: {kind: sql, statement: \"SELECT :a::int, E'\\\\':b' -- :c\", params: {a: {type: integer, default: 5}}}}",
		"jobs: {a: {kind: own, params: {d: {type: date, default: scheduled_for}, t: timestamp, u: uuid, n: {type: number, default: 1e400}}}}\ntimezone: Asia/Tokyo",
	}
	for _, s := range seeds {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	if data, err := os.ReadFile("example.yaml"); err == nil {
		for i := 0; i < len(data); i += 40 {
			f.Add(data[:i], true)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, offline bool) {
		opts := lookup(map[string]string{"DATABASE_URL": "postgres://h/d"})
		opts.Offline = offline
		c, err := config.Parse("f.yaml", data, opts)
		if err == nil {
			for _, job := range c.Jobs {
				if job.Hash() == "" {
					t.Error("no hash")
				}
				if !offline { // where a default may be a name without value
					checkDefaults(t, job)
				}
			}
			if c.Hash() == "" || c.Location() == nil {
				t.Error("no hash or time zone")
			}
			return
		}
		for _, e := range err.(field.Errors) {
			if e.Message == "" || strings.Contains(e.Error(), "\n") && !strings.Contains(e.Path, "\n") {
				t.Errorf("error without message or on several lines: %q", e.Error())
			}
			if lines := 1 + strings.Count(string(data), "\n"); e.Line > lines {
				t.Errorf("%q: line %d of %d", e.Error(), e.Line, lines)
			}
		}
	})
}

// checkDefaults wants that a start which gives nothing is refused only for a param without default.
func checkDefaults(t *testing.T, job *config.Job) {
	t.Helper()
	if slices.ContainsFunc(job.Params, func(p config.Param) bool { return p.Default == nil }) {
		return
	}
	if _, err := job.ResolveParams(nil, time.Unix(0, 0)); err != nil {
		t.Errorf("params %v: %v", job.Params, err)
	}
}
