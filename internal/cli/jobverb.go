package cli

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
)

// jobVerb is something that can be done to jobs.
type jobVerb struct {
	name, doing, done string // retry, retrying, retried
	short, long       string
	// possible are the states in which a job can be; those are told from a job that only is in use at the moment.
	possible []rivertype.JobState
	// usual are the states that are taken without --state; usually says so: all jobs that …
	usual   []rivertype.JobState
	usually string
	// jobs does it to jobs that tx has locked and found in a possible state.
	jobs func(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], ids []int64) error
	// run does it to a job that is a run, whose ledger has a say in it; nil if it has not.
	run func(ctx context.Context, ledger *batch.Ledger, id int64) error
}

func retryJobs() *jobVerb {
	failed := []rivertype.JobState{rivertype.JobStateDiscarded, rivertype.JobStateRetryable}
	return &jobVerb{
		name: "retry", doing: "retrying", done: "retried",
		short: "Let jobs run again at once",
		long: `Makes jobs available to workers now, with one more attempt if theirs are used up. A run goes on from its last chunk.

Without --state, the jobs that failed are taken: discarded and retryable. Others are taken if --state or their id names
them; a completed job then runs a second time.`,
		possible: append(failed, rivertype.JobStateCancelled, rivertype.JobStateCompleted, rivertype.JobStatePending, rivertype.JobStateScheduled),
		usual:    failed, usually: "failed",
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

func cancelJobs() *jobVerb {
	unfinished := []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}
	return &jobVerb{
		name: "cancel", doing: "cancelling", done: "cancelled",
		short: "End jobs that are not finished",
		long: `Cancels jobs that wait, and asks the workers of running ones to end them. What a run has committed is kept.

A job that completes before its worker notices stays completed.`,
		possible: unfinished, usual: unfinished, usually: "are not finished",
		jobs: func(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], ids []int64) error {
			return each(ids, func(id int64) error {
				_, err := client.JobCancelTx(ctx, tx, id)
				return err
			})
		},
		run: func(ctx context.Context, ledger *batch.Ledger, id int64) error { return ledger.Cancel(ctx, id) },
	}
}

func deleteJobs() *jobVerb {
	resting := []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStateCancelled, rivertype.JobStateCompleted, rivertype.JobStateDiscarded,
		rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateScheduled,
	}
	return &jobVerb{
		name: "delete", doing: "deleting", done: "deleted",
		short: "Remove jobs from River's table",
		long: `Removes jobs, finished or waiting, for good. Running ones are never deleted; cancel them first.

The run of a deleted job stays in the ledger; one that was not finished is cancelled by it.`,
		possible: resting, usual: resting, usually: "are not running",
		jobs: func(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], ids []int64) error {
			// River's own statement sends all that it deletes, which may be more than there is memory.
			table := pgx.Identifier{client.Schema(), "river_job"}.Sanitize()
			_, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE id IN (
				SELECT id FROM `+table+` WHERE id = ANY ($1) AND state <> 'running' FOR UPDATE SKIP LOCKED)`, ids)
			return err
		},
	}
}

func each(ids []int64, do func(id int64) error) error {
	for _, id := range ids {
		if err := do(id); err != nil {
			return fmt.Errorf("job %d: %w", id, err)
		}
	}
	return nil
}
