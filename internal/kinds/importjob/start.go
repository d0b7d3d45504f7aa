package importjob

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers/kind"
)

// start stores the file and starts an import of it.
func start(ctx context.Context, deps *kind.Deps, def *config.Job, name string, r io.Reader, opts kind.InputOpts) (*batch.Started, error) {
	if err := checkRejectsOf(ctx, deps.Ledger, def.Name, opts.RejectsOf); err != nil {
		return nil, err
	}
	bucket, err := deps.Storage(ctx)
	if err != nil {
		return nil, err
	}
	object, err := bucket.Put(ctx, "imports/"+def.Name, name, r, opts.Progress)
	if err != nil {
		return nil, err
	}
	args := Args{
		Job: def.Name, Object: object.Key, Name: name, Size: object.Size, SHA256: object.SHA256, Definition: def.Hash(),
		RejectsOf: opts.RejectsOf,
	}
	start := startOpts(def, args)
	start.Trigger, start.Once = opts.Trigger, start.Once && !opts.Force
	started, err := deps.Ledger.Start(ctx, args, start)
	if refused(err) || err == nil && started.Existing {
		if cleanup := bucket.Delete(context.WithoutCancel(ctx), object.Key); cleanup != nil {
			deps.Logger.WarnContext(ctx, "an upload that is not needed was left behind", "object", object.Key, "error", cleanup)
		}
	}
	return started, err
}

// startOpts is how an import enters the ledger.
func startOpts(def *config.Job, args Args) batch.StartOpts {
	params := map[string]any{"file": args.Name, "size": args.Size, "sha256": args.SHA256}
	if args.RejectsOf != 0 {
		params["rejects_of"] = args.RejectsOf
	}
	spec := def.Spec.(*Config)
	return batch.StartOpts{
		Job: def.Name, Unit: "bytes", Total: &args.Size, Params: params, Identity: Identity(def, args.SHA256),
		Once: spec.Again == AgainChanged, InOrder: true, Unique: def.Unique, Insert: &river.InsertOpts{Queue: def.Queue, Priority: def.Priority},
		Stands: func(ctx context.Context, tx pgx.Tx) (bool, error) { return hasRows(ctx, tx, spec.Table) },
	}
}

// StartFound starts the import of a file that a scan of the source has found.
func StartFound(ledger *batch.Ledger) func(context.Context, pgx.Tx, *config.Job, Args, int64) (*batch.Started, error) {
	return func(ctx context.Context, tx pgx.Tx, def *config.Job, args Args, scan int64) (*batch.Started, error) {
		start := startOpts(def, args)
		start.Trigger = "source"
		start.Params = map[string]any{"file": args.Name, "size": args.Size, "sha256": args.SHA256, "source": args.Source, "scan": scan}
		return ledger.StartTx(ctx, tx, args, start)
	}
}

func checkRejectsOf(ctx context.Context, ledger *batch.Ledger, job string, id int64) error {
	if id == 0 {
		return nil
	}
	run, err := ledger.Get(ctx, id)
	switch {
	case err != nil:
		return err
	case run.Job != job:
		return fmt.Errorf("run %d is of job %s, not %s", id, run.Job, job)
	case !run.Status.Final():
		return fmt.Errorf("run %d has not ended: it is %s", id, run.Status)
	}
	return nil
}

// refused reports whether a start has certainly not happened. An end of the context or of the connection may have come in
// COMMIT: the run may be there, and must find its file.
func refused(err error) bool {
	var live *batch.LiveError
	var pg *pgconn.PgError
	return errors.As(err, &live) || errors.As(err, &pg) && batch.Classify(err) != batch.Transient
}
