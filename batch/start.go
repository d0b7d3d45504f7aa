package batch

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

// StartOpts says how a run enters the ledger.
type StartOpts struct {
	Job     string // name of the job; default the kind
	Trigger string // who started it: cli, api, go, …; default go
	Unit    string
	Total   *int64
	Params  any // kept with the run for people to see; nil for none

	// Identity, if set, makes a second start with the same identity return the run that is live. See Identity.
	Identity []byte
	// Once extends that to runs that succeeded: the work is done, whoever asks again.
	Once bool
	// InOrder is for work of which each run changes what the one before left, like imports into one table: only the newest
	// run of the job stands in for a new one, for any other in between has undone what it did.
	InOrder bool
	// Stands, if set, is asked with InOrder before a run that succeeded stands in for a new one: is what it did still there?
	Stands func(ctx context.Context, tx pgx.Tx) (bool, error)
	// Unique lets one such run of Job be live at a time, also while it is paused or waits for a retry. While one is, a
	// start returns it; but a start whose Identity is not that of the live run is refused with a LiveError, because that
	// run does other work. Live runs that were started without Unique do not count.
	Unique bool

	// Insert overrides River's options: queue, priority, schedule. Without ScheduledAt the job is due at once by the clock
	// of the database. MaxAttempts is for workers that are not chunked; those that are count by AttemptOpts.Retry.
	Insert *river.InsertOpts

	retryOf *int64
	inherit *Info
	cursor  json.RawMessage
}

// Started is the answer to a start.
type Started struct {
	ID       int64
	Existing bool   // an earlier run is returned: one of the same identity, or the live one of a unique job
	Status   Status // of the existing run
}

// LiveError refuses a start, or a retry, because another run of a job that has one live run at a time is live.
type LiveError struct {
	Job string
	ID  int64 // of the live run
}

func (e *LiveError) Error() string {
	return fmt.Sprintf("job %s is unique and run %d is live", e.Job, e.ID)
}

// Identity digests what makes two runs the same work. Each part is delimited, so that no two lists digest alike.
func Identity(parts ...string) []byte {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s;", len(part), part)
	}
	return h.Sum(nil)
}

// Start is StartTx in a transaction of its own.
func (l *Ledger) Start(ctx context.Context, args river.JobArgs, opts StartOpts) (*Started, error) {
	var started *Started
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) (err error) {
		started, err = l.StartTx(ctx, tx, args, opts)
		return err
	})
	return started, err
}

// StartTx inserts a chunked job and its ledger row in the caller's transaction: both are there when it commits, neither
// when it does not. With an Identity, or Unique, it waits for a transaction that has started the same and is still open.
func (l *Ledger) StartTx(ctx context.Context, tx pgx.Tx, args river.JobArgs, opts StartOpts) (*Started, error) {
	if opts.Job == "" {
		opts.Job = args.Kind()
	}
	if opts.Trigger == "" {
		opts.Trigger = "go"
	}
	if opts.Identity == nil && !opts.Unique {
		return l.insert(ctx, tx, args, opts)
	}
	if opts.InOrder && opts.Identity == nil {
		return nil, fmt.Errorf("start %s: %w", opts.Job, errInOrder)
	}
	// Somebody may start the same at this moment; the unique indexes let one through. The savepoint keeps the caller's
	// transaction usable for the other, who then finds the winner.
	insert := func(opts StartOpts) (started *Started, err error) {
		err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			started, err = l.insert(ctx, tx, args, opts)
			return err
		})
		return started, err
	}
	for range 5 {
		var started *Started
		var err error
		if opts.InOrder {
			started, err = l.startInOrder(ctx, &inOrder{ledger: l, tx: tx, kind: args.Kind(), opts: opts}, insert)
		} else if started, err = l.findExisting(ctx, tx, opts); err == nil && started == nil {
			started, err = insert(opts)
		}
		if sqlState(err) != "23505" {
			return started, err
		}
	}
	return nil, fmt.Errorf("start %s: runs of the same work come and go; try again", opts.Job)
}

