package batch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"
)

// Run is one attempt's hold on a run. It belongs to the goroutine of the work function.
type Run struct {
	engine *Engine
	job    *rivertype.JobRow
	opts   AttemptOpts

	lease    int64
	seq      int64
	cursor   json.RawMessage
	counters Counters
	done     int64
	rate     float64
	final    bool
	intents  []string

	lastCommit time.Time
	progressed func() // tells the stall watch that a chunk was committed
}

// ID is the run's id, which is its River job's id.
func (r *Run) ID() int64 { return r.job.ID }

func (r *Run) jobName() string { return cmp.Or(r.opts.Job, r.job.Kind) }

// Counters returns what is committed so far, over all attempts.
func (r *Run) Counters() Counters { return r.counters }

// Done returns the committed progress in the run's unit.
func (r *Run) Done() int64 { return r.done }

// Cursor decodes the committed cursor into dst and reports whether there is one.
func (r *Run) Cursor(dst any) (bool, error) {
	if len(r.cursor) == 0 || string(r.cursor) == "null" {
		return false, nil
	}
	if err := json.Unmarshal(r.cursor, dst); err != nil {
		return false, fmt.Errorf("run %d: read cursor %s: %w", r.ID(), r.cursor, err)
	}
	return true, nil
}

// mine matches the River row of this very attempt. A process that was taken for dead no longer matches: its job has
// another owner by then, even if attempt numbers repeat.
const mine = `id = @id AND state = 'running' AND attempt = @attempt AND attempted_at = @at
	AND attempted_by[array_upper(attempted_by, 1)] = @owner`

func (r *Run) mineArgs() pgx.NamedArgs {
	args := pgx.NamedArgs{"id": r.job.ID, "attempt": r.job.Attempt, "at": r.job.AttemptedAt, "owner": ""}
	if n := len(r.job.AttemptedBy); n > 0 {
		args["owner"] = r.job.AttemptedBy[n-1]
	}
	return args
}

