package tidemill

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
)

// verdictArgs say how the job ends.
type verdictArgs struct {
	Fail bool   `json:"fail"`
	Word string `json:"word"`
}

func (verdictArgs) Kind() string { return "verdict" }

type verdictWorker struct {
	river.WorkerDefaults[verdictArgs]
}

func (*verdictWorker) Work(_ context.Context, job *river.Job[verdictArgs]) error {
	if job.Args.Fail {
		return errors.New("as it was told")
	}
	return nil
}

const thenYAML = `
retry: {max_attempts: 1}
jobs:
  good: {kind: verdict, then: {success: [after, {job: said, params: {word: well done}}], failure: [said], always: always}}
  bad:  {kind: verdict, args: {fail: true}, then: {success: [said], failure: [after], always: [always]}}
  chain: {kind: verdict, then: {success: middle}}
  middle: {kind: verdict, then: {success: [after]}}
  after:  {kind: verdict}
  always: {kind: verdict}
  said:   {kind: verdict, params: {word: {type: text, default: none}}}
`

// followers are the runs that a run has started, directly or not.
const followers = `SELECT coalesce(string_agg(job || ' ' || trigger || coalesce(' ' || (args->>'word'), ''), ', ' ORDER BY job), '')
	FROM tidemill.run WHERE trigger = 'then'`

func TestThen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ job, want string }{
		{"good", "after then, always then, said then well done"},
		{"bad", "after then, always then"},
		{"chain", "after then, middle then"},
		{"after", ""},
	} {
		t.Run(tt.job, func(t *testing.T) {
			t.Parallel()
			app := setup(t, thenYAML)
			river.AddWorker(app.Workers, &verdictWorker{})
			work(t, app)
			if err := waitFor(t, app, 1, `SELECT count(*)::int FROM tidemill.process`); err != nil {
				t.Fatal(err)
			}
			started, err := app.Start(t.Context(), tt.job, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]batch.Status{"bad": batch.Failed}[tt.job]
			if want == "" {
				want = batch.Succeeded
			}
			waitStatus(t, app, started.ID, want)
			// Whatever follows has ended when nothing is left to follow and no run is live.
			err = waitFor(t, app, 0, `SELECT (SELECT count(*) FROM tidemill.event)::int + (SELECT count(*) FROM tidemill.run WHERE finished_at IS NULL)::int`)
			if err != nil {
				t.Fatal(err)
			}
			if got := must(ask[string](t, app, followers)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if after := must(ask[string](t, app, `SELECT coalesce(string_agg(DISTINCT metadata->>'after', ','), '') FROM tidemill.run WHERE job IN ('after', 'always') AND trigger = 'then'`)); tt.job == "good" && after != must(ask[string](t, app, `SELECT $1::bigint::text`, started.ID)) {
				t.Errorf("after run %s, want %d", after, started.ID)
			}
		})
	}
}

// A cancelled run starts nothing; one that is retried by hand and then succeeds has both its ends.
func TestThenAfterCancelAndRetry(t *testing.T) {
	t.Parallel()
	app := setup(t, thenYAML)
	if _, err := app.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	started, err := app.Start(t.Context(), "good", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Ledger.Cancel(t.Context(), started.ID); err != nil {
		t.Fatal(err)
	}
	if n := must(ask[int](t, app, `SELECT count(*)::int FROM tidemill.event`)); n != 0 {
		t.Errorf("%d events of a cancelled run", n)
	}
	for _, step := range []string{
		`UPDATE tidemill.river_job SET state = 'available', finalized_at = NULL`,
		`UPDATE tidemill.river_job SET state = 'running'`,
		`UPDATE tidemill.river_job SET state = 'discarded', finalized_at = now()`,
		`UPDATE tidemill.river_job SET state = 'available', finalized_at = NULL`,
		`UPDATE tidemill.river_job SET state = 'running'`,
		`UPDATE tidemill.river_job SET state = 'completed', finalized_at = now()`,
	} {
		if _, err := app.Pool.Exec(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	got := must(ask[string](t, app, `SELECT string_agg(outcome, ' ' ORDER BY id) FROM tidemill.event`))
	if got != "failure success" {
		t.Errorf("events %s", got)
	}
	// Several follow at once; each end is followed once.
	done := make(chan error, 8)
	for range cap(done) {
		go func() { _, err := app.Pool.Exec(context.Background(), `SELECT tidemill.follow_events()`); done <- err }()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff("after then, always then, always then, said then none, said then well done", must(ask[string](t, app, followers))); diff != "" {
		t.Error(diff)
	}
}

// What cannot be started is tried again, and holds up nothing else.
func TestThenThatCannotStart(t *testing.T) {
	t.Parallel()
	app := setup(t, thenYAML)
	if _, err := app.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO tidemill.event (run, job, outcome) VALUES (1, 'good', 'success'), (2, 'bad', 'failure')`,
		`DELETE FROM tidemill.job WHERE name = 'said'`,
		`SELECT tidemill.follow_events()`,
	} {
		if _, err := app.Pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if got := must(ask[string](t, app, followers)); got != "after then, always then" {
		t.Errorf("started %s, want what follows the second only", got)
	}
	left := must(ask[string](t, app, `SELECT concat_ws(' ', run, tries, problem, next_at > now()) FROM tidemill.event`))
	if left != "1 1 job 'said' is unknown t" {
		t.Errorf("left: %s", left)
	}
}
