package cleanupjob

import (
	"context"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// RiverKind is the River kind of clean-ups.
const RiverKind = "tidemill.cleanup"

// Args are the arguments of a clean-up.
type Args struct{ kind.Args }

// Kind is RiverKind.
func (Args) Kind() string { return RiverKind }

// Worker deletes rows that are due by the rules of its job.
//
// It goes through each table in the order of the rule's column, a chunk at a time: it looks at some rows, locks those that
// are due and that nobody else has locked, deletes them, and commits that with its place. How many rows that are follows
// the time that they take. What is due is decided by the time for which the run was meant, and stays the same however
// often the run is interrupted.
//
// A row that others have locked is looked at again at the end of the run. A row to which others refer, or which the table
// refuses to delete, is kept; the result counts it and says why.
type Worker struct {
	kind.Chunked[Args]

	deps    *kind.Deps
	storage *storage.Bucket
}

// NewWorker returns the worker. bucket takes archived rows; without it jobs that archive fail.
func NewWorker(deps *kind.Deps, bucket *storage.Bucket) *Worker {
	return &Worker{deps: deps.WithDefaults(), storage: bucket}
}

// Work runs one attempt.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	opts := batch.AttemptOpts{Unit: "rows"}
	return w.Run(ctx, job, w.deps.Jobs, kindName, opts, func(ctx context.Context, def *config.Job, run *batch.Run) error {
		if def.Spec.(*Config).Archive != ArchiveNone && w.storage == nil {
			return retry.Permanent(errNoArchive)
		}
		c := &cleanupRun{
			job: def, deps: w.deps, storage: w.storage, run: run,
			log: w.deps.Logger.With("run_id", job.ID, "job", def.Name),
		}
		return c.work(ctx, job.Args.Due(job.JobRow, w.deps.Location))
	})
}

// Result is what a clean-up leaves in the ledger.
type Result struct {
	Rules      []RuleResult `json:"rules"` // in the order of the definition
	Statements int64        `json:"statements"`
	LongestMS  float64      `json:"longest_ms"` // of the statements
	Archive    *Archive     `json:"archive,omitempty"`
}

// RuleResult is what became of the rows of one rule.
type RuleResult struct {
	Table   string `json:"table"`
	Column  string `json:"column"`
	Before  string `json:"before"` // as a value of the column
	Deleted int64  `json:"deleted"`
	Kept    int64  `json:"kept"`          // others refer to them, or the table refused
	Skipped int64  `json:"skipped"`       // others had them locked, also at the end
	Why     string `json:"why,omitempty"` // one of Kept was, in the words of the server
	// Effects are what the deletion did to rows of other tables. Those are not counted.
	Effects []Effect `json:"effects,omitempty"`
}

// Archive says where deleted rows were written.
type Archive struct {
	Folder string `json:"folder"` // in the storage
	Files  int64  `json:"files"`
	Bytes  int64  `json:"bytes"`
}
