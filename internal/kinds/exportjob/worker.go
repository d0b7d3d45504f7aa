package exportjob

import (
	"context"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// RiverKind is the River kind of exports.
const RiverKind = "tidemill.export"

// Args are the arguments of an export.
type Args struct{ kind.Args }

// Kind is RiverKind.
func (Args) Kind() string { return RiverKind }

// Worker writes a table, or the rows of a query, into a file in the storage.
//
// The file is made of parts, which never change once they are written, and a manifest that lists them. A part is stored
// before the chunk that names it is committed, so a run that is interrupted resumes after its last part, on whatever
// machine: with consistency keyset by the key of the last row; a snapshot ends with its sessions and starts over.
//
// Rows are read by COPY in read-only sessions. A CSV is what the server's own COPY would write, but for cells that a
// spreadsheet would run as formulas; the result, [Result], says what was done to them.
type Worker struct {
	kind.Chunked[Args]

	deps    *kind.Deps
	storage *storage.Bucket
}

// NewWorker returns a worker that writes its files into bucket.
func NewWorker(deps *kind.Deps, bucket *storage.Bucket) *Worker {
	return &Worker{deps: deps.WithDefaults(), storage: bucket}
}

// Work runs one attempt.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	opts := batch.AttemptOpts{Unit: "rows"}
	return w.Run(ctx, job, w.deps.Jobs, kindName, opts, func(ctx context.Context, def *config.Job, run *batch.Run) error {
		params, err := def.ResolveParams(job.Args.Params, job.Args.Due(job.JobRow, w.deps.Location))
		if err != nil {
			return retry.Permanent(err)
		}
		e := &exportRun{
			def: def, ex: def.Spec.(*Config), deps: w.deps, storage: w.storage, params: params, run: run,
			log: w.deps.Logger.With("run_id", run.ID(), "job", def.Name, "kind", RiverKind, "attempt", job.Attempt),
		}
		return e.work(ctx)
	})
}
