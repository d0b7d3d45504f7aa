package operate

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
)

// JobVerb is something that can be done to jobs: RetryVerb, CancelVerb or DeleteVerb.
type JobVerb struct {
	Name string // retry
	Done string // retried

	possible []string // states in which a job can be; others differ from a job that only is in use at the moment
	usual    []string // states that are taken if the filter names none
	// jobs does it to jobs that tx has locked and found in a possible state.
	jobs func(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], ids []int64) error
	// run does it to a job that is a run, whose ledger has a say in it; nil if it has not.
	run func(ctx context.Context, ledger *batch.Ledger, id int64) error
}

// RetryVerb makes jobs available to workers at once, with one more attempt if theirs are used up.
func RetryVerb() *JobVerb {
	failed := []rivertype.JobState{rivertype.JobStateDiscarded, rivertype.JobStateRetryable}
	return &JobVerb{
		Name: "retry", Done: "retried",
		possible: stateNames(append(failed, rivertype.JobStateCancelled, rivertype.JobStateCompleted, rivertype.JobStatePending, rivertype.JobStateScheduled)),
		usual:    stateNames(failed),
		jobs: func(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], ids []int64) error {
			// A unique job waits here for a transaction that is just inserting its like, which may take its time.
			if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '5s'`); err != nil {
				return err
			}
			return each(ids, func(id int64) error {
				_, err := client.JobRetryTx(ctx, tx, id)
				return err
			})
		},
		run: func(ctx context.Context, ledger *batch.Ledger, id int64) error {
			_, err := ledger.Retry(ctx, id, batch.RetryOpts{})
			return err
		},
	}
}

// CancelVerb cancels jobs that wait, and asks the workers of running ones to end them.
func CancelVerb() *JobVerb {
	unfinished := stateNames([]rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	})
	return &JobVerb{
		Name: "cancel", Done: "cancelled",
		possible: unfinished, usual: unfinished,
		jobs: func(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], ids []int64) error {
			return each(ids, func(id int64) error {
				_, err := client.JobCancelTx(ctx, tx, id)
				return err
			})
		},
		run: func(ctx context.Context, ledger *batch.Ledger, id int64) error { return ledger.Cancel(ctx, id) },
	}
}

// DeleteVerb removes jobs that do not run. The run of a deleted job stays in the ledger.
func DeleteVerb() *JobVerb {
	resting := stateNames([]rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStateCancelled, rivertype.JobStateCompleted, rivertype.JobStateDiscarded,
		rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateScheduled,
	})
	return &JobVerb{
		Name: "delete", Done: "deleted",
		possible: resting, usual: resting,
		jobs: func(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], ids []int64) error {
			// River's own statement sends all that it deletes, which may be more than there is memory.
			table := pgx.Identifier{client.Schema(), "river_job"}.Sanitize()
			_, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE id IN (
				SELECT id FROM `+table+` WHERE id = ANY ($1) AND state <> 'running' FOR UPDATE SKIP LOCKED)`, ids)
			return err
		},
	}
}

// Possible are the states in which a job can be for the verb, sorted.
func (v *JobVerb) Possible() []string { return slices.Sorted(slices.Values(v.possible)) }

// StateError is the error for jobs in a state in which the verb cannot be done to them.
type StateError struct {
	Verb  *JobVerb
	State string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("jobs that are %s cannot be %s", e.State, e.Verb.Done)
}

// Narrow returns the filter with the states that the verb takes: those that it names, or else all possible ones of jobs named
// by their ids, and the usual ones of others. A state that is not possible is a *StateError.
func (v *JobVerb) Narrow(filter JobFilter) (JobFilter, error) {
	for _, state := range filter.States {
		if !slices.Contains(v.possible, state) {
			return filter, &StateError{Verb: v, State: state}
		}
	}
	switch {
	case len(filter.States) > 0:
	case len(filter.IDs) > 0:
		filter.States = v.possible
	default:
		filter.States = v.usual
	}
	return filter, nil
}

func each(ids []int64, do func(id int64) error) error {
	for _, id := range ids {
		if err := do(id); err != nil {
			return fmt.Errorf("job %d: %w", id, err)
		}
	}
	return nil
}
