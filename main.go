package tidemill

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/tidemill/tidemill/workers/exportjob"

	_ "time/tzdata"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/cli"
)

// time zones where the machine has none

// Main is the whole tidemill command with the workers that register adds; register may be nil. It does not return.
//
// Every subcommand that connects calls register, so that it must only add workers and the like, not start work.
func Main(register func(*App) error) {
	m := cli.Main{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Version: Version(),
		Open: func(ctx context.Context, cfg *config.Config, logger *slog.Logger, works bool) (*cli.App, error) {
			app, err := New(ctx, cfg, &Opts{Logger: logger, anyPool: !works})
			if err != nil {
				return nil, err
			}
			if register != nil {
				if err := register(app); err != nil {
					app.Close()
					return nil, err
				}
			}
			return app.forCLI(), nil
		},
	}
	os.Exit(m.Run(context.Background()))
}

// forCLI hands the commands what they need, without a dependency of theirs on this package.
func (a *App) forCLI() *cli.App {
	return &cli.App{
		Client: a.Client, Config: a.Config, Pool: a.Pool, Ledger: a.Ledger, Schema: a.schema,
		Close:   a.Close,
		Now:     a.Now,
		Migrate: a.Migrate,
		Apply: func(ctx context.Context) (*cli.Applied, error) {
			applied, err := a.Apply(ctx)
			if err != nil {
				return nil, err
			}
			return &cli.Applied{
				Jobs: applied.Jobs, RemovedJobs: applied.Removed, Kinds: applied.Kinds,
				AddedSchedules: applied.Schedules.Added, ChangedSchedules: applied.Schedules.Changed, RemovedSchedules: applied.Schedules.Removed,
			}, nil
		},
		Import: func(ctx context.Context, job, name string, r io.Reader, o cli.ImportOpts) (int64, bool, error) {
			started, err := a.ImportFile(ctx, job, name, r, ImportOpts{Force: o.Force, Trigger: "cli", Progress: o.Progress, RejectsOf: o.RejectsOf})
			if err != nil {
				return 0, false, err
			}
			return started.ID, started.Existing, nil
		},
		Start: func(ctx context.Context, job string, o cli.StartOpts) (int64, bool, error) {
			var started *batch.Started
			err := pgx.BeginFunc(ctx, a.Pool, func(tx pgx.Tx) (err error) {
				started, err = a.StartWith(ctx, tx, job, StartOpts{
					Params: o.Params, At: o.At, Queue: o.Queue, Priority: o.Priority, Trigger: "cli",
				})
				return err
			})
			if err != nil {
				return 0, false, err
			}
			return started.ID, started.Existing, nil
		},
		Fetch: func(ctx context.Context, run int64, to exportjob.Target) (cli.Fetch, error) {
			return a.Fetch(ctx, run, to)
		},
		Work: func(ctx context.Context, queues []string) error { return a.Run(ctx, &RunOpts{Queues: queues}) },
	}
}