// begin takes a new lease on the job's run, making the ledger row first if the job was inserted by plain River.
func (e *Engine) begin(ctx context.Context, job *rivertype.JobRow, opts AttemptOpts) (*Run, error) {
	r := &Run{engine: e, job: job, opts: opts, lastCommit: time.Now(), progressed: func() {}}
	err := r.takeLease(ctx)
	if errors.Is(err, pgx.ErrNoRows) {
		if err = r.adopt(ctx); err == nil {
			err = r.takeLease(ctx)
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrLeaseLost
	}
	if err != nil {
		return nil, fmt.Errorf("run %d: take the lease: %w", job.ID, err)
	}
	if r.final {
		return nil, errFinal
	}
	return r, nil
}

// takeLease locks the River row while it looks, so that a rescue of it is either seen or comes after.
func (r *Run) takeLease(ctx context.Context) error {
	query := r.engine.sql(`
		WITH j AS (SELECT id FROM {river}.river_job WHERE ` + mine + ` FOR SHARE)
		UPDATE {tidemill}.run r SET lease = lease + 1, unit = coalesce(r.unit, nullif(@unit, '')), updated_at = now() FROM j WHERE r.id = j.id
		RETURNING r.lease, r.seq, r.cursor, r.counters, r.done, coalesce(r.rate, 0), r.outcome IS NOT NULL,
			(SELECT array_agg(intent) FROM {tidemill}.run_intent i WHERE i.run = r.id)`)
	args := r.mineArgs()
	args["unit"] = r.opts.Unit
	return r.engine.opts.Pool.QueryRow(ctx, query, args).
		Scan(&r.lease, &r.seq, &r.cursor, &r.counters, &r.done, &r.rate, &r.final, &r.intents)
}

// adopt makes a ledger row for a job that came without one and marks its River row, so that the triggers follow it. A child
// of another run stays one.
func (r *Run) adopt(ctx context.Context) error {
	return pgx.BeginFunc(ctx, r.engine.opts.Pool, func(tx pgx.Tx) error {
		args := r.mineArgs()
		tag, err := tx.Exec(ctx, r.engine.sql(`
			UPDATE {river}.river_job SET metadata = metadata || jsonb_build_object('tidemill',
				coalesce(metadata->'tidemill', '{}') || '{"run": true}') WHERE `+mine), args)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		args["job"] = r.opts.Job
		args["unit"] = r.opts.Unit
		_, err = tx.Exec(ctx, r.engine.sql(`
			INSERT INTO {tidemill}.run (id, job, kind, trigger, args, unit, status, enqueued_at, started_at)
			SELECT id, coalesce(nullif(@job, ''), kind), kind, 'river', args, nullif(@unit, ''), 'running', created_at, attempted_at
			  FROM {river}.river_job WHERE `+mine+`
			ON CONFLICT (id) DO NOTHING`), args)
		return err
	})
}

// SetTotal records how much there is to do, in unit; a run without it shows no percentage.
func (r *Run) SetTotal(ctx context.Context, total int64, unit string) error {
	tag, err := r.engine.opts.Pool.Exec(ctx, r.engine.sql(
		`UPDATE {tidemill}.run SET total = $3, unit = $4, updated_at = now() WHERE id = $1 AND lease = $2`),
		r.ID(), r.lease, total, unit)
	if err != nil {
		return fmt.Errorf("run %d: set the total: %w", r.ID(), err)
	}
	if tag.RowsAffected() == 0 {
		return ErrLeaseLost
	}
	return nil
}

// Note adds fields to the run's metadata, for people and for what comes after the run to read.
func (r *Run) Note(ctx context.Context, fields map[string]any) error {
	encoded, err := r.engine.shown(ctx, r.engine.opts.Pool, fields)
	if err != nil {
		return fmt.Errorf("run %d: note: %w", r.ID(), err)
	}
	tag, err := r.engine.opts.Pool.Exec(ctx, r.engine.sql(
		`UPDATE {tidemill}.run SET metadata = metadata || $3, updated_at = now() WHERE id = $1 AND lease = $2`),
		r.ID(), r.lease, encoded)
	if err != nil {
		return fmt.Errorf("run %d: note: %w", r.ID(), err)
	}
	if tag.RowsAffected() == 0 {
		return ErrLeaseLost
	}
	return nil
}

// Progress shows how much is done of a chunk that takes long, before it is committed, and reports whether the run should end
// here: it returns what Chunk would, and the work function gives the chunk up. It may be called within Chunk, by the same
// goroutine. Progress that cannot be shown is no error.
func (r *Run) Progress(ctx context.Context, done int64) error {
	r.progressed()
	// The chunk holds one connection; waiting long for a second one could be waiting for oneself.
	quick, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var intents []string
	err := r.engine.opts.Pool.QueryRow(quick, r.engine.sql(`
		UPDATE {tidemill}.run r SET done = $3, updated_at = clock_timestamp() WHERE id = $1 AND lease = $2 AND outcome IS NULL
		RETURNING (SELECT array_agg(intent) FROM {tidemill}.run_intent i WHERE i.run = r.id)`), r.ID(), r.lease, done).Scan(&intents)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, pgx.ErrNoRows):
		return ErrLeaseLost
	case err == nil:
		r.intents = intents
	}
	return r.stop()
}

// stop reports whether the run should end here, and how.
func (r *Run) stop() error {
	if r.final {
		return nil
	}
	for _, intent := range r.intents {
		if intent == "cancel" {
			return ErrCancelled
		}
	}
	if len(r.intents) > 0 {
		return ErrPaused
	}
	select {
	case <-r.engine.draining:
		return ErrDraining
	default:
		return nil
	}
}

// fail counts an attempt that failed without a committed chunk since the last one, and returns how many in a row that
// makes. Commits reset the count, so a run that moves on is never given up.
func (r *Run) fail(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var failures int
	err := r.engine.opts.Pool.QueryRow(ctx, r.engine.sql(
		`UPDATE {tidemill}.run SET failures = failures + 1, updated_at = now() WHERE id = $1 AND lease = $2 RETURNING failures`),
		r.ID(), r.lease).Scan(&failures)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ErrLeaseLost
	}
	return failures, err
}

// unlimited is River's highest number of attempts. Chunked jobs count attempts without progress themselves.
const unlimited = math.MaxInt16
