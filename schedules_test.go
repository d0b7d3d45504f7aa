package tidemill

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/periodic"
)

// A tick reaches the program with its due time, and the params that depend on it are resolved in the schedule's zone.
func TestATickReachesTheProgram(t *testing.T) {
	t.Parallel()
	type body struct {
		Job, Previous string
		ScheduledFor  string         `json:"scheduled_for"`
		CaughtUp      bool           `json:"caught_up"`
		Params        map[string]any `json:"params"`
	}
	bodies := make(chan body, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var b body
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
			t.Errorf("body: %v", err)
		}
		bodies <- b
	}))
	defer receiver.Close()
	// Two hours ago, so that no tick is due while the test runs.
	hour := time.Now().In(time.FixedZone("Tokyo", 9*3600)).Add(-2 * time.Hour).Hour()
	app := setup(t, strings.ReplaceAll(`
jobs:
  hook:
    kind: http
    url: "`+receiver.URL+`"
    params: {day: {type: date, default: scheduled_for}, n: integer}
    schedule: {cron: "0 HOUR * * *", timezone: Asia/Tokyo, catch_up: all, catch_up_window: 365d, overlap: allow, params: {n: 7}}
  letters: {kind: letter, params: {day: {type: date, default: scheduled_for}, n: integer}, args: {to: all}}
schedules:
  letters: {job: letters, cron: "0 HOUR * * *", timezone: Asia/Tokyo, catch_up_window: 365d, params: {n: "8"}}
`, "HOUR", fmt.Sprint(hour)))
	river.AddWorker(app.Workers, &letterWorker{})
	app.Schedules = []periodic.Definition{{Name: "of the program", Kind: "letter", Spec: periodic.Spec{Cron: "0 0 1 1 *"}, Args: json.RawMessage(`{"to": "me"}`)}}
	applied, err := app.Apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"hook", "letters", "of the program"}, applied.Schedules.Added); diff != "" {
		t.Error(diff)
	}
	// Nobody was there for two ticks.
	_, err = app.Pool.Exec(t.Context(), `UPDATE tidemill.schedule SET next_tick_at = next_tick_at - interval '2 days' WHERE name <> 'of the program'`)
	if err != nil {
		t.Fatal(err)
	}
	status, err := app.ScheduleAdmin().Get(t.Context(), "hook")
	if err != nil {
		t.Fatal(err)
	}
	due := *status.NextTickAt
	work(t, app)
	want := []body{}
	for day := range 2 {
		at := due.AddDate(0, 0, day)
		want = append(want, body{
			Job: "hook", Previous: at.AddDate(0, 0, -1).Format("2006-01-02T15:04:05+09:00"), ScheduledFor: at.Format("2006-01-02T15:04:05+09:00"),
			CaughtUp: true, Params: map[string]any{"day": at.Format("2006-01-02"), "n": 7.0},
		})
	}
	got := []body{<-bodies, <-bodies}
	if got[0].ScheduledFor > got[1].ScheduledFor {
		got[0], got[1] = got[1], got[0]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := waitFor(t, app, 1, `SELECT count(*)::int FROM tidemill.run WHERE job = 'letters'`); err != nil {
		t.Fatal(err)
	}
	args := must(ask[string](t, app, `SELECT concat_ws(' ', args->>'to', args->>'day', args->>'n', jsonb_typeof(args->'n')) FROM tidemill.run WHERE job = 'letters'`))
	if want := "all " + due.AddDate(0, 0, 1).Format("2006-01-02") + " 8 number"; args != want {
		t.Errorf("%s, want %s", args, want)
	}
}

func TestScheduleDefinedTwice(t *testing.T) {
	t.Parallel()
	app := setup(t, `
jobs:
  letters: {kind: letter, schedule: "0 9 * * *"}
`)
	app.Schedules = []periodic.Definition{{Name: "letters", Kind: "letter", Spec: periodic.Spec{Cron: "0 0 1 1 *"}}}
	if _, err := app.Apply(t.Context()); err == nil {
		t.Error("a schedule of the program takes the place of the configuration's")
	}
}

