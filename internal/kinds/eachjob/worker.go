package eachjob

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
	"github.com/tidemill/tidemill/workers/kind"
)

// RiverKind is the River kind of jobs that enqueue a job for each row of a query.
const RiverKind = "tidemill.each"

// Args are the arguments of a job of kind each.
type Args struct{ kind.Args }

// Kind is RiverKind.
func (Args) Kind() string { return RiverKind }

// Opts is what Worker needs; Jobs, Child and Pool are required.
type Opts struct {
	Jobs kind.Jobs
	// Child says how the jobs of that name are inserted.
	Child func(name string) (kind.Child, error)
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

// Worker walks over a query by key and enqueues a job for each row, or for each batch of rows.
//
// Children are inserted in the transaction that moves the cursor behind their rows, so that no row gets two and none is left
// out, whatever kills the worker. The end of the walk is fixed when the run begins: rows with greater keys that come later are
// not visited. Rows are read as they are when the walk comes by. One that a start of the child would refuse for its params, such
// as a NULL that it needs a value for, is a reject.
type Worker struct {
	kind.Chunked[Args]

	opts Opts
	rows int // about that many in a transaction
}

// NewWorker returns the worker.
func NewWorker(opts Opts) *Worker {
	opts.Location = cmp.Or(opts.Location, time.UTC)
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.Schema = opts.Schema.Defaults()
	return &Worker{opts: opts, rows: eachRows}
}

// eachCursor is the key of the last row that has its child, and that of the last row of all, as text.
type eachCursor struct {
	keyset.Span
	Rows int64 `json:"rows,omitempty"` // up to After
	// Definition is the hash of the job's definition when the run began: with another order the keys would mean nothing.
	Definition string `json:"definition"`
}

// Work runs one attempt.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	opts := batch.AttemptOpts{Unit: "rows", HasChildren: true}
	return w.Run(ctx, job, w.opts.Jobs, kindName, opts, func(ctx context.Context, def *config.Job, run *batch.Run) error {
		params, err := def.ResolveParams(job.Args.Params, job.Args.Due(job.JobRow, w.opts.Location))
		if err != nil {
			return retry.Permanent(err)
		}
		child, err := w.opts.Child(def.Spec.(*Config).Enqueue.Job)
		if err != nil {
			return retry.Permanent(err)
		}
		if child.Args, err = datedArgs(child, job.Args.Args); err != nil {
			return retry.Permanent(err)
		}
		spec := def.Spec.(*Config)
		walk := &eachWalk{def: spec, child: child, rows: max(1, w.rows/spec.Batch) * spec.Batch, notify: w.opts.Notify, schema: w.opts.Schema, parent: run.ID()}
		return w.walk(ctx, run, def, walk, params)
	})
}

// datedArgs are those of a child whose parent was due at a given time: so is the child, though it is made later.
func datedArgs(child kind.Child, parent kind.Args) (json.RawMessage, error) {
	if !child.Nests || parent.ScheduledFor == nil {
		return child.Args, nil
	}
	var args kind.Args
	if err := json.Unmarshal(child.Args, &args); err != nil {
		return nil, fmt.Errorf("arguments of job %s: %w", child.Job, err)
	}
	args.ScheduledFor = parent.ScheduledFor
	return json.Marshal(args)
}

func (w *Worker) walk(ctx context.Context, run *batch.Run, def *config.Job, walk *eachWalk, params map[string]any) error {
	var cursor eachCursor
	found, err := run.Cursor(&cursor)
	if err != nil {
		return retry.Permanent(err)
	}
	if found && cursor.Definition != def.Hash() {
		return kind.Changed(def)
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
		if (err == nil || kind.IsStop(err)) && w.opts.OnChunk != nil {
			w.opts.OnChunk(def.Name, part.counters())
		}
		if err != nil {
			return err
		}
		cursor, more = next, part.More
	}
	return nil
}
