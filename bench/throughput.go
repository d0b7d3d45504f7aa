package main

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/migrations"
)

// throughputConns is the size of a worker's pool on both sides: what Tidemill takes by itself.
const throughputConns = 16

// benchThroughput drains jobs by a bare River client and by a whole Tidemill worker with all its plugins. River's settings
// are the same on both sides, except that Tidemill fetches the kinds only that it knows.
func benchThroughput(ctx context.Context, b *bench) error {
	b.jobs = cmp.Or(b.jobs, 100_000)
	bareURL, err := b.bareDatabase(ctx, "bare")
	if err != nil {
		return err
	}
	oursURL, err := b.tidemillDatabase(ctx, "ours")
	if err != nil {
		return err
	}
	bare := &drainSide{name: "bare River", url: bareURL, schema: "public", start: func(ctx context.Context, worker *noopWorker) (func() error, error) {
		config, err := pgxpool.ParseConfig(bareURL)
		if err != nil {
			return nil, err
		}
		config.MaxConns = throughputConns
		pool, err := pgxpool.NewWithConfig(ctx, config)
		if err != nil {
			return nil, err
		}
		workers := river.NewWorkers()
		river.AddWorker(workers, worker)
		return workBare(ctx, pool, &river.Config{
			FetchCooldown: time.Millisecond, FetchPollInterval: 100 * time.Millisecond,
			Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 1000}}, Workers: workers,
		})
	}}
	ours := &drainSide{name: "Tidemill worker", url: oursURL, schema: migrations.DefaultSchema, start: func(ctx context.Context, worker *noopWorker) (func() error, error) {
		// Each drain is a worker's whole life.
		text, stopScrape := baseConfig, func() error { return nil }
		if b.scrape {
			address, err := freeAddress(ctx)
			if err != nil {
				return nil, err
			}
			text = strings.Replace(text, `listen: ""`, `listen: "`+address+`"`, 1)
			stopScrape = scrapeEverySecond(ctx, "http://"+address+"/metrics")
		}
		app, err := newApp(ctx, oursURL, text+"queues: {default: 1000}\n")
		if err != nil {
			return nil, err
		}
		river.AddWorker(app.Workers, worker)
		stop := runApp(ctx, app)
		return func() error { return errors.Join(stopScrape(), stop()) }, nil
	}}
	return b.compareDrains(ctx, bare, ours)
}
