package riverpg_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/internal/riverpg"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/rescue"
)

// doArgs is a job that enters its number into a table and then ends as it says.
type doArgs struct {
	N   int    `json:"n"`
	End string `json:"end"`
}

func (doArgs) Kind() string { return "do" }

type doWorker struct {
	river.WorkerDefaults[doArgs]
	pool  *pgxpool.Pool
	ends  map[string]func(context.Context) error
	begun chan int64
	gate  chan struct{}
}

func (w *doWorker) Work(ctx context.Context, job *river.Job[doArgs]) error {
	if _, err := w.pool.Exec(context.WithoutCancel(ctx), `INSERT INTO public.done VALUES ($1)`, job.Args.N); err != nil {
		return err
	}
	w.begun <- job.ID
	<-w.gate
	if end := w.ends[job.Args.End]; end != nil {
		return end(ctx)
	}
	return nil
}

// NextRetry is far enough to be seen.
func (w *doWorker) NextRetry(*river.Job[doArgs]) time.Time { return time.Now().Add(time.Hour) }

type bundle struct {
	url    string
	pool   *pgxpool.Pool // of an application
	worker *doWorker
	client *river.Client[pgx.Tx]
	opts   rescue.Opts
}

// setup starts a worker process with a client over the driver.
func setup(t *testing.T) *bundle {
	t.Helper()
	ctx := context.Background()
	b := &bundle{url: testengine.URL(t)}
	b.pool = testdb.Pool(t, b.url)
	if _, err := b.pool.Exec(ctx, `CREATE TABLE public.done (n int)`); err != nil {
		t.Fatal(err)
	}
	b.worker = &doWorker{pool: b.pool, begun: make(chan int64, 1000), gate: make(chan struct{}), ends: map[string]func(context.Context) error{}}
	config, err := pgxpool.ParseConfig(b.url)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	b.opts = rescue.Opts{Conn: config.ConnConfig.Copy(), Logger: logger, Sweep: 100 * time.Millisecond, OrphanAfter: 600 * time.Millisecond}
	process, err := rescue.Register(ctx, b.opts)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- process.Run(running) }()
	process.Tag(config.ConnConfig)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, b.worker)
	b.client, err = river.NewClient(riverpg.New(riverpg.Opts{Pool: pool, Logger: logger, Notify: true}), &river.Config{
		FetchCooldown: time.Millisecond, FetchPollInterval: 20 * time.Millisecond, ID: process.ID(), Logger: logger,
		Plugins: []rivertype.Plugin{process}, Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 100}},
		RescueStuckJobsAfter: 24 * time.Hour, Schema: migrations.DefaultSchema, Workers: workers,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.client.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		if err := b.client.StopAndCancel(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		stop()
		<-ended
		if err := process.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		pool.Close()
	})
	return b
}

// start inserts n jobs and waits until all of them run.
func (b *bundle) start(t *testing.T, n int, end func(n int) string) []int64 {
	t.Helper()
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{Schema: migrations.DefaultSchema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]int64, n)
	for i := range n {
		job, err := client.Insert(context.Background(), doArgs{N: i, End: end(i)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = job.Job.ID
	}
	for range n {
		<-b.worker.begun
	}
	return ids
}

func (b *bundle) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := b.pool.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// until waits until the query counts want.
func (b *bundle) until(t *testing.T, want int, query string, args ...any) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		n := b.count(t, query, args...)
		if n == want {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d, not %d: %s", n, want, query)
		}
	}
}

func none(int) string { return "" }
