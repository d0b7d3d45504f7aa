package rescue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/rescue"
)

type helloArgs struct{}

func (helloArgs) Kind() string { return "hello" }

// An existing River app adds rescue alone: register before the client starts, give the client the process's id and the
// process as a plugin, tag the client's sessions, and begin a new life when Run says that this one is over.
func ExampleRegister() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	url := os.Getenv("DATABASE_URL")
	if err := migrate(ctx, url); err != nil {
		fmt.Println(err)
		return
	}

	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[helloArgs]) error {
		fmt.Println("hello")
		stop() // this example ends after one job; an app ends with its process
		return nil
	}))

	var err error
	former := ""
	for ctx.Err() == nil {
		former, err = live(ctx, url, workers, former)
		if err != nil && !errors.Is(err, rescue.ErrFenced) && !errors.Is(err, rescue.ErrSilent) {
			fmt.Println(err)
			return
		}
	}

	// Output: hello
}

// live is one life of the process under one id.
func live(ctx context.Context, url string, workers *river.Workers, former string) (string, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return former, err
	}
	process, err := rescue.Register(ctx, rescue.Opts{Conn: config.ConnConfig.Copy(), Replaces: former})
	if err != nil {
		return former, err
	}
	process.Tag(config.ConnConfig)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return process.ID(), err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		ID:                   process.ID(),
		Logger:               slog.New(slog.DiscardHandler),
		Plugins:              []rivertype.Plugin{process},
		Queues:               map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		RescueStuckJobsAfter: 10 * 365 * 24 * time.Hour, // rescue owns recovery
		Schema:               migrations.DefaultSchema,
		Workers:              workers,
	})
	if err != nil {
		return process.ID(), err
	}
	background := context.WithoutCancel(ctx)
	if err := client.Start(background); err != nil {
		return process.ID(), err
	}
	if _, err := client.Insert(background, helloArgs{}, nil); err != nil {
		return process.ID(), err
	}
	ended := process.Run(ctx)

	stopping, cancel := context.WithTimeout(background, 10*time.Second)
	defer cancel()
	_ = client.StopAndCancel(stopping) // a fenced client may write nothing any more and runs into the bound
	go pool.Close()
	return process.ID(), errors.Join(ended, process.Close(stopping))
}

func migrate(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = migrations.Up(ctx, pool, migrations.Schema{}, slog.New(slog.DiscardHandler))
	return err
}
