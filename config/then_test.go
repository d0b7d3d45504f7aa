package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
)

func TestParseThen(t *testing.T) {
	t.Parallel()
	jobs := mustParse(t, `jobs:
  a: {kind: own, then: {always: c, failure: [b], success: [{job: c, params: {n: 7, m: {z: 1, a: [x]}}}, b]}}
  b: {kind: own}
  c: {kind: own}
`).Jobs
	b := config.ThenJob{Job: "b"}
	want := config.Then{Success: []config.ThenJob{{"c", []byte(`{"n":7,"m":{"z":1,"a":["x"]}}`)}, b}, Failure: []config.ThenJob{b}, Always: []config.ThenJob{{Job: "c"}}}
	if diff := cmp.Diff(want, jobs["a"].Then); diff != "" {
		t.Errorf("then (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]config.ThenJob{want.Success[0], b, b, {Job: "c"}}, jobs["a"].Then.All()); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if jobs["b"].Then.All() != nil {
		t.Errorf("something follows b: %+v", jobs["b"].Then)
	}
}

func TestThenRules(t *testing.T) {
	t.Parallel()
	const others = `
  b: {kind: own}
  c: {kind: own, params: {n: integer}}
  load: {kind: import, table: t}
`
	tests := map[string]struct {
		then string
		want []string // nil: accepted
	}{
		"a name":          {"{success: b}", nil},
		"names":           {"{success: [b], failure: [b, b], always: []}", nil},
		"params":          {"{success: [{job: c, params: {n: 7}}, b]}", nil},
		"nothing":         {"{}", nil},
		"unknown job":     {"{success: [b, bb]}", []string{`jobs.a.then.success[1]: "bb" is not one of jobs (did you mean b?)`}},
		"an import":       {"{always: load}", []string{`jobs.a.then.always[0]: job load is an import without source, which takes a file (say where its files are: source: file:///srv/drop/*.csv)`}},
		"params missing":  {"{failure: [c]}", []string{`jobs.a.then.failure[0]: job c: param "n": is missing (job c needs it: a whole number)`}},
		"wrong params":    {"{failure: [{job: c, params: {n: x}}]}", []string{`jobs.a.then.failure[0]: job c: param "n": "x" is not a whole number (write it like 12 or -5)`}},
		"no job":          {"{success: [{params: {}}]}", []string{"jobs.a.then.success[0]: job is missing (add job:)"}},
		"another word":    {"{succes: b}", []string{"jobs.a.then.succes: unknown field (did you mean success?)"}},
		"itself":          {"{failure: a}", []string{"jobs.a.then: is a cycle: a → a (what follows must come to an end; for something that repeats, write a schedule)"}},
		"no list of jobs": {"{success: {job: b}}", []string{"jobs.a.then.success: is a mapping, not a list of jobs"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := messages(t, "jobs:\n  a: {kind: own, then: "+tt.then+"}"+others, nil)
			for i := range got { // after the place, which other tests are about
				_, got[i], _ = strings.Cut(got[i], " ")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCirclesAreFoundOnce(t *testing.T) {
	t.Parallel()
	got := messages(t, `jobs:
  d: {kind: own, then: {success: b}}
  b: {kind: own, then: {success: [e, c]}}
  c: {kind: own, then: {always: [b, e]}}
  e: {kind: own}
`, nil)
	if len(got) != 1 {
		t.Fatalf("%q", got)
	}
}
