package sqljob_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/sqljob"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers"
	"github.com/tidemill/tidemill/workers/kind"
)

type sqlBundle struct {
	client *river.Client[pgx.Tx]
	pool   *pgxpool.Pool
	ended  <-chan *river.Event
}

// setupSQL starts a worker for these statements, each a job, with the declared params.
func setupSQL(t *testing.T, params []config.Param, statements map[string]string) *sqlBundle {
	t.Helper()
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	b := &sqlBundle{pool: testdb.Pool(t, testengine.URL(t))}
	set := river.NewWorkers()
	river.AddWorker(set, sqljob.NewWorker(&kind.Deps{
		Jobs: func(name string) (*config.Job, bool) {
			statement, ok := statements[name]
			return &config.Job{
				Name: name, Kind: "sql", Params: params,
				Spec: &sqljob.Config{Statement: statement, Timeout: time.Minute, MaxRows: 10},
			}, ok
		},
		Location: tokyo, Logger: testengine.Logger(t), Pool: b.pool,
	}))
	retries := retry.NewPlugin(retry.PluginOpts{Default: retry.Policy{Delay: time.Millisecond, MaxAttempts: 3}})
	b.client, err = river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		FetchCooldown: time.Millisecond, FetchPollInterval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Plugins: []rivertype.Plugin{retries}, RetryPolicy: retries, MaxAttempts: 3,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4}}, Schema: migrations.DefaultSchema, Workers: set,
	})
	if err != nil {
		t.Fatal(err)
	}
	ended, unsubscribe := b.client.Subscribe(river.EventKindJobCompleted, river.EventKindJobFailed, river.EventKindJobCancelled)
	b.ended = ended
	if err := b.client.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		if err := b.client.StopAndCancel(ctx); err != nil {
			t.Errorf("stop the client: %v", err)
		}
		unsubscribe()
	})
	return b
}

func (b *sqlBundle) start(t *testing.T, args kind.Args) int64 {
	t.Helper()
	started, err := b.client.Insert(t.Context(), sqljob.Args{Args: args}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return started.Job.ID
}

// wait returns the job once it is finalized.
func (b *sqlBundle) wait(t *testing.T, id int64) *rivertype.JobRow {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case event := <-b.ended:
			if event.Job.ID == id && event.Job.FinalizedAt != nil {
				return event.Job
			}
		case <-timeout:
			t.Fatalf("job %d does not end", id)
		}
	}
}

func TestSQLWorker(t *testing.T) {
	t.Parallel()
	day := config.Param{Name: "day", Type: config.DateParam, Default: json.RawMessage(`"scheduled_for"`)}
	b := setupSQL(t, []config.Param{day}, map[string]string{
		"day":   "SELECT :day::date + 1 AS tomorrow",
		"wrong": "SELECT :day::date + 1 FROM nowhere",
		"zero":  "SELECT 1 / (:day::date - :day)",
	})
	due := time.Date(2026, 1, 31, 20, 0, 0, 0, time.UTC) // a day as the start says it: in Tokyo it is the next

	tests := []struct {
		name, job, params, output, err string
		due                            *time.Time
		state                          rivertype.JobState
		attempts                       int
	}{
		{"given", "day", `{"day": "2026-03-31"}`, `{"rows": [["2026-04-01"]], "columns": ["tomorrow"], "command": "SELECT 1", "row_count": 1}`, "", nil, rivertype.JobStateCompleted, 1},
		{"as the start says", "day", "", `{"rows": [["2026-02-01"]], "columns": ["tomorrow"], "command": "SELECT 1", "row_count": 1}`, "", &due, rivertype.JobStateCompleted, 1},
		{"not a date", "day", `{"day": "soon"}`, "", `param "day": "soon" is not a date`, nil, rivertype.JobStateDiscarded, 1},
		{"no such table", "wrong", "", "", `line 1, column 28: relation "nowhere" does not exist (SQLSTATE 42P01)`, nil, rivertype.JobStateDiscarded, 1},
		{"what may be transient", "zero", "", "", "division by zero (SQLSTATE 22012)", nil, rivertype.JobStateDiscarded, 3},
	}
	for _, tt := range tests { // one after the other: they share the channel of events
		t.Run(tt.name, func(t *testing.T) {
			args := kind.Args{Job: tt.job, ScheduledFor: tt.due}
			if tt.params != "" {
				args.Params = json.RawMessage(tt.params)
			}
			job := b.wait(t, b.start(t, args))
			if job.State != tt.state || job.Attempt != tt.attempts {
				t.Errorf("%s after %d attempts, want %s after %d: %v", job.State, job.Attempt, tt.state, tt.attempts, job.Errors)
			}
			if diff := cmp.Diff(tt.output, string(job.Output())); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			last := ""
			if len(job.Errors) > 0 {
				last = job.Errors[len(job.Errors)-1].Error
			}
			if !strings.Contains(last, tt.err) || (tt.err == "") != (last == "") {
				t.Errorf("error is %q, want %q", last, tt.err)
			}
		})
	}
}

