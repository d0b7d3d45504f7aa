package tidemill

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers/kind"
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
// the job is unique and a run of it is live, that run is returned as Existing. The run of an import with a source looks for
// files, and starts one for each that is new.
func (a *App) StartTx(ctx context.Context, tx pgx.Tx, job string, params Params) (*batch.Started, error) {
	return a.StartWith(ctx, tx, job, StartOpts{Params: params})
}

// StartOpts says how StartWith starts a job. What is zero is as the job is configured.
type StartOpts struct {
	Params Params
	// At is when the job is due; default at once. Workers find what is due later within about five seconds of its time.
	// It may be at most 40 years ahead.
	At time.Time
	// Trigger is who asks, for the ledger; default go.
	Trigger string
	// Priority is from 1 to 4, 1 first.
	Priority int
	// Queue is one of the configuration.
	Queue string
}

func (o StartOpts) at() *time.Time {
	if o.At.IsZero() {
		return nil
	}
	return &o.At
}

// maxAhead keeps due times apart from those of paused runs, which wait a century.
const maxAhead = 40 * 365 * 24 * time.Hour

// StartWith is StartTx with more to say. A live run of a unique job is returned as it is, whatever opts say.
func (a *App) StartWith(ctx context.Context, tx pgx.Tx, job string, opts StartOpts) (*batch.Started, error) {
	def, err := a.job(job)
	if err != nil {
		return nil, err
	}
	if def.NeedsFile() != nil {
		return nil, fmt.Errorf("job %s imports a file; start it with ImportFile, or with: tidemill import %s FILE", job, job)
	}
	now, err := a.timeAt(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", job, err)
	}
	if opts.At.After(now.Add(maxAhead)) {
		return nil, fmt.Errorf("job %s: due at %s, more than 40 years ahead", job, opts.At.Format(time.RFC3339))
	}
	if opts.Queue != "" {
		if err := a.checkQueue(opts.Queue); err != nil {
			return nil, fmt.Errorf("job %s: %w", job, err)
		}
	}
	// What was due before now is due now; workers find it at once only if it is not dated.
	if !opts.At.After(now) {
		opts.At = time.Time{}
	}
	args, err := a.startArgs(def, opts.Params, opts.at(), now)
	if err != nil {
		return nil, err
	}
	insert := insertOpts(def)
	insert.MaxAttempts = a.maxAttempts(def)
	insert.Priority = cmp.Or(opts.Priority, insert.Priority)
	insert.Queue = cmp.Or(opts.Queue, insert.Queue)
	insert.ScheduledAt = opts.At
	start := batch.StartOpts{Job: job, Unique: def.Unique, Insert: insert, Trigger: cmp.Or(opts.Trigger, "go")}
	if opts.Params != nil { // a nil map in an any is not nil, and would be kept as null
		start.Params = opts.Params
	}
	return a.Ledger.StartTx(ctx, tx, args, start)
}

// ImportOpts says how ImportFile starts an import.
type ImportOpts = kind.InputOpts

// ImportFile stores r under name and starts an import job for it. If the job's last import had the same content and the same
// definition, and the table is not empty, the stored copy is removed again and that run is returned, unless Force or the
// job's again say otherwise. After an error that leaves
// open whether the run was started, the copy stays; the same call again finds the run or starts it. If the job is unique
// and a run of it imports other content, the copy is removed, too, and the error is a [batch.LiveError].
func (a *App) ImportFile(ctx context.Context, job, name string, r io.Reader, opts ImportOpts) (*batch.Started, error) {
	def, err := a.job(job)
	if err != nil {
		return nil, err
	}
	k, _ := a.kind(def.Kind)
	if k.Input == nil {
		return nil, fmt.Errorf("job %s is of kind %s, which takes no file", job, def.Kind)
	}
	return k.Input.Start(ctx, a.deps(), def, name, r, opts)
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

// builtIn reports whether a start of the job inserts one of a built-in kind, whose arguments name it and nest its params.
func builtIn(def *config.Job) bool { return def.Spec != nil && def.NeedsFile() == nil }

// maxAttempts is River's limit of attempts. Kinds that work in chunks count those without progress themselves.
func (a *App) maxAttempts(def *config.Job) int {
	if k, ok := a.kind(def.Kind); ok && k.Chunked && builtIn(def) {
		return math.MaxInt16
	}
	return def.Retry.MaxAttempts
}

// startArgs are the arguments of the River job that a start inserts at now; the SQL function start makes the same ones.
func (a *App) startArgs(def *config.Job, params Params, due *time.Time, now time.Time) (configuredArgs, error) {
	given, err := json.Marshal(params)
	if err != nil {
		return configuredArgs{}, fmt.Errorf("job %s: params: %w", def.Name, err)
	}
	if params == nil {
		given = nil
	}
	if !builtIn(def) {
		at := cmp.Or(due, &now)
		resolved, err := def.ResolveParams(given, at.In(a.Config.Location()))
		if err != nil {
			return configuredArgs{}, err
		}
		if def.Params == nil {
			resolved = params // each value as it is
		}
		merged, err := mergeArgs(def.Args, resolved)
		if err != nil {
			return configuredArgs{}, fmt.Errorf("job %s: %w", def.Name, err)
		}
		return configuredArgs{kind: a.riverKind(def), json: merged}, nil
	}
	// The worker resolves them, as its own configuration says at that time.
	if err := def.CheckParams(given); err != nil {
		return configuredArgs{}, err
	}
	args, err := json.Marshal(kind.Args{Job: def.Name, Params: given, ScheduledFor: due})
	if err != nil {
		return configuredArgs{}, fmt.Errorf("job %s: %w", def.Name, err)
	}
	return configuredArgs{kind: a.riverKind(def), json: args}, nil
}

// riverKind is the kind of what a start of the job inserts, as River has it.
func (a *App) riverKind(def *config.Job) string {
	k, ok := a.kind(def.Kind)
	switch names := k.River(); {
	case !ok:
		return def.Kind
	case def.NeedsFile() != nil:
		return names[0]
	default:
		return names[len(names)-1]
	}
}

func mergeArgs(base json.RawMessage, params Params) (json.RawMessage, error) {
	args := map[string]json.RawMessage{} // numbers stay as they are written
	if len(base) > 0 {
		if err := json.Unmarshal(base, &args); err != nil {
			return nil, fmt.Errorf("args: %w", err)
		}
	}
	for name, value := range params {
		encoded, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("param %s: %w", name, err)
		}
		args[name] = encoded
	}
	return json.Marshal(args)
}
