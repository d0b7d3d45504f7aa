package tidemill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
)

const eachYAML = `
queues: {default: 20, low: 20}
retry: {max_attempts: 1}
jobs:
  hook:  {kind: http, queue: low, priority: 3, url: "http://127.0.0.1:1/", retry: {max_attempts: 4}}
  typed: {kind: letter, queue: low, args: {style: plain}, params: {id: integer, to: text, note: {type: text, default: none}}}
  rows:  {kind: letter, queue: low}
  mild:  {kind: verdict}
  hooks:   {kind: each, query: "SELECT id, email AS \"to\" FROM public.people WHERE id <= :most", params: {most: integer}, order_by: [id], enqueue: {job: hook, params: {reason: new, id: 0}}}
  letters: {kind: each, query: "SELECT id, email AS \"to\" FROM public.people -- all\n;", order_by: [id], enqueue: {job: typed}}
  batches: {kind: each, query: "SELECT * FROM public.people", order_by: [email], batch: 4, enqueue: {job: rows, params: {style: bold}}}
  verdicts:
    kind: each
    query: "SELECT id, id % :bad = 0 AS fail FROM public.people"
    params: {bad: integer}
    order_by: [id]
    enqueue: {job: mild}
    then: {success: [said], failure: [after], always: [always]}
  after:  {kind: verdict}
  always: {kind: verdict}
  said:   {kind: verdict, params: {word: {type: text, default: none}}}
`

// setupEach makes an app and a table of people, whose e-mails are in the order of their ids.
func setupEach(t *testing.T, people int) *App {
	t.Helper()
	app := setup(t, eachYAML)
	river.AddWorker(app.Workers, &verdictWorker{})
	if _, err := app.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := app.Pool.Exec(t.Context(), `CREATE TABLE public.people (id bigint PRIMARY KEY, email text UNIQUE, seen timestamptz)`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = app.Pool.Exec(t.Context(), `INSERT INTO public.people SELECT i, to_char(i, 'FM000000') || '@example.com' FROM generate_series(1, $1) i`, people)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// workOn is a worker process for some of the queues until the end of the test.
func workOn(t *testing.T, app *App, queues ...string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, &RunOpts{Queues: queues}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func startEach(t *testing.T, app *App, job string, params Params) int64 {
	t.Helper()
	started, err := app.Start(t.Context(), job, params)
	if err != nil {
		t.Fatal(err)
	}
	return started.ID
}

// waitChildren waits until the run's children are as wanted.
func waitChildren(t *testing.T, app *App, id int64, want batch.Children) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		info, err := app.Ledger.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if info.Children != nil && *info.Children == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("children %+v of run %d (%s), want %+v", info.Children, id, info.Status, want)
		}
		hold(t.Context(), 20*time.Millisecond)
	}
}

// A child is inserted as a start of its job would insert it.
func TestEachChildrenAreAsStarted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		job    string
		params Params
		child  string
		start  []Params // of the same jobs by hand
	}{
		{"hooks", Params{"most": 2}, "hook", []Params{
			{"reason": "new", "id": 1, "to": "000001@example.com"}, {"reason": "new", "id": 2, "to": "000002@example.com"},
		}},
		{"letters", nil, "typed", []Params{
			{"id": 1, "to": "000001@example.com"}, {"id": 2, "to": "000002@example.com"}, {"id": 3, "to": "000003@example.com"},
		}},
	} {
		t.Run(tt.job, func(t *testing.T) {
			t.Parallel()
			app := setupEach(t, 3)
			workOn(t, app, "default")
			id := startEach(t, app, tt.job, tt.params)
			waitStatus(t, app, id, batch.Succeeded)
			const shown = `SELECT coalesce(string_agg(concat_ws(' ', kind, queue, priority, max_attempts, state, args, tags, metadata->'tidemill'->>'job', metadata->'tidemill'->>'parent'), E'\n' ORDER BY id), '')
				FROM tidemill.river_job WHERE queue = 'low'`
			got := must(ask[string](t, app, shown+` AND metadata->'tidemill' ? 'parent'`))
			for _, params := range tt.start {
				startEach(t, app, tt.child, params)
			}
			started := must(ask[string](t, app, shown+` AND NOT metadata->'tidemill' ? 'parent'`))
			want := strings.ReplaceAll(started, " "+tt.child, fmt.Sprintf(" %s %d", tt.child, id))
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("children (-started, +each):\n%s", diff)
			}
			if n := must(ask[int](t, app, `SELECT count(*)::int FROM tidemill.run WHERE job = $1`, tt.child)); n != len(tt.start) {
				t.Errorf("%d runs of %s, want those that were started by hand", n, tt.child)
			}
			waitChildren(t, app, id, batch.Children{Total: int64(len(tt.start)), Waiting: int64(len(tt.start))})
		})
	}
}

