package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

const (
	// idleConns is the pool of an idle worker: fifty must fit into the server, and none of them needs many.
	idleConns = 4
	// idleSettle lets workers elect a leader and do what they do once before the measurement.
	idleSettle = 5 * time.Second
)

// idleSystem starts one worker that finds nothing to do.
type idleSystem struct {
	name     string
	database func(ctx context.Context, name string) (string, error)
	start    func(ctx context.Context, url string) (stop func() error, err error)
}

// benchIdle measures what workers cost while there is nothing to do: transactions, which for what an idle worker does are
// as many as queries, and CPU time of client and server. All workers share this process.
func benchIdle(ctx context.Context, b *bench) error {
	b.window = cmp.Or(b.window, 20*time.Second)
	systems := []idleSystem{
		{"River, its defaults", b.bareDatabase, bareIdle(&river.Config{})},
		{"River, 1 ms cooldown, 100 ms poll", b.bareDatabase, bareIdle(&river.Config{FetchCooldown: time.Millisecond, FetchPollInterval: 100 * time.Millisecond})},
		{"Tidemill", b.tidemillDatabase, tidemillIdle(baseConfig)},
		{"Tidemill, notify: false", b.tidemillDatabase, tidemillIdle("database: {url: \"${URL}\", notify: false}\nmetrics: {listen: \"\"}\n")},
	}
	fmt.Printf("idle workers with the queues critical, default and low, over %s; CPU of client and server, of one core\n\n", b.window)
	fmt.Println("| system | workers | transactions per second | CPU % | connections |")
	fmt.Println("|---|---|---|---|---|")
	// What the server does by itself.
	if err := b.idle(ctx, idleSystem{name: "nobody", database: b.bareDatabase}, 0); err != nil {
		return err
	}
	for _, system := range systems {
		for _, workers := range []int{1, 10, 50} {
			if err := b.idle(ctx, system, workers); err != nil {
				return fmt.Errorf("%s, %d workers: %w", system.name, workers, err)
			}
		}
	}
	return nil
}

func (b *bench) idle(ctx context.Context, system idleSystem, workers int) (err error) {
	// Each measurement has its own database, which counts only what this one does.
	name := fmt.Sprintf("%s %d", system.name, workers)
	url, err := system.database(ctx, name)
	if err != nil {
		return err
	}
	if url, err = withConns(url, idleConns); err != nil {
		return err
	}
	for range workers {
		stop, startErr := system.start(ctx, url)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	if err := sleep(ctx, idleSettle); err != nil {
		return err
	}
	before, err := b.activity(ctx, name)
	if err != nil {
		return err
	}
	if err := sleep(ctx, b.window); err != nil {
		return err
	}
	after, err := b.activity(ctx, name)
	if err != nil {
		return err
	}
	took := after.at.Sub(before.at)
	fmt.Printf("| %s | %d | %.1f | %.2f | %d |\n", system.name, workers, float64(after.transactions-before.transactions)/took.Seconds(),
		100*float64(after.cpu-before.cpu)/float64(took), after.connections)
	return nil
}

// activity is what has happened in a database so far.
type activity struct {
	at           time.Time
	cpu          time.Duration
	transactions int64
	connections  int
}

// activity is asked from the database postgres, so that the questions do not count. A session reports its figures a second
// late or, if it then sleeps, ten.
func (b *bench) activity(ctx context.Context, database string) (activity, error) {
	conn, err := pgx.Connect(ctx, b.db.URL())
	if err != nil {
		return activity{}, err
	}
	defer conn.Close(ctx)
	a := activity{at: time.Now()}
	if a.cpu, err = b.cpu(); err != nil {
		return a, err
	}
	err = conn.QueryRow(ctx, `SELECT xact_commit + xact_rollback, numbackends FROM pg_stat_database WHERE datname = $1`, database).Scan(&a.transactions, &a.connections)
	return a, err
}

func bareIdle(settings *river.Config) func(context.Context, string) (func() error, error) {
	return func(ctx context.Context, url string) (func() error, error) {
		pool, err := pgxpool.New(ctx, url)
		if err != nil {
			return nil, err
		}
		workers := river.NewWorkers()
		river.AddWorker(workers, newNoopWorker(1))
		// The queues and numbers of workers are Tidemill's defaults.
		return workBare(ctx, pool, &river.Config{
			FetchCooldown: settings.FetchCooldown, FetchPollInterval: settings.FetchPollInterval,
			Queues:  map[string]river.QueueConfig{"critical": {MaxWorkers: 10}, "default": {MaxWorkers: 20}, "low": {MaxWorkers: 5}},
			Workers: workers,
		})
	}
}

func tidemillIdle(text string) func(context.Context, string) (func() error, error) {
	return func(ctx context.Context, url string) (func() error, error) {
		app, err := newApp(ctx, url, text)
		if err != nil {
			return nil, err
		}
		return runApp(ctx, app), nil
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
