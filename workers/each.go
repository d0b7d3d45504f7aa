package workers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/retry"
)

// KindEach is the River kind of jobs that enqueue a job for each row of a query.
const KindEach = "tidemill.each"

// EachArgs are the arguments of a job of kind each.
type EachArgs struct{ JobArgs }

// Kind is KindEach.
func (EachArgs) Kind() string { return KindEach }

// EachChild says how children are inserted: as a start of their job would.
type EachChild struct {
	Job  string // its name
	Kind string // as River has it
	// Args are what all children have. Params stand in a field of their own, as they are given, if Nests is set, and are fields of Args
	// otherwise.
	Args     json.RawMessage
	Nests    bool
	Declared json.RawMessage // params that a row must have, as the table job has them; nil: it may have any
	Queue    string
	Priority int
	// MaxAttempts is River's.
	MaxAttempts int
}

// EachOpts is what EachWorker needs; Jobs, Child and Pool are required.
type EachOpts struct {
	Jobs Jobs
	// Child says how the jobs of that name are inserted.
	Child func(name string) (EachChild, error)
	// Location is the zone of a due time that the start gives none for. Default: UTC.
	Location *time.Location
	Logger   *slog.Logger // nil: slog.Default()
	// Notify wakes workers once per chunk; otherwise they find the children when they poll.
	Notify bool
	// OnChunk, if set, is told what each committed chunk did.
	OnChunk func(job string, delta batch.Counters)
	Pool    *pgxpool.Pool // looks at the query before the first chunk
	Schema  migrations.Schema
}

// EachWorker walks over a query by key and enqueues a job for each row, or for each batch of rows.
//
// Children are inserted in the transaction that moves the cursor behind their rows, so that no row gets two and none is left
// out, whatever kills the worker. The end of the walk is fixed when the run begins: rows with greater keys that come later are
// not visited. Rows are read as they are when the walk comes by. One that a start of the child would refuse for its params, such
// as a NULL that it needs a value for, is a reject.
type EachWorker struct {
	river.WorkerDefaults[EachArgs]
	batch.Chunked

	opts EachOpts
	rows int // about that many in a transaction
}

// NewEachWorker returns the worker.
func NewEachWorker(opts EachOpts) *EachWorker {
	opts.Location = cmp.Or(opts.Location, time.UTC)
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.Schema = opts.Schema.Defaults()
	return &EachWorker{opts: opts, rows: eachRows}
}

// NextRetry is decided by the job's own retry policy.
func (w *EachWorker) NextRetry(job *river.Job[EachArgs]) time.Time { return w.RetryAt(job.JobRow) }

// Timeout switches River's off: the job's stall takes its place.
func (w *EachWorker) Timeout(*river.Job[EachArgs]) time.Duration { return -1 }

// eachCursor is the key of the last row that has its child, and that of the last row of all, as text.
type eachCursor struct {
	keyset.Span
	Rows int64 `json:"rows,omitempty"` // up to After
	// Definition is the hash of the job's definition when the run began: with another order the keys would mean nothing.
	Definition string `json:"definition"`
}

// Work runs one attempt.
func (w *EachWorker) Work(ctx context.Context, job *river.Job[EachArgs]) error {
	def, err := w.opts.Jobs.find(job.Args.Job, config.KindEach)
	if err != nil {
		return err
	}
	opts := batch.AttemptOpts{Job: def.Name, Unit: "rows", Retry: RetryPolicy(def.Retry), Stall: def.Stall, HasChildren: true}
	return w.Attempt(ctx, job.JobRow, opts, func(ctx context.Context, run *batch.Run) error {
		params, err := def.ResolveParams(job.Args.Params, job.Args.Due(job.JobRow, w.opts.Location))
		if err != nil {
			return retry.Permanent(err)
		}
		child, err := w.opts.Child(def.Each.Enqueue.Job)
		if err != nil {
			return retry.Permanent(err)
		}
		if child.Args, err = datedArgs(child, job.Args.JobArgs); err != nil {
			return retry.Permanent(err)
		}
		walk := &eachWalk{def: def.Each, child: child, rows: max(1, w.rows/def.Each.Batch) * def.Each.Batch, notify: w.opts.Notify, schema: w.opts.Schema, parent: run.ID()}
		return w.walk(ctx, run, def, walk, params)
	})
}

// datedArgs are those of a child whose parent was due at a given time: so is the child, though it is made later.
func datedArgs(child EachChild, parent JobArgs) (json.RawMessage, error) {
	if !child.Nests || parent.ScheduledFor == nil {
		return child.Args, nil
	}
	var args JobArgs
	if err := json.Unmarshal(child.Args, &args); err != nil {
		return nil, fmt.Errorf("arguments of job %s: %w", child.Job, err)
	}
	args.ScheduledFor = parent.ScheduledFor
	return json.Marshal(args)
}

func (w *EachWorker) walk(ctx context.Context, run *batch.Run, def *config.Job, walk *eachWalk, params map[string]any) error {
	var cursor eachCursor
	found, err := run.Cursor(&cursor)
	if err != nil {
		return retry.Permanent(err)
	}
	if found && cursor.Definition != def.Hash() {
		return retry.Permanent(fmt.Errorf("the definition of job %s has changed since this run began; start it again", def.Name))
	}
	if err := walk.prepare(ctx, w.opts.Pool, params, w.opts.Jobs); err != nil {
		return err
	}
	if !found {
		cursor.Definition = def.Hash()
		if cursor.Until, err = walk.keys.Last(ctx, w.opts.Pool); err != nil || cursor.Until == nil {
			return err
		}
	}
	for more := true; more; {
		next := cursor
		var part eachPart
		err := run.Chunk(ctx, func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
			var err error
			if part, err = walk.enqueue(ctx, tx, cursor); err != nil {
				return batch.Step{}, err
			}
			if next.Rows = cursor.Rows + part.Rows; part.More {
				next.After = part.Last
			}
			if err := w.putAside(ctx, run, tx, part); err != nil {
				return batch.Step{}, err
			}
			step := batch.Step{
				Cursor: next, Children: part.Children, Done: part.Rows,
				Counters: part.counters(),
			}
			if !part.More {
				step.Finish = &batch.Finish{}
			}
			return step, nil
		})
		if (err == nil || isStop(err)) && w.opts.OnChunk != nil {
			w.opts.OnChunk(def.Name, part.counters())
		}
		if err != nil {
			return err
		}
		cursor, more = next, part.More
	}
	return nil
}
