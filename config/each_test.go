package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/eachjob"
)

func TestParseEach(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `jobs:
  a:
    kind: each
    query: SELECT id, name FROM app.users WHERE plan = :plan
    params: {plan: text}
    order_by: [id]
    enqueue: {job: b, params: {n: 1}}
  many: {kind: each, query: SELECT 1 AS id, order_by: [id, "X y"], batch: 1000, enqueue: {job: c}}
  b: {kind: own}
  c: {kind: own, params: {rows: json}}
`)
	want := &eachjob.Config{
		Query: "SELECT id, name FROM app.users WHERE plan = :plan", OrderBy: []string{"id"}, Batch: 1,
		Enqueue: eachjob.Enqueue{Job: "b", Params: []byte(`{"n":1}`)},
	}
	if diff := cmp.Diff(want, c.Jobs["a"].Spec.(*eachjob.Config)); diff != "" {
		t.Errorf("each (-want +got):\n%s", diff)
	}
	many := c.Jobs["many"]
	if many.Spec.(*eachjob.Config).Batch != 1000 || many.Params == nil {
		t.Errorf("batch %d, params %v", many.Spec.(*eachjob.Config).Batch, many.Params)
	}
	changed := *c.Jobs["a"]
	other := *changed.Spec.(*eachjob.Config)
	other.Enqueue.Params = []byte(`{"n":2}`)
	changed.Spec = &other
	if changed.Hash() == c.Jobs["a"].Hash() {
		t.Error("other params of the children make the same definition")
	}
}

func TestEachRules(t *testing.T) {
	t.Parallel()
	const others = `
  b: {kind: own}
  c: {kind: own, params: {n: integer, id: {type: integer, default: 0}}}
  once: {kind: own, unique: true}
  chain: {kind: own, then: {success: b}}
  load: {kind: import, table: t}
`
	const query = "query: SELECT id FROM t"
	tests := map[string]struct {
		fields string
		want   []string // nil: accepted
	}{
		"least":           {query + ", order_by: [id], enqueue: {job: b}", nil},
		"fixed params":    {query + ", order_by: [id], enqueue: {job: c, params: {n: 7}}", nil},
		"nothing":         {"", []string{"jobs.a: query is missing (add query:)", "jobs.a: order_by is missing (add order_by:)", "jobs.a: enqueue is missing (add enqueue:)", "jobs.a.order_by: names no column (name the columns of the primary key)"}},
		"unknown job":     {query + ", order_by: [id], enqueue: {job: bb}", []string{`jobs.a.enqueue.job: "bb" is not one of jobs (did you mean b?)`}},
		"itself":          {query + ", order_by: [id], enqueue: {job: a}", []string{"jobs.a.enqueue.job: job a is of kind each, which cannot be a child"}},
		"an import":       {query + ", order_by: [id], enqueue: {job: load}", []string{"jobs.a.enqueue.job: job load is of kind import, which cannot be a child"}},
		"unique":          {query + ", order_by: [id], enqueue: {job: once}", []string{"jobs.a.enqueue.job: job once is unique, and children have no runs of which one could be live (remove unique: from it, or enqueue another job)"}},
		"then":            {query + ", order_by: [id], enqueue: {job: chain}", []string{"jobs.a.enqueue.job: job chain has a then, and children have no runs that could be followed (what follows the last child belongs into then: of this job)"}},
		"unknown param":   {query + ", order_by: [id], enqueue: {job: c, params: {nn: 7}}", []string{`jobs.a.enqueue.params: job c: param "nn": job c has no such param (did you mean n?)`}},
		"wrong param":     {query + ", order_by: [id], enqueue: {job: c, params: {n: x}}", []string{`jobs.a.enqueue.params: job c: param "n": "x" is not a whole number (write it like 12 or -5)`}},
		"rows":            {query + ", order_by: [id], batch: 10, enqueue: {job: c, params: {n: 1}}", []string{"jobs.a.enqueue.job: job c has no param rows, in which it would get its rows (declare it there: params: {rows: json}, or say batch: 1)"}},
		"undeclared":      {"query: 'SELECT :x AS id', order_by: [id], enqueue: {job: b}", []string{"jobs.a.query: :x is not among params (add it, such as params: {x: text}; a slice of an array needs a space after the colon)"}},
		"unused":          {query + ", params: {x: text}, order_by: [id], enqueue: {job: b}", []string{"jobs.a.params.x: is not in the query (write :x where it belongs, outside of quotes and $$, or remove it)"}},
		"blank":           {"query: ' ', order_by: [id], enqueue: {job: b}", []string{`jobs.a.query: " " is no query (write it like SELECT id FROM app.users)`}},
		"order":           {query + ", order_by: [], enqueue: {job: b}", []string{"jobs.a.order_by: names no column (name the columns of the primary key)"}},
		"order twice":     {query + ", order_by: [id, id], enqueue: {job: b}", []string{`jobs.a.order_by[1]: "id" is there twice (remove one of them)`}},
		"bounds of batch": {query + ", order_by: [id], batch: 10001, enqueue: {job: b}", []string{`jobs.a.batch: "10001" is not from 1 to 10000`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fields := ""
			if tt.fields != "" {
				fields = ", " + tt.fields
			}
			got := messages(t, "jobs:\n  a: {kind: each"+fields+"}"+others, nil)
			for i := range got { // after the place, which other tests are about
				_, got[i], _ = strings.Cut(got[i], " ")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// What is not known, when a file is checked without its variables, must not be judged.
func TestEachOffline(t *testing.T) {
	t.Parallel()
	opts := lookup(nil)
	opts.Offline = true
	src := `jobs: {a: {kind: each, query: "${X}", order_by: ["${X}"], batch: "${X}", enqueue: {job: "${X}", params: {a: "${X}"}}}}`
	if _, err := config.Parse("", []byte(src), opts); err != nil {
		t.Fatal(err)
	}
}
