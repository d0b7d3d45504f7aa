package riverpg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver"
)

// JobSchedule makes due what was scheduled, as River does, for the leader, who needs no more of the jobs than their queues
// and times: with all their values ten thousand of them could be more than it has memory. One that somebody holds is left for the
// next time, and holds up no other.
func (t *executorTx) JobSchedule(ctx context.Context, p *riverdriver.JobScheduleParams) ([]*riverdriver.JobScheduleResult, error) {
	table := qualified(p.Schema, "river_job")
	rows, err := t.tx.Query(ctx, `
		WITH due AS (
			SELECT id, priority, scheduled_at, unique_key, unique_states FROM `+table+`
			 WHERE state IN ('scheduled', 'retryable') AND priority >= 0 AND queue IS NOT NULL AND scheduled_at <= coalesce($1::timestamptz, now())
			 ORDER BY priority, scheduled_at, id LIMIT $2::bigint FOR UPDATE SKIP LOCKED),
		ranked AS (
			SELECT id, unique_key, unique_key IS NOT NULL AND unique_states IS NOT NULL AS is_unique, count(*) OVER (PARTITION BY unique_key) AS of_key,
			       row_number() OVER (PARTITION BY unique_key ORDER BY priority, scheduled_at, id) AS no FROM due),
		decided AS (
			-- A key that is taken is taken for all that are due with it, also for the one that has it.
			SELECT id, is_unique AND (no > 1 OR EXISTS (
			           SELECT FROM `+table+` o WHERE o.unique_key = ranked.unique_key AND (o.id <> ranked.id OR of_key > 1) AND o.unique_states IS NOT NULL
			              AND `+qualified(p.Schema, "river_job_state_in_bitmask")+`(o.unique_states, o.state))) AS loses
			  FROM ranked)
		UPDATE `+table+` j
		   SET state = CASE WHEN loses THEN 'discarded' ELSE 'available' END::`+qualified(p.Schema, "river_job_state")+`,
		       finalized_at = CASE WHEN loses THEN coalesce($1, now()) ELSE finalized_at END,
		       metadata = CASE WHEN loses THEN metadata || '{"unique_key_conflict": "scheduler_discarded"}' ELSE metadata END
		  FROM decided WHERE j.id = decided.id
		RETURNING j.id, j.kind, j.priority, j.queue, j.scheduled_at, j.state::text, loses`, p.Now, int64(p.Max))
	if err != nil {
		return nil, fmt.Errorf("make scheduled jobs due: %w", err)
	}
	results, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*riverdriver.JobScheduleResult, error) {
		r := &riverdriver.JobScheduleResult{}
		var priority int16
		err := row.Scan(&r.Job.ID, &r.Job.Kind, &priority, &r.Job.Queue, &r.Job.ScheduledAt, &r.Job.State, &r.ConflictDiscarded)
		r.Job.Priority, r.Job.ScheduledAt = int(priority), r.Job.ScheduledAt.UTC()
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("make scheduled jobs due: %w", err)
	}
	return results, nil
}
