package exportjob

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// RiverKind is the River kind of exports.
const RiverKind = "tidemill.export"

// Args are the arguments of an export.
type Args struct{ kind.Args }

// Kind is RiverKind.
func (Args) Kind() string { return RiverKind }

// Opts is what Worker needs; Jobs, Pool and Storage are required.
type Opts struct {
	Jobs  kind.Jobs
	Clock kind.Clock // of due times; nil: that of this machine
	// Location is the zone of a due time that the start gives none for; default UTC.
	Location *time.Location
	Logger   *slog.Logger // default slog.Default()
	// Pool says how to connect, and where the ledger is. Rows are read through sessions of the run's own.
	Pool    *pgxpool.Pool
	Schema  migrations.Schema // default tidemill
	Storage *storage.Bucket
	// OnChunk, if set, is told what each committed chunk did.
	OnChunk func(job string, delta batch.Counters)
}

// Worker writes a table, or the rows of a query, into a file in the storage.
//
// The file is made of parts, which never change once they are written, and a manifest that lists them. A part is stored
// before the chunk that names it is committed, so a run that is interrupted goes on behind its last part, on whatever
// machine: with consistency keyset by the key of the last row; a snapshot ends with its sessions and begins anew.
//
// Rows are read by COPY in read-only sessions. A CSV is what the server's own COPY would write, but for cells that a
// spreadsheet would run as formulas; the result, [Result], says what was done to them.
type Worker struct {
	kind.Chunked[Args]

	opts Opts
}

// NewWorker returns the worker.
func NewWorker(opts Opts) *Worker {
	opts.Location = cmp.Or(opts.Location, time.UTC)
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.Schema = opts.Schema.Defaults()
	return &Worker{opts: opts}
}

// Work runs one attempt.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	opts := batch.AttemptOpts{Unit: "rows"}
	return w.Run(ctx, job, w.opts.Jobs, kindName, opts, func(ctx context.Context, def *config.Job, run *batch.Run) error {
		params, err := def.ResolveParams(job.Args.Params, job.Args.Due(job.JobRow, w.opts.Location))
		if err != nil {
			return retry.Permanent(err)
		}
		e := &exportRun{
			def: def, ex: def.Spec.(*Config), opts: w.opts, params: params, run: run,
			log: w.opts.Logger.With("run", run.ID(), "job", def.Name, "kind", RiverKind, "attempt", job.Attempt),
		}
		return e.work(ctx)
	})
}