func TestEachBatches(t *testing.T) {
	t.Parallel()
	app := setupEach(t, 5001) // one more than fits into 1,250 batches of a chunk
	workOn(t, app, "default")
	id := startEach(t, app, "batches", nil)
	waitStatus(t, app, id, batch.Succeeded)
	waitChildren(t, app, id, batch.Children{Total: 1251, Waiting: 1251})
	got := must(ask[string](t, app, `SELECT args::text FROM tidemill.river_job WHERE queue = 'low' ORDER BY id DESC LIMIT 1`))
	if want := `{"rows": [{"id": 5001, "seen": null, "email": "005001@example.com"}], "style": "bold"}`; got != want {
		t.Errorf("last child %s, want %s", got, want)
	}
	rows := must(ask[string](t, app, `SELECT concat_ws(' ', count(*), count(DISTINCT r->>'id'), bool_and(r->>'id' = n::text)) FROM (
		SELECT r, row_number() OVER (ORDER BY j.id, ord) AS n FROM tidemill.river_job j, jsonb_array_elements(j.args->'rows') WITH ORDINALITY x (r, ord) WHERE queue = 'low') t`))
	if rows != "5001 5001 t" {
		t.Errorf("rows, distinct rows, in order: %s", rows)
	}
	info := must(app.Ledger.Get(t.Context(), id))
	if info.Seq != 2 || info.Done != 5001 || info.Counters.Processed != 5001 {
		t.Errorf("%d chunks, %d done, %+v", info.Seq, info.Done, info.Counters)
	}
}

// What follows the run follows its last child, once.
func TestEachThen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		people int
		bad    int
		want   batch.Children
		then   string
	}{
		{"all succeed", 30, 1000, batch.Children{Total: 30, Done: 30, Settled: true}, "always then, said then none"},
		{"some fail", 30, 10, batch.Children{Total: 30, Done: 27, Failed: 3, Settled: true}, "after then, always then"},
		{"no rows", 0, 10, batch.Children{Settled: true}, "always then, said then none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			app := setupEach(t, tt.people)
			work(t, app)
			id := startEach(t, app, "verdicts", Params{"bad": tt.bad})
			waitChildren(t, app, id, tt.want)
			err := waitFor(t, app, 2, `SELECT count(*)::int FROM tidemill.run WHERE trigger = 'then' AND finished_at IS NOT NULL`)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want.Failed > 0 { // those that are retried change the counts, and fire nothing again
				_, err := app.Pool.Exec(t.Context(), `UPDATE tidemill.river_job SET state = 'available', finalized_at = NULL, max_attempts = 2, args = '{}', scheduled_at = now()
					WHERE state = 'discarded'`)
				if err != nil {
					t.Fatal(err)
				}
				waitChildren(t, app, id, batch.Children{Total: 30, Done: 30, Settled: true})
			}
			if got := must(ask[string](t, app, followers)); got != tt.then {
				t.Errorf("%s, want %s", got, tt.then)
			}
			if n := must(ask[int](t, app, `SELECT (SELECT count(*) FROM tidemill.event)::int + (SELECT count(*) FROM tidemill.child_delta)::int`)); n != 0 {
				t.Errorf("%d events and deltas are left", n)
			}
		})
	}
}

// Cancelling the run cancels the children that wait, also when all of them are enqueued; nothing follows.
func TestEachCancel(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"ledger", "SQL"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			app := setupEach(t, 2500)
			workOn(t, app, "default")
			id := startEach(t, app, "letters", nil)
			waitStatus(t, app, id, batch.Succeeded)
			for range 2 { // twice is no mistake while any are left, and refused when none is
				var err error
				if by == "ledger" {
					err = app.Ledger.Cancel(t.Context(), id)
				} else {
					_, err = ask[bool](t, app, `SELECT tidemill.cancel($1)`, id)
				}
				var state *batch.StateError
				if err != nil && !errors.As(err, &state) {
					t.Fatal(err)
				}
			}
			waitChildren(t, app, id, batch.Children{Total: 2500, Failed: 2500, Settled: true})
			if n := must(ask[int](t, app, `SELECT count(*)::int FROM tidemill.river_job WHERE metadata->'tidemill' ? 'parent' AND state <> 'cancelled'`)); n != 0 {
				t.Errorf("%d children are not cancelled", n)
			}
			if err := waitFor(t, app, 0, `SELECT count(*)::int FROM tidemill.child_cancel`); err != nil {
				t.Error(err)
			}
			if must(ask[bool](t, app, `SELECT tidemill.cancel($1)`, id)) {
				t.Error("a run without waiting children was cancelled again")
			}
		})
	}
}

