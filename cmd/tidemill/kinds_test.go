//go:build linux

package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill"
)

// register adds kinds of a user's own to the workers of scripts.
func register(app *tidemill.App) error {
	river.AddWorker(app.Workers, &failWorker{})
	river.AddWorker(app.Workers, &gateWorker{pool: app.Pool})
	return nil
}

// failArgs say with which error to fail; none is success.
type failArgs struct {
	Error string `json:"error"`
}

func (failArgs) Kind() string { return "test.fail" }

type failWorker struct{ river.WorkerDefaults[failArgs] }

func (*failWorker) Work(_ context.Context, job *river.Job[failArgs]) error {
	if job.Args.Error == "" {
		return nil
	}
	return errors.New(job.Args.Error)
}

type gateArgs struct{}

func (gateArgs) Kind() string { return "test.gate" }

// gateWorker runs for as long as the script's gate is shut, or until it is cancelled.
type gateWorker struct {
	river.WorkerDefaults[gateArgs]
	pool *pgxpool.Pool
}

func (w *gateWorker) Work(ctx context.Context, _ *river.Job[gateArgs]) error {
	_, err := w.pool.Exec(ctx, "SELECT pg_advisory_xact_lock_shared(4711)")
	return err
}
