package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Step is what a chunk adds to its run.
type Step struct {
	// Cursor is where the next chunk begins, in the work function's own terms; it is stored as JSON.
	Cursor any
	// Counters are added to the run's.
	Counters Counters
	// Done is added to the run's progress, in its unit.
	Done int64
	// Children is how many jobs with ChildMetadata of this run the chunk has inserted, by a worker with HasChildren.
	Children int64
	// Tentative chunks are undone when the attempt fails, so that they do not end a row of failed attempts.
	Tentative bool
	// Finish, if set, makes this the run's last chunk.
	Finish *Finish
}

// Finish is how a run ends well.
type Finish struct {
	// Result is kept with the run, as JSON; nil for none.
	Result any
	// Then, if set, runs in the last chunk's transaction; for jobs that follow.
	Then func(ctx context.Context, tx pgx.Tx) error
}

// chunkRetries bounds how often one chunk is repeated after a deadlock or a serialisation failure.
const chunkRetries = 10

// Chunk runs fn in a transaction and commits what it wrote together with the run's new cursor and counters.
//
// fn may be called again with a new transaction when the database asks for a repetition or went away, so it must not
// change anything outside its transaction that a second call would get wrong. While the database is away, Chunk waits for
// it until ctx ends.
//
// It returns nil when the chunk is committed and the run should continue, ErrPaused, ErrCancelled or ErrDraining when it is
// committed and the work function should return, ErrLeaseLost when nothing was committed because the run has another
// owner, and fn's error otherwise.
func (r *Run) Chunk(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) (Step, error)) error {
	if err := r.stop(); err != nil {
		return err
	}
	backoff := 50 * time.Millisecond
	for try := 1; ; try++ {
		err := r.try(ctx, fn)
		if err == nil {
			r.progressed()
			return r.stop()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !passing(err) || (!connectionLost(err) && try > chunkRetries) {
			return err
		}
		r.engine.opts.Logger.WarnContext(ctx, "chunk will be repeated", "run", r.ID(), "seq", r.seq, "try", try, "error", err)
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		backoff = min(2*backoff, 2*time.Second)
	}
}

func (r *Run) try(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) (Step, error)) error {
	conn, err := r.engine.opts.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: r.engine.beginQuery()})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err = r.tryOn(ctx, conn, tx, fn)
	if sqlState(err) == readOnly {
		_ = conn.Conn().Close(ctx) // the next one may lead to the server that has taken its place
	}
	return err
}

// tryOn ends the transaction in any case.
func (r *Run) tryOn(ctx context.Context, conn *pgxpool.Conn, tx pgx.Tx, fn func(ctx context.Context, tx pgx.Tx) (Step, error)) error {
	step, update, err := r.write(ctx, tx, fn)
	if err == nil {
		r.committed(step, update)
		return nil
	}
	if update == nil || !(conn.Conn().IsClosed() || connectionLost(err)) {
		return err
	}
	// The connection died in COMMIT: only the ledger knows whether it landed.
	landed, askErr := r.landed(ctx)
	switch {
	case askErr != nil:
		return askErr
	case landed:
		r.committed(step, update)
		return nil
	}
	return err
}

// update is the run's row as this chunk leaves it.
type update struct {
	seq      int64
	cursor   json.RawMessage
	counters Counters
	done     int64
	rate     float64
	intents  []string
	at       time.Time
}

// write does everything up to and including COMMIT. A non-nil update next to an error means that COMMIT was sent.
func (r *Run) write(ctx context.Context, tx pgx.Tx, fn func(context.Context, pgx.Tx) (Step, error)) (Step, *update, error) {
	// Rolling back must work when ctx is over; a dead connection answers at once.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()

	step, err := fn(ctx, tx)
	if err != nil {
		return Step{}, nil, err
	}
	if step.Finish != nil && step.Finish.Then != nil {
		if err := step.Finish.Then(ctx, tx); err != nil {
			return Step{}, nil, err
		}
	}
	u, err := r.record(ctx, tx, step)
	if err != nil {
		return Step{}, nil, err
	}
	return step, u, tx.Commit(ctx)
}

// beginQuery opens a chunk's transaction in one round trip. Deferred constraints are checked at once, so that a row at
// fault is found while it can still be put aside.
func (e *Engine) beginQuery() string {
	return "BEGIN; SET LOCAL idle_in_transaction_session_timeout = " + strconv.FormatInt(e.opts.IdleTimeout.Milliseconds(), 10) +
		"; SET LOCAL statement_timeout = " + strconv.FormatInt(e.opts.ChunkTimeout.Milliseconds(), 10) +
		"; SET CONSTRAINTS ALL IMMEDIATE"
}

