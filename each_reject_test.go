package tidemill

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
)

// A row that cannot become a child is put aside, and the walk continues with the next one.
func TestEachPutsRowsAside(t *testing.T) {
	t.Parallel()
	const yaml = `
queues: {default: 20, low: 20}
retry: {max_attempts: 1}
jobs:
  own:   {kind: letter, queue: low, params: {id: integer, word: text, more: {type: text, default: none}}}
  built: {kind: http, queue: low, url: "http://127.0.0.1:1/", params: {id: integer, word: text, more: {type: text, default: none}}}
  whole: {kind: letter, queue: low, params: {id: integer, word: integer}}
  lists: {kind: letter, queue: low, params: {rows: json, word: {type: text, default: none}}}
  walk:
    kind: each
    query: "%s"
    order_by: [id]
    batch: %d
    enqueue: {job: %s}
`
	const nulls = "SELECT i AS id, CASE WHEN i NOT IN (2, 5001, 5200) THEN 'w' END AS word, nullif('m', 'm') AS more FROM generate_series(1, 5200) i"
	missing := func(job string) []string {
		var all []string
		for _, place := range []int{2, 5001, 5200} {
			all = append(all, fmt.Sprintf(`%d %d 22023 job %s needs param word: {"id": %d, "more": null, "word": null}`, place, place, job, place))
		}
		return all
	}
	for _, tt := range []struct {
		name, query string
		batch       int
		job         string
		status      batch.Status
		counters    batch.Counters
		rejects     []string
	}{
		{"a program's own kind", nulls, 1, "own", batch.SucceededWithRejects, batch.Counters{Read: 5200, Processed: 5197, Rejected: 3}, missing("own")},
		{"a built-in kind", nulls, 1, "built", batch.SucceededWithRejects, batch.Counters{Read: 5200, Processed: 5197, Rejected: 3}, missing("built")},
		{"of another type", "SELECT i AS id, (ARRAY['1', 'x', '3'])[i] AS word FROM generate_series(1, 3) i", 1, "whole", batch.SucceededWithRejects,
			batch.Counters{Read: 3, Processed: 2, Rejected: 1}, []string{`2 2 22023 job whole, param word: "x" is not of type integer: {"id": 2, "word": "x"}`}},
		{"every row", "SELECT i AS id, NULL::text AS word FROM generate_series(1, 1) i", 1, "own", batch.SucceededWithRejects,
			batch.Counters{Read: 1, Rejected: 1}, []string{`1 1 22023 job own needs param word: {"id": 1, "word": null}`}},
		{"a long one", "SELECT i AS id, NULL::text AS word, repeat('é', 5000) AS more FROM generate_series(1, 1) i", 1, "own", batch.SucceededWithRejects,
			batch.Counters{Read: 1, Rejected: 1}, []string{`1 1 22023 job own needs param word (only the first 4096 characters are kept): {"id": 1, "more": "` + strings.Repeat("é", 4077)}},
		{"within a list", "SELECT i AS id, NULL::text AS word FROM generate_series(1, 5) i", 2, "lists", batch.Succeeded, batch.Counters{Read: 5, Processed: 5}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			app := setup(t, fmt.Sprintf(yaml, tt.query, tt.batch, tt.job))
			if _, err := app.Apply(t.Context()); err != nil {
				t.Fatal(err)
			}
			workOn(t, app, "default")
			id := startEach(t, app, "walk", nil)
			waitStatus(t, app, id, tt.status)
			info := must(app.Ledger.Get(t.Context(), id))
			if diff := cmp.Diff(tt.counters, info.Counters); diff != "" {
				t.Errorf("counters (-want +got):\n%s", diff)
			}
			var got []string
			for _, r := range must(app.Ledger.Rejects(t.Context(), id, 0, 100)) {
				got = append(got, fmt.Sprintf("%d %d %s %s: %s", r.Ordinal, r.Line, r.Code, r.Reason, r.Raw))
			}
			if diff := cmp.Diff(tt.rejects, got); diff != "" {
				t.Errorf("rejects (-want +got):\n%s", diff)
			}
			children := (tt.counters.Processed + int64(tt.batch) - 1) / int64(tt.batch)
			if n := must(ask[int64](t, app, `SELECT count(*) FROM tidemill.river_job WHERE queue = 'low'`)); n != children {
				t.Errorf("%d children, want %d", n, children)
			}
		})
	}
}

// A walk that puts most of its rows aside is a mistake in the query, and must not fill the ledger.
func TestEachRejectsHaveAnEnd(t *testing.T) {
	t.Parallel()
	app := setup(t, `
jobs:
  own:  {kind: letter, params: {id: integer, word: text}}
  walk: {kind: each, query: "SELECT i AS id, NULL::text AS word FROM generate_series(1, 101000) i", order_by: [id], enqueue: {job: own}, retry: {max_attempts: 1}}
`)
	work(t, app)
	id := startEach(t, app, "walk", nil)
	waitStatus(t, app, id, batch.Failed)
	const want = "more than 100000 rows were rejected, the last one because: job own needs param word; change the query, or the params of the job that is enqueued"
	if info := must(app.Ledger.Get(t.Context(), id)); *info.Error != want {
		t.Errorf("error %s, want %s", *info.Error, want)
	}
}

// A row may have as many columns as PostgreSQL allows.
func TestEachOfWideTables(t *testing.T) {
	t.Parallel()
	app := setup(t, `
queues: {default: 20, low: 20}
jobs:
  child: {kind: letter, queue: low}
  walk:  {kind: each, query: "SELECT * FROM public.wide", order_by: [c1], enqueue: {job: child}}
`)
	_, err := app.Pool.Exec(t.Context(), `DO $$ BEGIN
		EXECUTE 'CREATE TABLE public.wide (' || (SELECT string_agg(format('c%s smallint', i), ', ') FROM generate_series(1, 1600) i) || ')';
	END $$; INSERT INTO public.wide (c1, c1600) VALUES (1, 7), (2, 8)`)
	if err != nil {
		t.Fatal(err)
	}
	workOn(t, app, "default")
	id := startEach(t, app, "walk", nil)
	waitStatus(t, app, id, batch.Succeeded)
	if got := must(ask[string](t, app, `SELECT string_agg(args->>'c1600', ' ' ORDER BY id) FROM tidemill.river_job WHERE queue = 'low'`)); got != "7 8" {
		t.Errorf("children with %s", got)
	}
}
