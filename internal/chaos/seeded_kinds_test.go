package chaos

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/retry"
)

// addSeeded registers the kinds of TestSeeded.
func addSeeded(app *tidemill.App) error {
	records := filepath.Join(os.Getenv("CHAOS_DIR"), "records")
	if err := river.AddWorkerSafely(app.Workers, &touchWorker{pool: app.Pool, records: records}); err != nil {
		return err
	}
	if err := river.AddWorkerSafely(app.Workers, &poisonWorker{}); err != nil {
		return err
	}
	if err := river.AddWorkerSafely(app.Workers, &nulWorker{}); err != nil {
		return err
	}
	return river.AddWorkerSafely(app.Workers, &wadeWorker{Worker: wade(), records: records})
}

// touchArgs is a job that is present for up to Most milliseconds and then writes one row.
type touchArgs struct {
	Most int `json:"most"`
}

func (touchArgs) Kind() string { return "touch" }

type touchWorker struct {
	river.WorkerDefaults[touchArgs]
	pool    *pgxpool.Pool
	records string
}

func (w *touchWorker) Work(ctx context.Context, job *river.Job[touchArgs]) error {
	return present(ctx, w.records, job.ID, os.Getpid(), func(ctx context.Context) error {
		select {
		case <-time.After(time.Duration(rand.IntN(max(1, job.Args.Most))) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		_, err := w.pool.Exec(ctx, `INSERT INTO public.ended (job) VALUES ($1)`, job.ID)
		return err
	})
}

// poisonArgs is a job that kills its process, as one that takes all memory does.
type poisonArgs struct{}

func (poisonArgs) Kind() string { return "poison" }

type poisonWorker struct {
	river.WorkerDefaults[poisonArgs]
}

func (*poisonWorker) Work(context.Context, *river.Job[poisonArgs]) error {
	pause(300 * time.Millisecond)
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// nulArgs is a job that leaves behind what jsonb refuses.
type nulArgs struct {
	Panic bool `json:"panic"`
}

func (nulArgs) Kind() string { return "nul" }

type nulWorker struct {
	river.WorkerDefaults[nulArgs]
}

func (*nulWorker) Work(ctx context.Context, job *river.Job[nulArgs]) error {
	if job.Args.Panic {
		panic("half\x00way")
	}
	return river.RecordOutput(ctx, "half\x00way")
}

// wadeArgs is a walk that takes its time, so that it is in the middle of something whatever happens.
type wadeArgs struct{}

func (wadeArgs) Kind() string { return "wade" }

const wadeRows = 1000

type wadeWorker struct {
	river.Worker[wadeArgs]
	records string
}

func (w *wadeWorker) Work(ctx context.Context, job *river.Job[wadeArgs]) error {
	return present(ctx, w.records, job.ID, os.Getpid(), func(ctx context.Context) error { return w.Worker.Work(ctx, job) })
}

// wade takes longer, undisturbed, than a job must run to be taken for an orphan, and does some of its chunks before anybody
// could stop it.
func wade() river.Worker[wadeArgs] {
	return batch.Each(batch.EachOpts[wadeArgs, int64]{
		Query: `SELECT id FROM public.numbers`, OrderBy: []string{"id"}, Size: 25, Attempt: batch.AttemptOpts{Stall: 30 * time.Second, Retry: retry.Policy{MaxAttempts: 100, Delay: 500 * time.Millisecond}},
		Do: func(ctx context.Context, tx pgx.Tx, chunk *batch.Chunk[int64]) error {
			_, err := tx.Exec(ctx, `INSERT INTO public.waded (run, id) SELECT $1, unnest($2::bigint[]) FROM pg_sleep(CASE WHEN random() < 0.5 THEN 0.02 ELSE 2 END)`, chunk.Run, chunk.Rows)
			return err
		},
	})
}
