package tidemill_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
)

// A program starts a job of tidemill.yaml in its own transaction, and works jobs beside serving requests.
func ExampleApp_StartTx() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	cfg, err := config.Parse("tidemill.yaml", []byte(`
database: {url: "${DATABASE_URL}", schema: example_app}
metrics: {listen: ""}
queues: {default: 2}
jobs:
  greet: {kind: sql, statement: "SELECT 'hello ' || :name", params: {name: text}}
`), &config.Opts{Kinds: workers.Configs(), Lookup: os.LookupEnv})
	if err != nil {
		fmt.Println(err)
		return
	}
	app, err := tidemill.New(ctx, cfg, &tidemill.Opts{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer app.Close()
	if _, err := app.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}

	var run *batch.Started
	err = pgx.BeginFunc(ctx, app.Pool, func(tx pgx.Tx) error {
		// What the application writes belongs here; it commits together with the job.
		run, err = app.StartTx(ctx, tx, "greet", tidemill.Params{"name": "Ada"})
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, nil) }()
	var last *batch.Info
	if err := app.Ledger.Watch(ctx, run.ID, 50*time.Millisecond, func(info *batch.Info) error { last = info; return nil }); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(last.Job, last.Status)
	stop() // as SIGTERM does in a worker: it finishes its jobs
	fmt.Println("worker:", <-ended)

	// Output:
	// greet succeeded
	// worker: <nil>
}