// A paused run is cancelled with the children that it has enqueued so far.
func TestEachCancelHalfway(t *testing.T) {
	t.Parallel()
	app := setupEach(t, 12_000)
	// The second chunk waits for a lock, so that the run can be asked to pause after the first.
	tx, err := app.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = app.Pool.Exec(t.Context(), `CREATE FUNCTION public.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.args->'id' = '7000' THEN PERFORM pg_advisory_xact_lock(7); END IF; RETURN NEW; END $$;
		CREATE TRIGGER gate BEFORE INSERT ON tidemill.river_job FOR EACH ROW EXECUTE FUNCTION public.gate()`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock(7)`); err != nil {
		t.Fatal(err)
	}
	workOn(t, app, "default")
	id := startEach(t, app, "letters", nil)
	waitChildren(t, app, id, batch.Children{Total: 5000, Waiting: 5000})
	if err := app.Ledger.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitStatus(t, app, id, batch.Paused)
	waitChildren(t, app, id, batch.Children{Total: 10_000, Waiting: 10_000})
	if err := app.Ledger.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	waitChildren(t, app, id, batch.Children{Total: 10_000, Failed: 10_000, Settled: true})

	// Somebody lets it continue: the rest is enqueued, and is not cancelled.
	if _, err := app.Ledger.Retry(t.Context(), id, batch.RetryOpts{}); err != nil {
		t.Fatal(err)
	}
	waitStatus(t, app, id, batch.Succeeded)
	waitChildren(t, app, id, batch.Children{Total: 12_000, Failed: 10_000, Waiting: 2000})
}

func TestEachRefusesAWalkThatWouldLoseRows(t *testing.T) {
	t.Parallel()
	const lines = `
jobs:
  child: {kind: letter}
  typed: {kind: letter, params: {id: integer, day: timestamp}}
  %s: {kind: each, query: "%s", order_by: [%s], enqueue: {job: %s}}
`
	for _, tt := range []struct{ name, query, order, child, want string }{
		{"not unique", "SELECT i / 2 AS k FROM generate_series(0, 9) i", "k", "child", "order_by (k) is not unique: rows with the same key could be left out; add a column that makes it so"},
		{"not unique where a chunk ends", "SELECT i, i - (i >= 5001)::int AS k FROM generate_series(1, 6000) i", "k", "child", "order_by (k) is not unique: rows with the same key could be left out; add a column that makes it so"},
		{"null", "SELECT nullif(i, 7) AS k FROM generate_series(0, 9) i", "k", "child", "order_by: column k is NULL in some row, so rows could be left out; "},
		{"null hidden by the end of a chunk", "SELECT i / 6000 AS i, nullif(i, 5998) AS k FROM generate_series(0, 6005) i", "i, k", "child", "order_by: column k is NULL in some row, so rows could be left out; "},
		{"null in the middle", "SELECT i, nullif(i, 7) AS k FROM generate_series(0, 9) i", "i, k", "child", "order_by: column k is NULL in some row, so rows could be left out; "},
		{"no such column", "SELECT 1 AS a, 2 AS b", "c", "child", "the query has no column c; the query has a, b"},
		{"twice", "SELECT 1 AS a, 2 AS a", "a", "child", "the query has two columns with the name a; name one of them otherwise, with AS"},
		{"no param of the child", "SELECT 1 AS id, now() AS day, 1 AS other", "id", "typed", "job typed has no param other, and the query has such a column; declare it there, or leave it out of the query"},
		{"wrong type", "SELECT 1 AS id, now()::timestamp AS day", "id", "typed", "param day of job typed is of type timestamp, which the query's column of that name does not fit; change its type, or cast the column in the query"},
		{"param missing", "SELECT 1 AS id", "id", "typed", "job typed needs param day; add the column to the query, or say params: {day: …} here"},
		{"wrong query", "SELECT id FROM nowhere", "id", "child", `query: line 1, column 16: relation "nowhere" does not exist (SQLSTATE 42P01)`},
		{"no query", "DELETE FROM pg_class RETURNING oid AS id", "id", "child", "query: plan the walk: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			app := setup(t, fmt.Sprintf(lines, "walk", tt.query, tt.order, tt.child))
			work(t, app)
			id := startEach(t, app, "walk", nil)
			waitStatus(t, app, id, batch.Failed)
			info := must(app.Ledger.Get(t.Context(), id))
			if !strings.HasPrefix(*info.Error, tt.want) {
				t.Errorf("error %s, want %s", *info.Error, tt.want)
			}
			if n := must(ask[int](t, app, `SELECT count(*)::int FROM tidemill.river_job`)); n != 1 {
				t.Errorf("%d children of a walk that was refused", n-1)
			}
		})
	}
}
