package importjob

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// ScanRiverKind is the River kind of the runs that look for new files in the source of an import.
const ScanRiverKind = "tidemill.scan"

// ScanArgs are the arguments of such a run.
type ScanArgs struct{ kind.Args }

// Kind is ScanRiverKind.
func (ScanArgs) Kind() string { return ScanRiverKind }

// ScanOpts is what ScanWorker needs; Jobs, Pool and Start are required.
type ScanOpts struct {
	Jobs   kind.Jobs
	Pool   *pgxpool.Pool // asks which files are new
	Schema migrations.Schema
	// Start starts an import of a file in tx, for the run scan; or it returns the run that has the same content already.
	Start func(ctx context.Context, tx pgx.Tx, def *config.Job, args Args, scan int64) (*batch.Started, error)
}

// ScanWorker looks for new files in the source of an import and starts a run for each.
//
// A file is new if no run of the job was started for it as it is: its path, its size and, in a directory, the time of its last
// change or, in a bucket, its ETag. That is recorded in the transaction that starts the run, so that no file is left out and none
// gets two runs, whatever kills the worker and however many scan at once. New files are read once for their SHA-256, which finds
// content that was imported before under another name. One that changes meanwhile is left for the next scan.
type ScanWorker struct {
	kind.Chunked[ScanArgs]

	opts ScanOpts
}

// NewScanWorker returns the worker.
func NewScanWorker(opts ScanOpts) *ScanWorker {
	opts.Schema = opts.Schema.Defaults()
	return &ScanWorker{opts: opts}
}

// Work runs one attempt. Each looks at all files; those of the attempts before are new no longer.
func (w *ScanWorker) Work(ctx context.Context, job *river.Job[ScanArgs]) error {
	opts := batch.AttemptOpts{Unit: "files"}
	return w.Run(ctx, job, w.opts.Jobs, kindName, opts, func(ctx context.Context, def *config.Job, run *batch.Run) error {
		if def.Spec.(*Config).Source.URL == "" {
			return retry.Permanent(fmt.Errorf("job %s has no source any more; import a file with: tidemill import %s FILE", def.Name, def.Name))
		}
		scan := &scanRun{def: def, opts: w.opts, run: run, every: heartbeatEvery, lastCommit: time.Now()}
		if def.Stall > 0 {
			scan.every = min(scan.every, def.Stall/3)
		}
		if _, err := run.Cursor(&scan.cursor); err != nil {
			return retry.Permanent(err)
		}
		return scan.work(ctx)
	})
}

// heartbeatEvery is how long a run looks and reads without a commit; a third of a stall that is shorter.
const heartbeatEvery = 30 * time.Second
