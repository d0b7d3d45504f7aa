package sqljob

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// RiverKind is the River kind of statements.
const RiverKind = "tidemill.sql"

// Args are the arguments of a job of kind sql.
type Args struct{ kind.Args }

// Kind is RiverKind.
func (Args) Kind() string { return RiverKind }

// Worker runs one configured statement.
//
// Each attempt has a database session of its own: a statement that takes an hour keeps no connection of the pool, and
// what one leaves behind in its session (settings, locks, temporary tables) ends with it. There is no transaction around
// the statement, so VACUUM works, and so does a procedure that commits. The values of its params are sent beside it.
//
// Like every job it runs at least once: if the worker dies after the statement took effect, it runs again.
//
// Transient errors are retried under the job's retry policy: lost connections, conflicts of transactions,
// timeouts, data that another program is about to change. A wrong statement, a missing right or table, and a param that
// does not fit its type fail the run at once.
type Worker struct {
	river.WorkerDefaults[Args]

	deps *kind.Deps
}

// NewWorker returns the worker.
func NewWorker(deps *kind.Deps) *Worker {
	return &Worker{deps: deps.WithDefaults()}
}

// Timeout is that of the statement and what the session around it may take, so that the statement's own comes first.
func (w *Worker) Timeout(job *river.Job[Args]) time.Duration {
	def, ok := w.deps.Jobs(job.Args.Job)
	if !ok || def.Kind != kindName {
		return 0
	}
	return def.Spec.(*Config).Timeout + statement.ConnectTimeout + 3*statement.Grace
}

// Work runs the statement once and records its [Result].
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	def, err := w.deps.Jobs.Find(job.Args.Job, kindName)
	if err != nil {
		return err
	}
	params, err := def.ResolveParams(job.Args.Params, job.Args.Due(job.JobRow, w.deps.Location))
	if err != nil {
		return retry.Permanent(err)
	}
	run := sqlRun{
		def:    def.Spec.(*Config),
		deps:   w.deps,
		params: params,
		log:    w.deps.Logger.With("run_id", job.ID, "job", def.Name, "kind", RiverKind, "attempt", job.Attempt),
	}
	result, err := run.work(ctx)
	if err != nil {
		return err
	}
	if err := river.RecordOutput(ctx, result); err != nil {
		return fmt.Errorf("record the result: %w", err)
	}
	return nil
}