func TestSQLWorkerCancelled(t *testing.T) {
	t.Parallel()
	b := setupSQL(t, nil, map[string]string{"sleep": "SELECT pg_sleep(300)"})
	id := b.start(t, kind.Args{Job: "sleep"})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for sleeping := false; !sleeping; <-tick.C {
		const query = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
		if err := b.pool.QueryRow(t.Context(), query).Scan(&sleeping); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.client.JobCancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if job := b.wait(t, id); job.State != rivertype.JobStateCancelled {
		t.Errorf("the job is %s, want cancelled: %v", job.State, job.Errors)
	}
}

func TestCheckSQL(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.URL(t))
	for _, ddl := range []string{"CREATE TABLE t (id int, d date)", "CREATE PROCEDURE stats(day date) LANGUAGE sql AS $$ INSERT INTO t (d) VALUES (day) $$"} {
		if _, err := pool.Exec(t.Context(), ddl); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		params, statement string
		want              []string
	}{
		{"day: date", "CALL stats(:day)", nil},
		{"day: date, n: integer, t: text", "UPDATE t SET d = :day WHERE id = :n AND d::text = :t", nil},
		{"at: timestamp, j: json, o: boolean, u: uuid", "SELECT :at::timestamptz, :j::jsonb, :o::boolean, :u::uuid", nil},
		{"day: date", "CALL stats(:day, 1)", []string{"test.yaml:5:5: jobs.job.statement: line 1, column 6: procedure stats(unknown, integer) does not exist"}},
		{"", "UPDATE t SET\n  nowhere = 1", []string{"test.yaml:5:5: jobs.job.statement: line 2, column 3: column \"nowhere\" of relation \"t\" does not exist"}},
		{"day: date, n: integer", "UPDATE t SET id = :day, d = :n", []string{
			`test.yaml:4:14: jobs.job.params.day: is of type date, which does not fit the statement: invalid input syntax for type integer: "2026-01-31"`,
			"test.yaml:4:25: jobs.job.params.n: is of type integer, which does not fit the statement: invalid input syntax for type date: \"1\"",
		}},
		{"day: date", "SELECT :day + 1", []string{"test.yaml:4:14: jobs.job.params.day: is of type date, which does not fit"}},
		{"", "SELECT 1; SELECT 2", []string{"test.yaml:5:5: jobs.job.statement: there are several statements"}},
		{"", "COPY t TO STDOUT", []string{"test.yaml:5:5: jobs.job.statement: COPY"}},
		{"", "DELETE FROM t", nil},
	}
	if _, err := pool.Exec(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.statement, func(t *testing.T) {
			t.Parallel()
			text := "jobs:\n  job:\n    kind: sql\n    params: {" + tt.params + "}\n    statement: \"" + strings.ReplaceAll(tt.statement, "\n", "\\n") + "\"\n"
			cfg, err := config.Parse("test.yaml", []byte(text), &config.Opts{Kinds: workers.Configs()})
			if err != nil {
				t.Fatal(err)
			}
			problems, err := sqljob.CheckLive(t.Context(), pool, cfg, cfg.Jobs["job"])
			if err != nil {
				t.Fatal(err)
			}
			if len(problems) != len(tt.want) {
				t.Fatalf("problems are %v, want %q", problems, tt.want)
			}
			for i, want := range tt.want {
				if got := problems[i].Error(); !strings.HasPrefix(got, want) {
					t.Errorf("problem is %q, want %q", got, want)
				}
			}
			var n int
			if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil || n != 1 {
				t.Errorf("%d rows (%v): the check ran the statement", n, err)
			}
		})
	}
}

func TestSQLWorkerTimeout(t *testing.T) {
	t.Parallel()
	w := sqljob.NewWorker(&kind.Deps{Jobs: func(string) (*config.Job, bool) {
		return &config.Job{Kind: "sql", Spec: &sqljob.Config{Timeout: time.Hour}}, true
	}})
	job := &river.Job[sqljob.Args]{Args: sqljob.Args{Args: kind.Args{Job: "x"}}}
	if got := w.Timeout(job); got <= time.Hour || got > time.Hour+2*time.Minute {
		t.Errorf("timeout is %s, want a little more than the hour of the statement", got)
	}
}
