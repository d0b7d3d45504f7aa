package tidemill

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/retention"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers"
)

// setup returns an App of this configuration on a migrated database of its own.
func setup(t *testing.T, yaml string) *App {
	t.Helper()
	url := testengine.URL(t)
	lookup := func(string) (string, bool) { return url, true }
	cfg, err := config.Parse("tidemill.yaml", []byte("database: {url: \"${DATABASE_URL}\"}\nmetrics: {listen: \"\"}\n"+yaml), &config.Opts{Kinds: workers.Configs(), Lookup: lookup})
	if err != nil {
		t.Fatal(err)
	}
	app, err := New(t.Context(), cfg, &Opts{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	return app
}

// work runs a worker process until the end of the test.
func work(t *testing.T, app *App) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

type plainArgs struct{}

func (plainArgs) Kind() string { return "plain" }

type plainWorker struct {
	river.WorkerDefaults[plainArgs]
}

func (*plainWorker) Work(context.Context, *river.Job[plainArgs]) error { return errors.New("failed") }

type politeArgs struct{}

func (politeArgs) Kind() string { return "polite" }

type politeWorker struct {
	river.WorkerDefaults[politeArgs]
}

func (*politeWorker) Work(context.Context, *river.Job[politeArgs]) error {
	return errors.New("failed")
}

func (*politeWorker) NextRetry(job *river.Job[politeArgs]) time.Time {
	return retry.Policy{Backoff: retry.Constant, Delay: 20 * time.Minute, Jitter: -1}.Next(job.JobRow)
}

type goneArgs struct{}

func (goneArgs) Kind() string { return "gone" }

type goneWorker struct{ river.WorkerDefaults[goneArgs] }

func (*goneWorker) Work(context.Context, *river.Job[goneArgs]) error {
	return retry.Permanent(errors.New("gone"))
}

func TestRetryOfTheJobThenTheKindThenTheTop(t *testing.T) {
	t.Parallel()

	app := setup(t, `
retry: {backoff: constant, delay: 30m, jitter: 0%}
jobs:
  plain-top:      {kind: plain}
  plain-own:      {kind: plain, retry: {delay: 10m}}
  polite-kind:    {kind: polite}
  polite-few:     {kind: polite, retry: {max_attempts: 3}}
  polite-own:     {kind: polite, retry: {delay: 10m}}
  polite-last:    {kind: polite, retry: {max_attempts: 1, delay: 10m}}
  gone:           {kind: gone}
`)
	river.AddWorker(app.Workers, &plainWorker{})
	river.AddWorker(app.Workers, &politeWorker{})
	river.AddWorker(app.Workers, &goneWorker{})
	work(t, app)

	type outcome struct {
		State       string
		MaxAttempts int
		Minutes     int // to the next attempt
	}
	want := map[string]outcome{
		"plain-top":   {"retryable", 10, 30},
		"plain-own":   {"retryable", 10, 10},
		"polite-kind": {"retryable", 10, 20},
		"polite-few":  {"retryable", 3, 20},
		"polite-own":  {"retryable", 10, 10},
		"polite-last": {"discarded", 1, 0},
		"gone":        {"discarded", 10, 0},
	}
	got := map[string]outcome{}
	for name := range want {
		if _, err := app.Start(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(got) < len(want) {
		rows, err := app.Pool.Query(ctx, `
			SELECT metadata->'tidemill'->>'job', state::text, max_attempts,
				CASE WHEN state = 'retryable' THEN round(extract(epoch FROM scheduled_at - attempted_at) / 60)::int ELSE 0 END
			FROM tidemill.river_job WHERE state IN ('retryable', 'discarded')`)
		if err != nil {
			t.Fatalf("so far %v: %v", got, err)
		}
		var name string
		var o outcome
		_, err = pgx.ForEachRow(rows, []any{&name, &o.State, &o.MaxAttempts, &o.Minutes}, func() error { got[name] = o; return nil })
		if err != nil {
			t.Fatalf("so far %v: %v", got, err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after the first attempt (-want +got):\n%s", diff)
	}
}

func TestRetentionOfTheConfiguration(t *testing.T) {
	t.Parallel()

	app := setup(t, `
retention: {succeeded: 2h}
jobs:
  plain: {kind: plain}
  short: {kind: plain, retention: {succeeded: 1h}}
  kept:  {kind: plain, retention: {succeeded: forever}}
  same:  {kind: plain, retention: {succeeded: 2h}}
`)
	if config.Forever != retention.Forever {
		t.Fatal("forever is not the same to all")
	}
	_, err := app.Pool.Exec(t.Context(), `
		INSERT INTO tidemill.river_job (kind, args, max_attempts, queue, state, metadata, finalized_at)
		SELECT job || hours, '{}', 1, 'default', 'completed', jsonb_build_object('tidemill', jsonb_build_object('job', job)),
			now() - hours * interval '1 hour' - interval '1 minute'
		  FROM unnest(ARRAY['plain', 'short', 'kept', 'same']) job, unnest(ARRAY[0, 1, 2]) hours`)
	if err != nil {
		t.Fatal(err)
	}
	poolConfig, err := app.poolConfig()
	if err != nil {
		t.Fatal(err)
	}
	sweeper := app.sweeper(poolConfig.ConnConfig, &watch{})
	defer sweeper.Close()
	if _, err := sweeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, err := app.Pool.Query(t.Context(), "SELECT kind FROM tidemill.river_job ORDER BY kind")
	if err != nil {
		t.Fatal(err)
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kept0", "kept1", "kept2", "plain0", "plain1", "same0", "same1", "short0"}, left); diff != "" {
		t.Errorf("jobs left (-want +got):\n%s", diff)
	}
}
