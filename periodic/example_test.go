package periodic_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/periodic"
)

type greetArgs struct {
	Name string `json:"name"`
	// ScheduledFor is filled in by the scheduler.
	ScheduledFor time.Time `json:"scheduled_for"`
}

func (greetArgs) Kind() string { return "greet" }

// An existing River app, whose tables are in public, adds durable schedules alone: our tables are in a schema of their own,
// the worker is a plain River worker.
func ExampleScheduler() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()

	schema := migrations.Schema{Name: "tidemill", River: "public"}
	if _, err := migrations.Up(ctx, pool, schema, nil); err != nil {
		fmt.Println(err)
		return
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := periodic.ApplyTx(ctx, tx, schema, []periodic.Definition{{
			Name: "greeting", Spec: periodic.Spec{Every: time.Second}, Kind: greetArgs{}.Kind(), Args: json.RawMessage(`{"name": "Mei"}`),
		}})
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	workers := river.NewWorkers()
	var once sync.Once
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, job *river.Job[greetArgs]) error {
		once.Do(func() {
			fmt.Println("hello", job.Args.Name+", it is due:", !job.Args.ScheduledFor.After(time.Now()))
			stop() // this example ends after one job; an app ends with its process
		})
		return nil
	}))
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Logger: slog.New(slog.DiscardHandler), Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		Schema: "public", Workers: workers,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	background := context.WithoutCancel(ctx)
	if err := client.Start(background); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Stop(background) }()
	periodic.New(periodic.Opts{Conn: pool.Config().ConnConfig, Schema: schema, Logger: slog.New(slog.DiscardHandler)}).Run(ctx)

	// Output: hello Mei, it is due: true
}
