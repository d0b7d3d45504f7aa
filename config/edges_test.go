package config_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

// What YAML or a shell would take in another way is refused with what to write.
func TestTextsThatMeanSomethingElse(t *testing.T) {
	t.Parallel()
	const dollar = " ($$ in this file is one dollar: write $$$$ for the $$ of PostgreSQL, or $body$)"
	const colon = " (put the text in quotes, or write a space after the colon)"
	for _, tt := range []struct{ text, want string }{
		{"jobs: {a: {kind: command, argv: [docker, 8080:80]}}", "jobs.a.argv[1]: no space follows the colon after 8080" + colon},
		{"jobs: {a: {kind: own, args: {ports: [8080:80]}}}", "jobs.a.args.ports[0]: no space follows the colon after 8080" + colon},
		{"jobs: {a: {kind: own, args: {8080:80}}}", "jobs.a.args.8080: no space follows the colon after 8080" + colon},
		{"jobs: {a: {kind: own, args: {a:\"b\"}}}", "jobs.a.args.a: no space follows the colon after a" + colon},
		{`jobs: {a: {kind: command, argv: ["8080:80", '8080:80']}}`, ""},
		{`jobs: {a: {kind: own, args: {"a":1, "b":"c", "d":[1], e:[1], f:{}}}}`, ""},
		{"jobs: {a: {kind: own, args: {at: 12:30:45, port: 8080:80}}}", ""},
		{"jobs:\n  a:\n    kind: command\n    argv:\n    - docker\n    - 8080:80\n", ""},

		{"jobs: {a: {kind: sql, statement: \"DO $$ BEGIN END $$\"}}", `jobs.a.statement: "DO $$ BEGIN END $$" is not a statement: the $ at line 1, column 4 stands alone` + dollar},
		{"jobs: {a: {kind: sql, statement: \"SELECT $$a$$\"}}", `jobs.a.statement: "SELECT $$a$$" is not a statement: the dollar quote $a$ that begins at line 1, column 8 is not closed` + dollar},
		{"jobs: {a: {kind: export, consistency: snapshot, query: \"SELECT $$ $$\"}}\nstorage: {url: 'file:///x'}", `jobs.a.query: "SELECT $$ $$" is not a query: the $ at line 1, column 8 stands alone` + dollar},
		{"jobs: {b: {kind: own}, a: {kind: each, order_by: [i], enqueue: {job: b}, query: \"SELECT $$ $$ AS i\"}}", `jobs.a.query: "SELECT $$ $$ AS i" is not a query: the $ at line 1, column 8 stands alone` + dollar},
		{"jobs: {a: {kind: cleanup, rules: [{table: t, column: c, expired: true, where: \"x = $$a$$\"}]}}", `jobs.a.rules[0].where: "x = $$a$$" is no condition: the dollar quote $a$ that begins at line 1, column 5 is not closed` + dollar},
		{"jobs: {a: {kind: sql, statement: \"DO $$$$ BEGIN END $$$$\"}, b: {kind: sql, statement: DO $body$ BEGIN END $body$}}", ""},
		{"jobs: {a: {kind: cleanup, rules: [{table: t, column: c, expired: true, where: \"x = $a$b$a$ AND y > :z\"}]}}", ""},

		{"x-low: &low {queue: low}\njobs: {a: {<<: *low, kind: own}}", ""},
		{"x-low: &low {queue: low}\njobs: {a: {<<: *low, kind: own, x-note: 1}}", "jobs.a.x-note: unknown field"},
		{"low: &low {queue: low}\njobs: {a: {<<: *low, kind: own}}", "low: unknown field"},

		{`jobs: {a: {kind: own, args: {b: 1, c: [{d: "\0"}]}}}`, "jobs.a.args.c: holds a NUL character (PostgreSQL stores none; remove it)"},
		{`jobs: {b: {kind: own}, a: {kind: own, then: {success: [{job: b, params: {c: "\0"}}]}}}`, "jobs.a.then.success[0].params.c: holds a NUL character (PostgreSQL stores none; remove it)"},
		{`jobs: {a: {kind: own, params: {p: {type: json, default: ["\0"]}}}}`, `jobs.a.params.p.default: a list holds a NUL character (PostgreSQL stores none; remove it)`},
	} {
		got := strings.Join(messages(t, tt.text, nil), "\n")
		if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
		}
	}
}

// Anchors of a field of one's own are used like any.
func TestOwnFields(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("t.yaml", []byte("x-low: &low {queue: low, priority: 4}\nx-words: anything\njobs: {a: {<<: *low, kind: own, priority: 2}}"), &config.Opts{Kinds: allKinds()})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := config.Parse("t.yaml", []byte("jobs: {a: {kind: own, queue: low, priority: 2}}"), &config.Opts{Kinds: allKinds()})
	if err != nil {
		t.Fatal(err)
	}
	if job := cfg.Jobs["a"]; job.Queue != "low" || job.Priority != 2 || cfg.Hash() != plain.Hash() {
		t.Errorf("queue %s, priority %d, and the same hash: %v", job.Queue, job.Priority, cfg.Hash() == plain.Hash())
	}
}

func TestParamsWithNUL(t *testing.T) {
	t.Parallel()
	any, typed := &config.Job{Name: "j", Kind: "own"}, &config.Job{Name: "j", Kind: "own", Params: []config.Param{{Name: "p", Type: config.TextParam}, {Name: "q", Type: config.JSONParam, Default: json.RawMessage("null")}}}
	for _, tt := range []struct {
		job         *config.Job
		given, want string
	}{
		{any, `{"p": "a\u0000b"}`, "p"}, {any, `{"a": 1, "p": [{"x": "\u0000"}]}`, "p"}, {any, `{"p": {"x\u0000": 1}}`, "p"}, {any, `{"p\u0000": 1}`, "p\x00"},
		{any, `{"p": "a\\u0000b"}`, ""}, {any, `{"p": "\\\u0000"}`, "p"},
		{typed, `{"p": "a\u0000b"}`, "p"}, {typed, `{"p": "x", "q": ["\u0000"]}`, "q"}, {typed, `{"p": "x", "q": "\\u0000"}`, ""},
	} {
		_, err := tt.job.ResolveParams(json.RawMessage(tt.given), time.Time{})
		var wrong *config.ParamError
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.given, err)
		case tt.want != "" && (!errors.As(err, &wrong) || !strings.Contains(wrong.Message, field.HoldsNUL)):
			t.Errorf("%s: %v", tt.given, err)
		case tt.want != "":
			if diff := cmp.Diff(tt.want, wrong.Param); diff != "" {
				t.Errorf("%s: %s", tt.given, diff)
			}
		}
	}
}
