package importjob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// RiverKind is the River kind of imports.
const RiverKind = "tidemill.import"

// Args are the arguments of an import: which job, and which file.
type Args struct {
	Job    string `json:"job"`
	Object string `json:"object"` // key in the storage; empty: the file is in Source
	Name   string `json:"name"`   // of the file as the user knows it
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Source is the URL of a file in the job's source, and Version tells its content from the next one's.
	Source  string `json:"source,omitempty"`
	Version string `json:"version,omitempty"`
	// RejectsOf is the run whose corrected rejects this file holds, with the field _error at the end of each record; 0: none.
	RejectsOf int64 `json:"rejects_of,omitempty"`
	// Definition is the hash of the job's definition when the run was started; a run never changes its meaning midway.
	Definition string `json:"definition"`
}

// JobName is the name of the job.
func (a Args) JobName() string { return a.Job }

// Kind is RiverKind.
func (Args) Kind() string { return RiverKind }

// Opts is what Worker needs; Jobs and Pool are required.
type Opts struct {
	Jobs    kind.Jobs
	Pool    *pgxpool.Pool   // reads the catalog
	Storage *storage.Bucket // of uploads; nil: there are none
	// ChunkRows bounds the rows of one transaction; default 50,000. A chunk also ends at 6 MiB divided by the
	// writers and one.
	ChunkRows int
	// OnChunk, if set, gets what each committed chunk did.
	OnChunk func(job string, delta batch.Counters)
}

// Worker loads a stored CSV file into a table.
//
// It commits in chunks of 50,000 rows or some 3 MiB, and resumes from the byte after the last committed row whatever killed
// it. Rows that the file or the table makes impossible are put aside with their reason (runs rejects); more of them than
// reject_limit fail the run, and what is committed stays. A start with the content and definition of the job's last import is
// that run.
type Worker struct {
	kind.Chunked[Args]

	opts Opts
}

// NewWorker returns the worker.
func NewWorker(opts Opts) *Worker {
	opts.ChunkRows = cmp.Or(opts.ChunkRows, chunkRows)
	return &Worker{opts: opts}
}

// Work runs one attempt.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	opts := batch.AttemptOpts{Unit: "bytes"}
	return w.Run(ctx, job, w.opts.Jobs, kindName, opts, func(ctx context.Context, def *config.Job, run *batch.Run) error {
		if job.Args.Definition != "" && job.Args.Definition != def.Hash() && run.Done() > 0 {
			return kind.Changed(def)
		}
		object, err := w.object(ctx, def, job.Args)
		if err != nil {
			return err
		}
		defer object.Close()
		im := &importRun{args: job.Args, def: def.Spec.(*Config), opts: w.opts, run: run, object: object}
		return im.work(ctx)
	})
}

// Identity is what makes two imports the same work: the job, what it does, and to which content. The file's name plays
// no part.
func Identity(def *config.Job, sha256 string) []byte {
	return batch.Identity(RiverKind, def.Name, def.Hash(), sha256)
}

// hasRows reports whether there is a row in the table. Of one that the role may not read it is taken for granted.
func hasRows(ctx context.Context, tx pgx.Tx, table config.Table) (has bool, err error) {
	name := pgx.Identifier{table.Name}
	if table.Schema != "" {
		name = pgx.Identifier{table.Schema, table.Name}
	}
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { // a savepoint
		return tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+name.Sanitize()+")").Scan(&has)
	})
	switch code := statement.Code(err); {
	case code == "42501": // insufficient privilege
		return true, nil
	case strings.HasPrefix(code, "42"), strings.HasPrefix(code, "3F"):
		return false, nil // the run says what is wrong
	}
	return has, err
}

// permanentStorage marks errors of the storage that a retry cannot fix.
func permanentStorage(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return retry.Permanent(fmt.Errorf("the uploaded file is gone: %w", err))
	}
	return err
}
