package tidemill

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
)

// Params are the values that a start of a configured job adds to, or puts in place of, its configured args.
type Params map[string]any

// Start starts a configured job in a transaction of its own; see StartTx.
func (a *App) Start(ctx context.Context, job string, params Params) (*batch.Started, error) {
	var started *batch.Started
	err := pgx.BeginFunc(ctx, a.Pool, func(tx pgx.Tx) (err error) {
		started, err = a.StartTx(ctx, tx, job, params)
		return err
	})
	return started, err
}

// StartTx starts a configured job in the caller's transaction: its run is there when that commits, and not otherwise. If
// the job is unique and a run of it is live, that run is returned as Existing.
func (a *App) StartTx(ctx context.Context, tx pgx.Tx, job string, params Params) (*batch.Started, error) {
	return a.StartWith(ctx, tx, job, StartOpts{Params: params})
}

// StartOpts says how StartWith starts a job. What is zero is as the job is configured.
type StartOpts struct {
	Params Params
	// At is when the job is due; default at once. Workers find what is due later, or was due earlier, within about five
	// seconds of its time. It may be at most 40 years ahead.
	At time.Time
	// Priority is from 1 to 4, 1 first.
	Priority int
	// Queue is one of the configuration.
	Queue string
}

// maxAhead keeps due times apart from those of paused runs, which wait a century.
const maxAhead = 40 * 365 * 24 * time.Hour

// StartWith is StartTx with more to say. A live run of a unique job is returned as it is, whatever opts say.
func (a *App) StartWith(ctx context.Context, tx pgx.Tx, job string, opts StartOpts) (*batch.Started, error) {
	def, err := a.job(job)
	if err != nil {
		return nil, err
	}
	if def.Import != nil {
		return nil, fmt.Errorf("job %s imports a file; start it with ImportFile, or with: tidemill import %s FILE", job, job)
	}
	if opts.At.After(time.Now().Add(maxAhead)) {
		return nil, fmt.Errorf("job %s: due at %s, more than 40 years ahead", job, opts.At.Format(time.RFC3339))
	}
	if opts.Queue != "" {
		if err := a.checkQueue(opts.Queue); err != nil {
			return nil, fmt.Errorf("job %s: %w", job, err)
		}
	}
	args, err := mergeArgs(def.Args, opts.Params)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", job, err)
	}
	insert := insertOpts(def)
	insert.MaxAttempts = def.Retry.MaxAttempts
	insert.Priority = cmp.Or(opts.Priority, insert.Priority)
	insert.Queue = cmp.Or(opts.Queue, insert.Queue)
	insert.ScheduledAt = opts.At
	start := batch.StartOpts{Job: job, Alone: def.Unique, Insert: insert, Trigger: "go"}
	if opts.Params != nil { // a nil map in an any is not nil, and would be kept as null
		start.Params = opts.Params
	}
	return a.Ledger.StartTx(ctx, tx, configuredArgs{kind: def.Kind, json: args}, start)
}

// ImportOpts says how ImportFile starts an import.
type ImportOpts struct {
	Force    bool        // import again what was imported before
	Trigger  string      // who asks, for the ledger; default go
	Progress func(int64) // told the bytes stored so far
}

// ImportFile stores r under name and starts an import job for it. If the same content was imported by the same
// definition before, the stored copy is removed again and that run is returned, unless Force is set. After an error that leaves
// open whether the run was started, the copy stays; the same call again finds the run or starts it. If the job is unique
// and a run of it imports other content, the copy is removed, too, and the error is a [batch.LiveError].
func (a *App) ImportFile(ctx context.Context, job, name string, r io.Reader, opts ImportOpts) (*batch.Started, error) {
	def, err := a.job(job)
	if err != nil {
		return nil, err
	}
	if def.Import == nil {
		return nil, fmt.Errorf("job %s is of kind %s, not import", job, def.Kind)
	}
	bucket, err := a.Storage(ctx)
	if err != nil {
		return nil, err
	}
	object, err := bucket.Put(ctx, "imports/"+job, name, r, opts.Progress)
	if err != nil {
		return nil, err
	}
	args := workers.ImportArgs{
		Job: job, Object: object.Key, Name: name, Size: object.Size, SHA256: object.SHA256, Definition: def.Hash(),
	}
	started, err := a.Ledger.Start(ctx, args, batch.StartOpts{
		Job: job, Trigger: opts.Trigger, Unit: "bytes", Total: &object.Size,
		Params:   map[string]any{"file": name, "size": object.Size, "sha256": object.SHA256},
		Identity: workers.ImportIdentity(def, object.SHA256), Once: !opts.Force,
		Alone: def.Unique, Insert: insertOpts(def),
	})
	if refused(err) || err == nil && started.Existing {
		if cleanup := bucket.Delete(context.WithoutCancel(ctx), object.Key); cleanup != nil {
			a.logger.WarnContext(ctx, "an upload that is not needed was left behind", "object", object.Key, "error", cleanup)
		}
	}
	return started, err
}

// refused reports whether a start has certainly not happened. An end of the context or of the connection may have come in
// COMMIT: the run may be there, and must find its file.
func refused(err error) bool {
	var live *batch.LiveError
	var pg *pgconn.PgError
	return errors.As(err, &live) || errors.As(err, &pg) && batch.Classify(err) != batch.Transient
}

func (a *App) job(name string) (*config.Job, error) {
	def, ok := a.Config.Jobs[name]
	if !ok {
		return nil, &UnknownJobError{Name: name, Known: jobNames(a.Config)}
	}
	return def, nil
}

// checkQueue refuses a queue that no worker of this configuration takes.
func (a *App) checkQueue(name string) error {
	if _, ok := a.Config.Queues[name]; !ok {
		return fmt.Errorf("queue %q is not in the configuration, which has %s", name, strings.Join(slices.Sorted(maps.Keys(a.Config.Queues)), ", "))
	}
	return nil
}

// UnknownJobError is returned for a job that the configuration does not define.
type UnknownJobError struct {
	Name  string
	Known []string
}

func (e *UnknownJobError) Error() string {
	return fmt.Sprintf("job %q is not in the configuration", e.Name)
}

func insertOpts(def *config.Job) *river.InsertOpts {
	return &river.InsertOpts{Queue: def.Queue, Priority: def.Priority}
}

// configuredArgs inserts a job of a kind that may be known to another program only.
type configuredArgs struct {
	kind string
	json json.RawMessage
}

func (a configuredArgs) Kind() string                 { return a.kind }
func (a configuredArgs) MarshalJSON() ([]byte, error) { return a.json, nil }

func mergeArgs(base json.RawMessage, params Params) (json.RawMessage, error) {
	args := map[string]any{}
	if len(base) > 0 {
		if err := json.Unmarshal(base, &args); err != nil {
			return nil, fmt.Errorf("args: %w", err)
		}
	}
	for name, value := range params {
		args[name] = value
	}
	return json.Marshal(args)
}
