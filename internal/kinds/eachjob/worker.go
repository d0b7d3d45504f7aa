package eachjob

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// RiverKind is the River kind of jobs that enqueue a job for each row of a query.
const RiverKind = "tidemill.each"

// Args are the arguments of a job of kind each.
type Args struct{ kind.Args }

// Kind is RiverKind.
func (Args) Kind() string { return RiverKind }

// Worker walks over a query by key and enqueues a job for each row, or for each batch of rows.
//
// Children are inserted in the transaction that moves the cursor past their rows, so that no row gets two and none is left
// out, whatever kills the worker. The end of the walk is fixed when the run begins: rows with greater keys that come later are
// not visited. Rows are read as they are when the walk comes by. One that a start of the child would refuse for its params, such
// as a NULL that it needs a value for, is a reject.
type Worker struct {
	kind.Chunked[Args]

	deps *kind.Deps
	rows int // about that many in a transaction
}

// NewWorker returns the worker.
func NewWorker(deps *kind.Deps) *Worker {
	return &Worker{deps: deps.WithDefaults(), rows: eachRows}
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
	return w.Run(ctx, job, w.deps.Jobs, kindName, opts, func(ctx context.Context, def *config.Job, run *batch.Run) error {
		params, err := def.ResolveParams(job.Args.Params, job.Args.Due(job.JobRow, w.deps.Location))
		if err != nil {
			return retry.Permanent(err)
		}
		child, err := w.deps.Child(def.Spec.(*Config).Enqueue.Job)
		if err != nil {
			return retry.Permanent(err)
		}
		if child.Args, err = datedArgs(child, job.Args.Args); err != nil {
			return retry.Permanent(err)
		}
		spec := def.Spec.(*Config)
		walk := &eachWalk{def: spec, child: child, rows: max(1, w.rows/spec.Batch) * spec.Batch, notify: w.deps.Config.Database.Notify, schema: w.deps.Schema, parent: run.ID()}
		return w.walk(ctx, run, def, walk, params)
	})
}

// datedArgs are those of a child whose parent was due at a given time: so is the child, though it is made later.
func datedArgs(child kind.Child, parent kind.Args) (json.RawMessage, error) {
	if !child.ArgsNested || parent.ScheduledFor == nil {
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
	if err := walk.prepare(ctx, w.deps.Pool, params, w.deps.Jobs); err != nil {
		return err
	}
	if !found {
		cursor.Definition = def.Hash()
		if cursor.Until, err = walk.keys.Last(ctx, w.deps.Pool); err != nil || cursor.Until == nil {
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
		if err == nil || kind.IsStop(err) {
			w.deps.OnChunk(def.Name, part.counters())
		}
		if err != nil {
			return err
		}
		cursor, more = next, part.More
	}
	return nil
}
