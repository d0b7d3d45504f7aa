package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// StateError is returned when a run's status does not allow what was asked.
type StateError struct {
	ID     int64
	Status Status
	Asked  string // pause, resume, cancel, retry
	Hint   string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("run %d is %s; it cannot be asked to %s", e.ID, e.Status, e.Asked)
}

// control runs fn in one transaction that has locked the River row first and read the run after: the same order in which
// River's completer and its trigger take them.
func (l *Ledger) control(ctx context.Context, id int64, asked string, fn func(tx pgx.Tx, job rivertype.JobState, run *Info) error) error {
	return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		// The caller may be frozen in the middle, and must not keep the rows locked.
		if _, err := tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = '10s'`); err != nil {
			return fmt.Errorf("run %d: %w", id, err)
		}
		var state string
		err := tx.QueryRow(ctx, l.schema.SQL(`SELECT state FROM {river}.river_job WHERE id = $1 FOR UPDATE`), id).Scan(&state)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("run %d: %w", id, err)
		}
		rows, err := tx.Query(ctx, l.schema.SQL("SELECT "+infoColumns+" FROM {tidemill}.runs WHERE id = $1"), id)
		if err != nil {
			return fmt.Errorf("run %d: %w", id, err)
		}
		info, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[Info])
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("run %d: %w", id, ErrNoRun)
		}
		if err != nil {
			return fmt.Errorf("run %d: %w", id, err)
		}
		if info.Trigger == triggerOutside && !(asked == "cancel" && info.Status == Cancelled) {
			return &StateError{ID: id, Status: info.Status, Asked: asked, Hint: "its code runs outside of Tidemill; what never says its end can be cancelled"}
		}
		return fn(tx, rivertype.JobState(state), info)
	})
}

// Pause asks a run to stop after its current chunk and to stay where it is until Resume. One that is not running is
// paused at once. Pausing a paused run does nothing.
func (l *Ledger) Pause(ctx context.Context, id int64) error {
	return l.control(ctx, id, "pause", func(tx pgx.Tx, state rivertype.JobState, run *Info) error {
		if run.Status.Final() || run.Status == Cancelling {
			return &StateError{ID: id, Status: run.Status, Asked: "pause"}
		}
		if err := l.intend(ctx, tx, id, "pause"); err != nil {
			return err
		}
		if state == rivertype.JobStateRunning {
			return nil
		}
		if run.Status == Paused {
			return nil
		}
		// A job that was scheduled already changes no state, so no trigger runs.
		_, err := tx.Exec(ctx, l.schema.SQL(`
			WITH due AS (SELECT id, CASE WHEN state = 'scheduled' THEN scheduled_at END AS at FROM {river}.river_job WHERE id = $1),
			job AS (UPDATE {river}.river_job SET state = 'scheduled', scheduled_at = now() + interval '100 years' WHERE id = $1)
			UPDATE {tidemill}.run r SET status = 'paused', resume_at = due.at, updated_at = now() FROM due WHERE r.id = due.id`), id)
		if err != nil {
			return fmt.Errorf("pause run %d: %w", id, err)
		}
		return nil
	})
}

// Resume lets a paused run continue, or takes back a pause that is not reached yet. A run that was paused before it was due
// waits for that time again. Resuming a run that is not paused does nothing.
func (l *Ledger) Resume(ctx context.Context, id int64) error {
	return l.control(ctx, id, "resume", func(tx pgx.Tx, _ rivertype.JobState, run *Info) error {
		if run.Status.Final() {
			return &StateError{ID: id, Status: run.Status, Asked: "resume", Hint: fmt.Sprintf("tidemill runs retry %d", id)}
		}
		if _, err := tx.Exec(ctx, l.schema.SQL(`DELETE FROM {tidemill}.run_intent WHERE run = $1 AND intent = 'pause'`), id); err != nil {
			return fmt.Errorf("resume run %d: %w", id, err)
		}
		if run.Status != Paused {
			return nil
		}
		waits, err := tx.Exec(ctx, l.schema.SQL(`
			UPDATE {river}.river_job j SET scheduled_at = r.resume_at FROM {tidemill}.run r
			 WHERE r.id = $1 AND j.id = r.id AND r.resume_at > now()`), id)
		if err != nil {
			return fmt.Errorf("resume run %d: %w", id, err)
		}
		waiting := waits.RowsAffected() > 0
		_, err = tx.Exec(ctx, l.schema.SQL(`
			UPDATE {tidemill}.run SET resume_at = NULL, status = CASE WHEN $2 THEN 'enqueued' ELSE status END, updated_at = now()
			 WHERE id = $1`), id, waiting)
		if err != nil {
			return fmt.Errorf("resume run %d: %w", id, err)
		}
		if waiting {
			return nil
		}
		if _, err := l.client.JobRetryTx(ctx, tx, id); err != nil {
			return fmt.Errorf("resume run %d: %w", id, err)
		}
		return nil
	})
}

// Cancel ends a run: at once if it is not running, otherwise as soon as its worker notices. What is committed is kept.
// Cancelling a cancelled run does nothing. A run of outside code ends in the ledger only.
//
// Children of the run that wait are cancelled with it, also when the run itself has ended; those that run are left to end.
// Nothing follows a run that was cancelled, or whose children were.
func (l *Ledger) Cancel(ctx context.Context, id int64) error {
	if done, err := l.cancelOutside(ctx, id); err != nil || done {
		return err
	}
	parent := false
	err := l.control(ctx, id, "cancel", func(tx pgx.Tx, _ rivertype.JobState, run *Info) error {
		parent = run.Children != nil
		if run.Status.Final() {
			some, err := l.giveUpChildren(ctx, tx, id)
			if err != nil || some || run.Status == Cancelled {
				return err
			}
			return &StateError{ID: id, Status: run.Status, Asked: "cancel"}
		}
		if _, err := tx.Exec(ctx, l.schema.SQL(`SELECT {tidemill}.cancel($1)`), id); err != nil {
			return fmt.Errorf("cancel run %d: %w", id, err)
		}
		return nil
	})
	if err != nil || !parent {
		return err
	}
	return l.cancelChildren(ctx, id)
}

// cancelOutside ends the run of outside code in the ledger only.
func (l *Ledger) cancelOutside(ctx context.Context, id int64) (done bool, err error) {
	tag, err := l.pool.Exec(ctx, l.schema.SQL(`
		UPDATE {tidemill}.run SET status = 'cancelled', finished_at = now(), updated_at = now()
		 WHERE id = $1 AND trigger = 'outside' AND finished_at IS NULL`), id)
	if err != nil {
		return false, fmt.Errorf("cancel run %d: %w", id, err)
	}
	return tag.RowsAffected() > 0, nil
}

func (l *Ledger) intend(ctx context.Context, tx pgx.Tx, id int64, intent string) error {
	_, err := tx.Exec(ctx, l.schema.SQL(`INSERT INTO {tidemill}.run_intent (run, intent) VALUES ($1, $2) ON CONFLICT DO NOTHING`), id, intent)
	if err != nil {
		return fmt.Errorf("%s run %d: %w", intent, id, err)
	}
	return nil
}

// RetryOpts says how Retry continues.
type RetryOpts struct {
	// FromStart starts over, in a new run, instead of where the old one stopped.
	FromStart bool
	// Insert is used when a new run must be made; see StartOpts.
	Insert *river.InsertOpts
}

// Retry lets a failed, cancelled or waiting run resume from its last committed chunk, at once. The run keeps its id while
// River still has its job; otherwise, or from the start, a new run that names the old one is made. It returns the id.
func (l *Ledger) Retry(ctx context.Context, id int64, opts RetryOpts) (int64, error) {
	retried := id
	err := l.control(ctx, id, "retry", func(tx pgx.Tx, state rivertype.JobState, run *Info) error {
		switch run.Status {
		case Paused, Pausing:
			return &StateError{ID: id, Status: run.Status, Asked: "retry", Hint: fmt.Sprintf("tidemill runs resume %d", id)}
		case Running, Cancelling:
			return &StateError{ID: id, Status: run.Status, Asked: "retry"}
		case Succeeded, SucceededWithRejects:
			if !opts.FromStart {
				return &StateError{ID: id, Status: run.Status, Asked: "retry", Hint: "there is nothing left to do; start it again to repeat it"}
			}
		}
		if opts.FromStart && !run.Status.Final() {
			return &StateError{ID: id, Status: run.Status, Asked: "retry from the start", Hint: fmt.Sprintf("tidemill runs cancel %d", id)}
		}
		if state != "" && !opts.FromStart {
			_, err := l.client.JobRetryTx(ctx, tx, id)
			if sqlState(err) == "23505" {
				return &StateError{ID: id, Status: run.Status, Asked: "retry", Hint: "a newer run of the same input, or of a job that is unique, is live"}
			}
			if err != nil {
				return fmt.Errorf("retry run %d: %w", id, err)
			}
			return nil
		}
		started, err := l.again(ctx, tx, run, opts)
		if err != nil {
			return fmt.Errorf("retry run %d: %w", id, err)
		}
		retried = started.ID
		return nil
	})
	return retried, err
}

// again makes a new run of the same arguments.
func (l *Ledger) again(ctx context.Context, tx pgx.Tx, run *Info, opts RetryOpts) (*Started, error) {
	start := StartOpts{Job: run.Job, Trigger: "retry", Total: run.Total, Params: run.Params, Insert: opts.Insert, retryOf: &run.ID}
	if run.Unit != nil {
		start.Unit = *run.Unit
	}
	var args json.RawMessage
	var cursor json.RawMessage
	err := tx.QueryRow(ctx, l.schema.SQL(`SELECT args, cursor, identity, is_unique FROM {tidemill}.run WHERE id = $1`), run.ID).
		Scan(&args, &cursor, &start.Identity, &start.Unique)
	if err != nil {
		return nil, err
	}
	if !opts.FromStart {
		start.inherit, start.cursor = run, cursor
	}
	started, err := l.StartTx(ctx, tx, rawArgs{kind: run.Kind, json: args}, start)
	if err == nil && started.Existing && start.Identity == nil {
		// The live run of a unique job stands in for a start, but does not resume where this one stopped.
		return nil, &LiveError{Job: run.Job, ID: started.ID}
	}
	return started, err
}

// rawArgs inserts a job whose arguments are JSON already.
type rawArgs struct {
	kind string
	json json.RawMessage
}

func (a rawArgs) Kind() string                 { return a.kind }
func (a rawArgs) MarshalJSON() ([]byte, error) { return a.json, nil }
