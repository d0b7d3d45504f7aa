package riverpg

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river/riverdriver"
)

// River's driver dates what it inserts by the clock of the machine that it runs on, and workers fetch by the database's: the
// jobs of an application whose clock is fast would wait. Here what nobody dated is dated by the database.

// JobInsertFastMany inserts jobs and returns them.
func (e *executorTx) JobInsertFastMany(ctx context.Context, params *riverdriver.JobInsertFastManyParams) ([]*riverdriver.JobInsertFastResult, error) {
	return e.ExecutorTx.JobInsertFastMany(ctx, dated(params, time.Time{})) // River's statement puts now() in place of the zero time
}

// JobInsertFastManyNoReturning inserts jobs by COPY, which takes times as they are.
func (e *executorTx) JobInsertFastManyNoReturning(ctx context.Context, params *riverdriver.JobInsertFastManyParams) (int, error) {
	now, err := databaseTime(ctx, e)
	if err != nil {
		return 0, err
	}
	return e.ExecutorTx.JobInsertFastManyNoReturning(ctx, dated(params, now))
}

// JobInsertFastMany is as that of a transaction.
func (e *executor) JobInsertFastMany(ctx context.Context, params *riverdriver.JobInsertFastManyParams) ([]*riverdriver.JobInsertFastResult, error) {
	return e.Executor.JobInsertFastMany(ctx, dated(params, time.Time{}))
}

// JobInsertFastManyNoReturning is as that of a transaction.
func (e *executor) JobInsertFastManyNoReturning(ctx context.Context, params *riverdriver.JobInsertFastManyParams) (int, error) {
	now, err := databaseTime(ctx, e)
	if err != nil {
		return 0, err
	}
	return e.Executor.JobInsertFastManyNoReturning(ctx, dated(params, now))
}

// QueueDeleteExpired deletes queues that no client has worked for a day, and with them that they are paused. River asks for
// it by the clock of the machine of its leader.
func (e *executor) QueueDeleteExpired(ctx context.Context, params *riverdriver.QueueDeleteExpiredParams) ([]string, error) {
	kept := time.Since(params.UpdatedAtHorizon)
	now, err := databaseTime(ctx, e)
	if err != nil {
		return nil, err
	}
	byDatabase := *params
	byDatabase.UpdatedAtHorizon = now.Add(-kept)
	return e.Executor.QueueDeleteExpired(ctx, &byDatabase)
}

// dated gives at to what has no date. River's parameters stay as they are: they belong to whoever called it.
func dated(params *riverdriver.JobInsertFastManyParams, at time.Time) *riverdriver.JobInsertFastManyParams {
	jobs := make([]riverdriver.JobInsertFastParams, len(params.Jobs))
	out := &riverdriver.JobInsertFastManyParams{Jobs: make([]*riverdriver.JobInsertFastParams, len(params.Jobs)), Schema: params.Schema}
	for i, job := range params.Jobs {
		jobs[i] = *job
		if job.CreatedAt == nil {
			jobs[i].CreatedAt = &at
		}
		if job.ScheduledAt == nil {
			jobs[i].ScheduledAt = &at
		}
		out.Jobs[i] = &jobs[i]
	}
	return out
}

func databaseTime(ctx context.Context, e riverdriver.Executor) (now time.Time, err error) {
	if err := e.QueryRow(ctx, "SELECT now()").Scan(&now); err != nil {
		return now, fmt.Errorf("ask for the database's time: %w", err)
	}
	return now, nil
}