// record is the last statement of every chunk: it moves the run on only if this attempt still owns it and nothing of it
// was committed in between.
func (r *Run) record(ctx context.Context, tx pgx.Tx, step Step) (*update, error) {
	cursor, err := storableJSON(step.Cursor)
	if err != nil {
		return nil, fmt.Errorf("run %d: encode cursor: %w", r.ID(), err)
	}
	now := time.Now()
	u := &update{
		seq:      r.seq + 1,
		cursor:   cursor,
		counters: r.counters.Plus(step.Counters),
		done:     r.done + step.Done,
		rate:     nextRate(r.rate, step.Done, now.Sub(r.lastCommit)),
		at:       now,
	}
	var outcome *string
	var result []byte
	if step.Finish != nil {
		if err := u.counters.Check(); err != nil {
			return nil, fmt.Errorf("run %d: %w", r.ID(), err)
		}
		name := "succeeded"
		if u.counters.Rejected > 0 {
			name = "succeeded_with_rejects"
		}
		outcome = &name
		if step.Finish.Result != nil {
			if result, err = r.engine.shown(ctx, tx, step.Finish.Result); err != nil {
				return nil, fmt.Errorf("run %d: encode result: %w", r.ID(), err)
			}
		}
	}

	err = tx.QueryRow(ctx, r.engine.sql(`
		UPDATE {tidemill}.run r SET seq = seq + 1, cursor = $4, counters = $5, done = $6, rate = $7, failures = CASE WHEN $12 THEN failures ELSE 0 END,
			outcome = $8, status = coalesce($8, status), finished_at = CASE WHEN $8 IS NOT NULL THEN clock_timestamp() END,
			error = CASE WHEN $8 IS NULL THEN error END, result = coalesce($9, result), updated_at = clock_timestamp(),
			children = CASE WHEN $10 THEN coalesce(children, 0) + $11 ELSE children END
		 WHERE id = $1 AND lease = $2 AND seq = $3 AND outcome IS NULL
		RETURNING (SELECT array_agg(intent) FROM {tidemill}.run_intent i WHERE i.run = r.id)`),
		r.ID(), r.lease, r.seq, cursor, u.counters, u.done, u.rate, outcome, result, r.opts.HasChildren, step.Children, step.Tentative).Scan(&u.intents)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrLeaseLost
	}
	if err != nil {
		return nil, fmt.Errorf("run %d: record the chunk: %w", r.ID(), err)
	}
	return u, nil
}

// landed asks whether the commit of the next seq arrived. It locks the row, so that a commit still on its way is waited for.
func (r *Run) landed(ctx context.Context) (bool, error) {
	for {
		var lease, seq int64
		err := r.engine.opts.Pool.QueryRow(ctx, r.engine.sql(
			`SELECT lease, seq FROM {tidemill}.run WHERE id = $1 FOR UPDATE`), r.ID()).Scan(&lease, &seq)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return false, ErrLeaseLost
		case err != nil && ctx.Err() == nil && passing(err):
			select {
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
				return false, context.Cause(ctx)
			}
			continue
		case err != nil:
			return false, fmt.Errorf("run %d: ask whether the commit landed: %w", r.ID(), err)
		case lease != r.lease:
			return false, ErrLeaseLost
		}
		return seq == r.seq+1, nil
	}
}

func (r *Run) committed(step Step, u *update) {
	r.seq, r.cursor, r.counters, r.done, r.rate, r.intents = u.seq, u.cursor, u.counters, u.done, u.rate, u.intents
	r.lastCommit = u.at
	r.final = step.Finish != nil
}

// readOnly is the SQLSTATE of a server that was the primary when the connection was made. A chunk's own transaction is
// never read-only.
const readOnly = "25006"

// passing reports whether the same chunk may be written another time.
func passing(err error) bool { return Classify(err) == Transient || sqlState(err) == readOnly }

// connectionLost distinguishes an outage, which ends, from a conflict, which may repeat.
func connectionLost(err error) bool {
	if !passing(err) {
		return false
	}
	switch code := sqlState(err); {
	case code == readOnly:
		return true
	case code == "":
		return true
	default:
		return len(code) >= 2 && (code[:2] == "08" || code[:2] == "57" || code[:2] == "53" || code == "25P03")
	}
}

// Finish commits the run's outcome in a chunk of its own, for a work function that learns only afterwards that its last
// chunk was the last. It keeps cursor and counters as they are.
func (r *Run) Finish(ctx context.Context, finish Finish) error {
	return r.Chunk(ctx, func(context.Context, pgx.Tx) (Step, error) {
		return Step{Cursor: r.cursor, Finish: &finish}, nil
	})
}
