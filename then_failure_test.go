package tidemill

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
)

const thenFailureYAML = `
retry: {max_attempts: 1}
jobs:
  bad: {kind: verdict, args: {fail: true}, then: {failure: [declared, some, own, clash, {job: given, params: {error: mine}}, words, none, told], always: [always]}}
  good: {kind: verdict, then: {success: [own]}}
  declared: {kind: verdict, params: {run: {type: integer}, job: {type: text}, error: {type: text}, word: {type: text, default: none}}}
  some:   {kind: verdict, params: {error: {type: text}}}
  own:    {kind: verdict}
  clash:  {kind: verdict, args: {job: of its own}}
  given:  {kind: verdict, params: {run: {type: text}, error: {type: text}}}
  words:  {kind: verdict, params: {run: {type: date, default: null}}}
  none:   {kind: verdict, params: {}}
  always: {kind: verdict}
  told:   {kind: command, argv: ["true"]}
`

// What follows a failure learns of which run, of which job, and why, as far as it takes it.
func TestThenFailureLearnsWhatFailed(t *testing.T) {
	t.Parallel()
	app := setup(t, thenFailureYAML)
	river.AddWorker(app.Workers, &verdictWorker{})
	work(t, app)
	if err := waitFor(t, app, 1, `SELECT count(*)::int FROM tidemill.process`); err != nil {
		t.Fatal(err)
	}
	bad, err := app.Start(t.Context(), "bad", nil)
	if err != nil {
		t.Fatal(err)
	}
	good, err := app.Start(t.Context(), "good", nil)
	if err != nil {
		t.Fatal(err)
	}
	waitStatus(t, app, bad.ID, batch.Failed)
	waitStatus(t, app, good.ID, batch.Succeeded)
	if err := waitFor(t, app, 10, `SELECT count(*)::int FROM tidemill.run WHERE trigger = 'then' AND finished_at IS NOT NULL`); err != nil {
		t.Fatal(err)
	}
	got := must(ask[string](t, app, `SELECT string_agg(job || ' ' || replace(args::text, '"run": ' || $1::bigint, '"run": RUN'), E'\n' ORDER BY job, args::text)
		FROM tidemill.run WHERE trigger = 'then'`, bad.ID))
	want := `always {}
clash {"job": "of its own"}
declared {"job": "bad", "run": RUN, "word": "none", "error": "as it was told"}
given {"run": "N", "error": "mine"}
none {}
own {}
own {}
some {"error": "as it was told"}
told {"job": "told", "params": {"job": "bad", "run": RUN, "error": "as it was told"}}
words {"run": null}`
	if n := must(ask[string](t, app, `SELECT '"' || $1::bigint || '"'`, bad.ID)); n != "" {
		want = strings.Replace(want, `"N"`, n, 1)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
