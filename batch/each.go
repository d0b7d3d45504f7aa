package batch

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/retry"
)

// EachOpts says what Each walks over and what it does with each chunk. A is the job's arguments, R one row: a struct
// whose fields are matched to columns by name (`db` tags, as in pgx.RowToStructByNameLax), or a single value.
type EachOpts[A river.JobArgs, R any] struct {
	// Query selects the rows, with named parameters (@since) from Params. It is read chunk by chunk, so it should be
	// cheap to enter at any key: an index on OrderBy.
	Query string
	// Params gives the query's parameters; nil for none.
	Params func(args A) pgx.NamedArgs
	// OrderBy names the result's columns that order the walk. Together they must be unique, and none may be NULL: a key that
	// repeats, or has a NULL, fails the run before a row is passed over. The upper end is fixed when the run starts, so
	// that it ends.
	OrderBy []string
	// Size is the number of rows in a chunk; default 1000.
	Size int
	// Count makes the run count its rows first, so that progress has a percentage.
	Count bool
	// Do handles one chunk. What it writes through tx commits together with the cursor, or not at all. It may be called
	// again for the same rows after a rollback. An error fails the attempt; see retry.Permanent. So does an error about one
	// row, for which Classify says Row: a value, a constraint, what a trigger raises. To continue without that row, write
	// each row in a savepoint (tx.Begin), and after such an error try the others.
	Do func(ctx context.Context, tx pgx.Tx, chunk *Chunk[R]) error

	Attempt AttemptOpts
}

// Chunk is a slice of the walk.
type Chunk[R any] struct {
	Run  int64 // the run's id
	No   int64 // from 0, over all attempts
	Rows []R
}

// Each returns a River worker that walks a query in key order, in chunks that are each committed once.
// It panics if Query, OrderBy or Do is missing: that is a mistake in the program.
func Each[A river.JobArgs, R any](opts EachOpts[A, R]) river.Worker[A] {
	if opts.Query == "" || len(opts.OrderBy) == 0 || opts.Do == nil {
		panic("batch.Each: Query, OrderBy and Do are required")
	}
	if opts.Size <= 0 {
		opts.Size = 1000
	}
	if opts.Attempt.Unit == "" {
		opts.Attempt.Unit = "rows"
	}
	return &eachWorker[A, R]{opts: opts}
}

type eachWorker[A river.JobArgs, R any] struct {
	river.WorkerDefaults[A]
	Chunked

	opts EachOpts[A, R]
}

// eachCursor is the key of the last row done and the key at which to end, as text in the columns' own input form.
type eachCursor struct {
	No int64 `json:"no"`
	keyset.Span
}

func (w *eachWorker[A, R]) NextRetry(job *river.Job[A]) time.Time { return w.RetryAt(job.JobRow) }

// Timeout switches River's off; AttemptOpts.Stall takes its place.
func (w *eachWorker[A, R]) Timeout(*river.Job[A]) time.Duration { return -1 }

func (w *eachWorker[A, R]) Work(ctx context.Context, job *river.Job[A]) error {
	return w.Attempt(ctx, job.JobRow, w.opts.Attempt, func(ctx context.Context, run *Run) error {
		walk, err := w.newWalk(ctx, job.Args)
		if err != nil {
			return err
		}
		found, err := run.Cursor(&walk.cursor)
		if err != nil {
			return retry.Permanent(err)
		}
		if err := walk.keys.Prepare(ctx, run.engine.opts.Pool, walk.size); err != nil {
			return err
		}
		if !found {
			empty, err := walk.start(ctx, run, w.opts.Count, w.opts.Attempt.Unit)
			if err != nil || empty {
				return err
			}
		}
		return w.walk(ctx, run, walk)
	})
}

func (w *eachWorker[A, R]) walk(ctx context.Context, run *Run, walk *walk[R]) error {
	for !run.final {
		var next eachCursor
		err := run.Chunk(ctx, func(ctx context.Context, tx pgx.Tx) (Step, error) {
			rows, after, err := walk.next(ctx, tx)
			if err != nil {
				return Step{}, err
			}
			next = walk.cursor
			step := Step{}
			if n := int64(len(rows)); n > 0 {
				if err := w.opts.Do(ctx, tx, &Chunk[R]{Run: run.ID(), No: next.No, Rows: rows}); err != nil {
					return Step{}, err
				}
				next.No++
				step = Step{Done: n, Counters: Counters{Read: n, Processed: n}}
			}
			if after == nil {
				step.Finish = &Finish{}
			} else {
				next.After = after
			}
			step.Cursor = next
			return step, nil
		})
		if err != nil {
			return err
		}
		walk.cursor = next
	}
	return nil
}
