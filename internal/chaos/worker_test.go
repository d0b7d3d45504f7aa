package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"time"

	tidemillcmd "github.com/tidemill/tidemill/cmd"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill"
)

// workerVariable makes this test binary a worker with the kinds below.
const workerVariable = "TIDEMILL_CHAOS_WORKER"

// memoryVariable is how many bytes of memory such a worker may have.
const memoryVariable = "TIDEMILL_CHAOS_MEMORY"

func runAsWorker() {
	if os.Getenv(workerVariable) == "" {
		return
	}
	if text := os.Getenv(memoryVariable); text != "" {
		limit, err := strconv.ParseUint(text, 10, 64)
		if err == nil {
			err = syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: limit, Max: limit})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "limit the memory:", err)
			os.Exit(1)
		}
	}
	os.Args = []string{"chaos", "worker"}
	tidemillcmd.Main(func(app *tidemill.App) error {
		if err := river.AddWorkerSafely(app.Workers, &holdWorker{pool: app.Pool}); err != nil {
			return err
		}
		if err := river.AddWorkerSafely(app.Workers, &stepWorker{pool: app.Pool}); err != nil {
			return err
		}
		if err := river.AddWorkerSafely(app.Workers, &moodWorker{}); err != nil {
			return err
		}
		return addSeeded(app)
	})
}

// holdArgs is a job that continues until its round is released.
type holdArgs struct {
	Round int `json:"round"`
}

func (holdArgs) Kind() string { return "hold" }

type holdWorker struct {
	river.WorkerDefaults[holdArgs]
	pool *pgxpool.Pool
}

func (*holdWorker) Timeout(*river.Job[holdArgs]) time.Duration { return -1 }

func (w *holdWorker) Work(ctx context.Context, job *river.Job[holdArgs]) error {
	if _, err := w.pool.Exec(ctx, `INSERT INTO public.started (job, process) VALUES ($1, $2)`, job.ID, owner(job.AttemptedBy)); err != nil {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var released bool
		err := w.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM public.released WHERE round = $1)`, job.Args.Round).Scan(&released)
		if err == nil && released {
			_, err = w.pool.Exec(ctx, `INSERT INTO public.ended (job) VALUES ($1)`, job.ID)
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stepArgs is a job of Least to Most milliseconds that then writes one row.
type stepArgs struct {
	Least int `json:"least,omitempty"`
	Most  int `json:"most"`
}

func (stepArgs) Kind() string { return "step" }

type stepWorker struct {
	river.WorkerDefaults[stepArgs]
	pool *pgxpool.Pool
}

func (w *stepWorker) Work(ctx context.Context, job *river.Job[stepArgs]) error {
	if job.Args.Most > 0 {
		select {
		case <-time.After(time.Duration(job.Args.Least+rand.IntN(job.Args.Most-job.Args.Least)) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	_, err := w.pool.Exec(ctx, `INSERT INTO public.ended (job) VALUES ($1)`, job.ID)
	return err
}

func owner(attemptedBy []string) string {
	if len(attemptedBy) == 0 {
		return ""
	}
	return attemptedBy[len(attemptedBy)-1]
}

const jobTables = `
CREATE TABLE public.started (job bigint NOT NULL, process text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE public.ended (job bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE public.released (round int PRIMARY KEY);`

const jobConfig = `
database: {url: "${DATABASE_URL}"}
metrics: {listen: ""}
queues: {default: 60}
drain_timeout: 30s
retry: {max_attempts: 3, delay: 1s}
`
