package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// pickArgs carries the moment of its insertion; worker and inserter share a process, and so a clock.
type pickArgs struct {
	At int64 `json:"at"`
}

func (pickArgs) Kind() string { return "pick" }

// pickWorker collects how long each job waited.
type pickWorker struct {
	river.WorkerDefaults[pickArgs]
	mu    sync.Mutex
	waits []float64 // ms
	came  chan struct{}
}

func (w *pickWorker) Work(_ context.Context, job *river.Job[pickArgs]) error {
	wait := float64(time.Now().UnixNano()-job.Args.At) / 1e6
	w.mu.Lock()
	w.waits = append(w.waits, wait)
	w.mu.Unlock()
	w.came <- struct{}{}
	return nil
}

func (w *pickWorker) take() []float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	waits := w.waits
	w.waits = nil
	return waits
}

// picker is one of the compared systems at work.
type picker struct {
	name   string
	client *river.Client[pgx.Tx]
	pool   *pgxpool.Pool // set: jobs are inserted by the SQL function
	worker *pickWorker
	stop   func() error
}

// benchLatency measures the time from the call of Insert to the first line of the worker.
func benchLatency(ctx context.Context, b *bench) error {
	fmt.Println("ms from Insert to the worker's first line, one process, 100 workers; bursts: 200 of 2 to 100 inserts, spaced 0 to 100 ms")
	fmt.Println("\n| system | 50/s p50 / p99 | 500/s p50 / p99 | bursts p99 / worst |")
	fmt.Println("|---|---|---|---|")
	for _, start := range []func(context.Context, *bench) (*picker, error){
		func(ctx context.Context, b *bench) (*picker, error) {
			return barePicker(ctx, b, "River, its defaults", 0, 0)
		},
		func(ctx context.Context, b *bench) (*picker, error) {
			return barePicker(ctx, b, "River, 1 ms cooldown, 100 ms poll", time.Millisecond, 100*time.Millisecond)
		},
		func(ctx context.Context, b *bench) (*picker, error) { return tidemillPicker(ctx, b, false) },
		func(ctx context.Context, b *bench) (*picker, error) { return tidemillPicker(ctx, b, true) },
	} {
		p, err := start(ctx, b)
		if err != nil {
			return err
		}
		slow, err := p.steady(ctx, 50, 500)
		if err != nil {
			return err
		}
		fast, err := p.steady(ctx, 500, 2500)
		if err != nil {
			return err
		}
		bursts, err := p.bursts(ctx, 200)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.2f / %.2f | %.2f / %.2f | %.1f / %.1f |\n", p.name, quantile(slow, 0.5), quantile(slow, 0.99),
			quantile(fast, 0.5), quantile(fast, 0.99), quantile(bursts, 0.99), quantile(bursts, 1))
		if err := p.stop(); err != nil {
			return err
		}
	}
	return nil
}

// steady inserts n jobs at a rate per second.
func (p *picker) steady(ctx context.Context, perSecond, n int) ([]float64, error) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := p.insert(ctx); err != nil {
			return nil, err
		}
	}
	return p.all(ctx, n)
}

func (p *picker) bursts(ctx context.Context, n int) ([]float64, error) {
	random := rand.New(rand.NewPCG(1, 1))
	total := 0
	for range n {
		size := 2 + random.IntN(99)
		gap := time.Duration(random.IntN(100)) * time.Millisecond / time.Duration(size)
		for range size {
			if err := p.insert(ctx); err != nil {
				return nil, err
			}
			select {
			case <-time.After(gap):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		total += size
	}
	return p.all(ctx, total)
}

func (p *picker) insert(ctx context.Context) error {
	if p.pool != nil {
		_, err := p.pool.Exec(ctx, `SELECT tidemill.enqueue('pick', $1)`, pickArgs{At: time.Now().UnixNano()})
		return err
	}
	_, err := p.client.Insert(ctx, pickArgs{At: time.Now().UnixNano()}, nil)
	return err
}

func (p *picker) all(ctx context.Context, n int) ([]float64, error) {
	for range n {
		select {
		case <-p.worker.came:
		case <-time.After(30 * time.Second):
			return nil, fmt.Errorf("%s: a job did not come within 30 s", p.name)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return p.worker.take(), nil
}

func newPickWorker() *pickWorker { return &pickWorker{came: make(chan struct{}, 100_000)} }

func barePicker(ctx context.Context, b *bench, name string, cooldown, poll time.Duration) (*picker, error) {
	url, err := b.bareDatabase(ctx, fmt.Sprintf("bare_%d", cooldown))
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	p := &picker{name: name, worker: newPickWorker()}
	workers := river.NewWorkers()
	river.AddWorker(workers, p.worker)
	p.client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown: cooldown, FetchPollInterval: poll, Logger: slog.New(slog.DiscardHandler),
		Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 100}}, Workers: workers,
	})
	if err != nil {
		return nil, err
	}
	p.stop = func() error { defer pool.Close(); return p.client.Stop(ctx) }
	return p, p.client.Start(ctx)
}

// tidemillPicker is a whole worker process with all its plugins, in this process, and the application's own client, or SQL.
func tidemillPicker(ctx context.Context, b *bench, sql bool) (*picker, error) {
	url, err := b.tidemillDatabase(ctx, fmt.Sprintf("tidemill_latency_%t", sql))
	if err != nil {
		return nil, err
	}
	app, err := newApp(ctx, url, baseConfig+"queues: {default: 100}\n")
	if err != nil {
		return nil, err
	}
	p := &picker{name: "Tidemill worker", worker: newPickWorker(), client: app.Client}
	river.AddWorker(app.Workers, p.worker)
	if sql {
		p.name, p.pool = "Tidemill worker, SQL enqueue", app.Pool
		if _, err := app.Apply(ctx); err != nil {
			return nil, err
		}
	}
	p.stop = runApp(ctx, app)
	// The first job shows that it is at work.
	if err := p.insert(ctx); err != nil {
		return nil, err
	}
	_, err = p.all(ctx, 1)
	return p, err
}