// A process is there from its first moment on: ticks that come due while it starts are not missed, however long that takes.
func TestTicksOfAStartThatTakesLong(t *testing.T) {
	t.Parallel()
	app := setup(t, `
jobs:
  beat: {kind: plain}
schedules:
  often: {job: beat, every: 1s, overlap: allow, catch_up: all}
`)
	river.AddWorker(app.Workers, &plainWorker{})
	tx, err := app.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), `LOCK TABLE tidemill.process IN SHARE MODE`); err != nil { // nobody can register
		t.Fatal(err)
	}
	work(t, app)
	if err := waitFor(t, app, 1, `SELECT count(*)::int FROM tidemill.schedule WHERE next_tick_at < now() - interval '2.5 s'`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := waitFor(t, app, 1, `SELECT (count(*) >= 5)::int FROM tidemill.tick`); err != nil {
		t.Fatal(err)
	}
	if got := must(ask[string](t, app, `SELECT string_agg(DISTINCT outcome, ' ') FROM tidemill.tick`)); got != periodic.Enqueued {
		t.Errorf("ticks are %s, want all enqueued", got)
	}
}

// A schedule names its job: what the job's row says holds from the next start on, whoever starts it.
func TestAScheduleStartsItsJobsRow(t *testing.T) {
	t.Parallel()
	app := setup(t, `
jobs:
  letters: {kind: letter, args: {to: all}, params: {n: integer}, schedule: {cron: "0 0 1 1 *", params: {n: 7}}}
`)
	app.Schedules = []periodic.Definition{{
		Name: "of the program", Job: "letters", Kind: "letter", Priority: 2, Spec: periodic.Spec{Cron: "0 0 1 1 *"},
		Args: json.RawMessage(`{"to": "me"}`), Params: json.RawMessage(`{"shown": true}`),
	}}
	if _, err := app.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Pool.Exec(t.Context(), `UPDATE tidemill.job SET priority = 3, args = '{"to": "some"}' WHERE name = 'letters'`); err != nil {
		t.Fatal(err)
	}
	const started = `SELECT concat_ws(' ', j.priority, j.args - 'scheduled_for', r.params, j.metadata)
		FROM tidemill.river_job j JOIN tidemill.run r USING (id) WHERE j.id = `
	if _, err := app.Pool.Exec(t.Context(), `SELECT tidemill.start_tick(s, '{"scheduled_for": "2026-01-30T00:00:00Z"}', false) FROM tidemill.schedule s WHERE name = 'letters'`); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, start := range map[string]string{
		"schedule": `tidemill.trigger_schedule('letters', 'api', '2026-01-31T00:00:00Z')`,
		"tick":     `(SELECT run FROM tidemill.tick)`,
		"start":    `tidemill.start('letters', '{"n": 7}')`,
		"program":  `tidemill.trigger_schedule('of the program', 'api', '2026-01-31T00:00:00Z')`,
	} {
		got[name] = must(ask[string](t, app, started+must(ask[string](t, app, `SELECT `+start+`::text`))))
	}
	want := map[string]string{
		"schedule": `3 {"n": 7, "to": "some"} {"n": 7} {"tidemill": {"job": "letters", "schedule": "letters"}}`,
		"tick":     `3 {"n": 7, "to": "some"} {"n": 7} {"tidemill": {"job": "letters", "schedule": "letters"}}`,
		"start":    `3 {"n": 7, "to": "some"} {"n": 7} {"tidemill": {"job": "letters"}}`,
		"program":  `2 {"to": "me"} {"shown": true} {"tidemill": {"job": "letters", "schedule": "of the program"}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A schedule whose job is gone says so, and what to do.
func TestAScheduleWithoutItsJob(t *testing.T) {
	t.Parallel()
	app := setup(t, `
jobs: {letters: {kind: letter, schedule: "0 0 1 1 *"}}
`)
	if _, err := app.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Pool.Exec(t.Context(), `DELETE FROM tidemill.job`); err != nil {
		t.Fatal(err)
	}
	_, err := app.Pool.Exec(t.Context(), `SELECT tidemill.trigger_schedule('letters', 'api', '2026-01-31T00:00:00Z')`)
	if err == nil || !strings.Contains(err.Error(), "schedule letters starts job letters, which is not in the applied configuration") {
		t.Error(err)
	}
}
