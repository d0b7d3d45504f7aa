package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// abandonedURL makes this program one of the workers of benchAbandon.
const abandonedURL = "TIDEMILL_BENCH_WORKER"

// benchAbandon kills one of two bare River workers, with River's defaults, in the middle of running jobs, and waits until
// the other has all of them. It takes an hour; internal/chaos does the same to Tidemill's workers.
func benchAbandon(ctx context.Context, b *bench) error {
	b.jobs = cmp.Or(b.jobs, 50)
	url, err := b.bareDatabase(ctx, "abandon")
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, `CREATE TABLE started (job bigint, pid int, attempt int, at timestamptz DEFAULT now())`); err != nil {
		return err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		return err
	}
	params := make([]river.InsertManyParams, b.jobs)
	for i := range params {
		params[i].Args = holdArgs{}
	}
	if _, err := client.InsertMany(ctx, params); err != nil {
		return err
	}
	first, err := b.bareWorker(ctx, url)
	if err != nil {
		return err
	}
	if err := waitCount(ctx, pool, b.jobs, `SELECT count(*) FROM started`); err != nil {
		return err
	}
	second, err := b.bareWorker(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = second.Process.Kill(); _ = second.Wait() }()
	if err := first.Process.Kill(); err != nil {
		return err
	}
	_ = first.Wait()
	killed := time.Now()
	fmt.Printf("%d jobs ran in the worker that was killed at %s\n", b.jobs, killed.Format(time.TimeOnly))
	if err := waitCount(ctx, pool, b.jobs, `SELECT count(*) FROM started WHERE attempt = 2`); err != nil {
		return err
	}
	fmt.Printf("all of them run in the other after %s\n", time.Since(killed).Round(time.Second))
	return nil
}

// bareWorker starts this program as a worker.
func (b *bench) bareWorker(ctx context.Context, url string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), abandonedURL+"="+url)
	cmd.Stderr = os.Stderr
	return cmd, cmd.Start()
}

// workAbandoned is the worker's side.
func workAbandoned(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &holdWorker{pool: pool})
	_, err = workBare(ctx, pool, &river.Config{
		Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 100}}, Workers: workers,
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

type holdArgs struct{}

func (holdArgs) Kind() string { return "hold" }

// holdWorker says that it has begun, and never ends.
type holdWorker struct {
	river.WorkerDefaults[holdArgs]

	pool *pgxpool.Pool
}

func (w *holdWorker) Work(ctx context.Context, job *river.Job[holdArgs]) error {
	if _, err := w.pool.Exec(ctx, `INSERT INTO started VALUES ($1, $2, $3)`, job.ID, os.Getpid(), job.Attempt); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func waitCount(ctx context.Context, pool *pgxpool.Pool, want int, query string) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var n int
		if err := pool.QueryRow(ctx, query).Scan(&n); err != nil {
			return err
		}
		if n >= want {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