// findExisting returns the run that stands in for a new one, or nil. The same work goes before the live run of the job:
// what was done once is done, whatever else is live.
func (l *Ledger) findExisting(ctx context.Context, tx pgx.Tx, opts StartOpts) (*Started, error) {
	if opts.Identity != nil {
		same, err := findRun(ctx, tx, l.schema.SQL(`
			SELECT id, status FROM {tidemill}.run
			 WHERE identity = $1 AND (finished_at IS NULL OR $2 AND status IN ('succeeded', 'succeeded_with_rejects'))
			 ORDER BY finished_at IS NULL DESC, id DESC LIMIT 1`), opts.Identity, opts.Once)
		if err != nil {
			return nil, fmt.Errorf("start %s: look for the same run: %w", opts.Job, err)
		}
		if same != nil {
			return same, nil
		}
	}
	if !opts.Unique {
		return nil, nil
	}
	live, err := l.findLive(ctx, tx, opts.Job)
	if err != nil {
		return nil, fmt.Errorf("start %s: look for the live run: %w", opts.Job, err)
	}
	if live != nil && opts.Identity != nil {
		return nil, &LiveError{Job: opts.Job, ID: live.ID}
	}
	return live, nil
}

// findLive returns the live run of a job that has one at a time, or nil.
func (l *Ledger) findLive(ctx context.Context, tx pgx.Tx, job string) (*Started, error) {
	return findRun(ctx, tx, l.schema.SQL(`SELECT id, status FROM {tidemill}.run WHERE job = $1 AND is_unique AND finished_at IS NULL`), job)
}

func findRun(ctx context.Context, tx pgx.Tx, query string, args ...any) (*Started, error) {
	started := &Started{Existing: true}
	err := tx.QueryRow(ctx, query, args...).Scan(&started.ID, &started.Status)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return started, nil
}

func (l *Ledger) insert(ctx context.Context, tx pgx.Tx, args river.JobArgs, opts StartOpts) (*Started, error) {
	insert := river.InsertOpts{}
	if opts.Insert != nil {
		insert = *opts.Insert
	}
	if insert.MaxAttempts == 0 {
		insert.MaxAttempts = unlimited
	}
	metadata, err := mark(insert.Metadata, opts.Job)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", opts.Job, err)
	}
	insert.Metadata = metadata
	inserted, err := l.client.InsertTx(ctx, tx, args, &insert)
	if err != nil {
		return nil, fmt.Errorf("start %s: insert the job: %w", opts.Job, err)
	}
	if inserted.UniqueSkippedAsDuplicate {
		return &Started{ID: inserted.Job.ID, Existing: true, Status: Enqueued}, nil
	}
	params := []byte("{}")
	if opts.Params != nil {
		if params, err = json.Marshal(opts.Params); err != nil {
			return nil, fmt.Errorf("start %s: encode params: %w", opts.Job, err)
		}
	}
	counters, done := Counters{}, int64(0)
	if opts.inherit != nil {
		counters, done = opts.inherit.Counters, opts.inherit.Done
	}
	// River dates a job that is due at once by this machine's clock, but workers compare with the database's: on a machine
	// whose clock is fast the job would wait.
	_, err = tx.Exec(ctx, l.schema.SQL(`
		WITH due AS (
			UPDATE {river}.river_job SET scheduled_at = clock_timestamp()
			 WHERE id = $1 AND state = 'available' AND scheduled_at > clock_timestamp())
		INSERT INTO {tidemill}.run
			(id, job, kind, trigger, args, params, identity, unit, total, retry_of, cursor, counters, done, is_unique)
		VALUES ($1, $2, $3, $4, $5, $6, $7, nullif($8, ''), $9, $10, $11, $12, $13, $14)`),
		inserted.Job.ID, opts.Job, inserted.Job.Kind, opts.Trigger, json.RawMessage(inserted.Job.EncodedArgs), params, opts.Identity,
		opts.Unit, opts.Total, opts.retryOf, opts.cursor, counters, done, opts.Unique)
	if err != nil {
		return nil, fmt.Errorf("start %s: insert the run: %w", opts.Job, err)
	}
	return &Started{ID: inserted.Job.ID, Status: Enqueued}, nil
}

// mark adds our key to a job's metadata; the triggers on river_job follow only rows that carry it.
func mark(metadata []byte, job string) ([]byte, error) {
	all := map[string]json.RawMessage{}
	if len(metadata) > 0 {
		if err := json.Unmarshal(metadata, &all); err != nil {
			return nil, fmt.Errorf("metadata: %w", err)
		}
	}
	ours, err := json.Marshal(map[string]string{"job": job})
	if err != nil {
		return nil, err
	}
	all["tidemill"] = ours
	return json.Marshal(all)
}
