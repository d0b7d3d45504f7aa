package main

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/rescue"
)

// benchTriggers drains jobs with and without our triggers and a registered process; the River clients are the same.
func benchTriggers(ctx context.Context, b *bench) error {
	b.jobs = cmp.Or(b.jobs, 40_000)
	bareURL, err := b.bareDatabase(ctx, "bare")
	if err != nil {
		return err
	}
	oursURL, err := b.database(ctx, "ours")
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, oursURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := migrations.Up(ctx, pool, migrations.Schema{}, nil); err != nil {
		return err
	}
	config, err := pgx.ParseConfig(oursURL)
	if err != nil {
		return err
	}
	process, err := rescue.Register(ctx, rescue.Opts{Conn: config})
	if err != nil {
		return err
	}
	return b.compareDrains(ctx, triggersSide("without", bareURL, "public", nil), triggersSide("with", oursURL, migrations.DefaultSchema, process))
}

// triggersSide works as the process, or, if that is nil, as nobody.
func triggersSide(name, url, schema string, process *rescue.Process) *drainSide {
	return &drainSide{name: name, url: url, schema: schema, start: func(ctx context.Context, worker *noopWorker) (func() error, error) {
		config, err := pgxpool.ParseConfig(url)
		if err != nil {
			return nil, err
		}
		config.MaxConns = 8
		id := "bench"
		if process != nil {
			process.Tag(config.ConnConfig)
			id = process.ID()
		}
		pool, err := pgxpool.NewWithConfig(ctx, config)
		if err != nil {
			return nil, err
		}
		workers := river.NewWorkers()
		river.AddWorker(workers, worker)
		return workBare(ctx, pool, &river.Config{
			FetchCooldown: time.Millisecond, FetchPollInterval: 20 * time.Millisecond, ID: id,
			Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 1000}}, Schema: schema, Workers: workers,
		})
	}}
}
