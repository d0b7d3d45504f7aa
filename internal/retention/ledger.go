package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// dueRun says of the run r that it ended before the cutoff of its job. Its parameters are those of cutoffs, from $3 on.
const dueRun = `r.finished_at < coalesce((SELECT c.at FROM unnest($4::text[], $5::timestamptz[]) c (job, at) WHERE c.job = r.job), $3)`

// lost fails runs of outside code that did not say their end in the time they had given themselves.
func (s *Sweeper) lost(ctx context.Context, _ time.Time, deleted *Deleted) error {
	err := s.batches(ctx, &deleted.Lost, `
		UPDATE {tidemill}.run SET status = 'failed', finished_at = now(), updated_at = now(),
		       error = 'no end was reported within its timeout of ' || justify_hours(date_trunc('second', expires_at - started_at))
		 WHERE id IN (SELECT id FROM {tidemill}.run WHERE expires_at < now() AND finished_at IS NULL ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)`)
	if err != nil {
		return fmt.Errorf("look for lost runs: %w", err)
	}
	return nil
}

// messages deletes what is known of mails that nobody can retry any more: their run and its job are gone.
func (s *Sweeper) messages(ctx context.Context, now time.Time, deleted *Deleted) error {
	err := s.batches(ctx, &deleted.Messages, `
		DELETE FROM {tidemill}.message_claim WHERE (key, recipient) IN (
			SELECT c.key, c.recipient FROM {tidemill}.message_claim c
			 WHERE c.updated_at < $2
			   AND NOT EXISTS (SELECT FROM {river}.river_job j WHERE j.id = c.run)
			   AND NOT EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = c.run)
			 LIMIT $1 FOR UPDATE SKIP LOCKED)`, now.Add(-time.Hour))
	if err != nil {
		return fmt.Errorf("delete what is known of old mails: %w", err)
	}
	return nil
}

// rejects deletes the rejects of runs that ended long enough ago, and of runs that are gone.
func (s *Sweeper) rejects(ctx context.Context, now time.Time, deleted *Deleted) error {
	cut := s.cutoffs(now, func(l Limits) time.Duration { return l.Rejects })
	const few = 100
	for after, more := int64(0), true; more; {
		// From one run to the next along the primary key, without reading their rejects.
		rows, err := s.conn.Query(ctx, s.opts.Schema.SQL(`
			WITH RECURSIVE step (run, n) AS (
				(SELECT run, 1 FROM {tidemill}.run_reject WHERE run > $1 ORDER BY run LIMIT 1)
				UNION ALL
				SELECT (SELECT x.run FROM {tidemill}.run_reject x WHERE x.run > step.run ORDER BY x.run LIMIT 1), n + 1
				  FROM step WHERE run IS NOT NULL AND n < $2
			)
			SELECT run FROM step WHERE run IS NOT NULL`), after, few)
		if err != nil {
			return fmt.Errorf("look for rejects: %w", err)
		}
		runs, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return fmt.Errorf("look for rejects: %w", err)
		}
		if more = len(runs) == few; len(runs) == 0 {
			return nil
		}
		after = runs[len(runs)-1]
		// One statement sees one moment: a run that is retried right now is either not finished in it, or none of its
		// new rejects is there yet.
		err = s.batches(ctx, &deleted.Rejects, `
			WITH due AS MATERIALIZED (
				SELECT x.run, x.ordinal FROM {tidemill}.run_reject x
				 WHERE x.run IN (
					SELECT w.id FROM unnest($2::bigint[]) w (id) LEFT JOIN {tidemill}.run r ON r.id = w.id
					 WHERE r.id IS NULL OR `+dueRun+`)
				 LIMIT $1)
			DELETE FROM {tidemill}.run_reject x USING due WHERE x.run = due.run AND x.ordinal = due.ordinal`,
			runs, cut.others, cut.names, cut.times)
		if err != nil {
			return fmt.Errorf("delete rejects: %w", err)
		}
	}
	return nil
}

// runs deletes runs that ended long enough ago, unless their River job or some of their rejects are still there. Without
// its run a River job that somebody retries would start over, and write all that it had written a second time.
func (s *Sweeper) runs(ctx context.Context, now time.Time, deleted *Deleted) error {
	cut := s.cutoffs(now, func(l Limits) time.Duration { return l.Runs })
	if cut.never() {
		return nil
	}
	for after := int64(0); ; {
		var through *int64
		var young bool
		err := s.conn.QueryRow(ctx, s.opts.Schema.SQL(`
			SELECT max(id), coalesce(bool_and(enqueued_at >= $3), true)
			  FROM (SELECT id, enqueued_at FROM {tidemill}.run WHERE id > $1 ORDER BY id LIMIT $2) w`),
			after, window, cut.latest).Scan(&through, &young)
		if err != nil {
			return fmt.Errorf("look for runs: %w", err)
		}
		// Ids rise with time, so after a whole window that began too late nothing is due.
		if through == nil || young {
			return nil
		}
		err = s.batches(ctx, &deleted.Runs, `
			WITH due AS MATERIALIZED (
				SELECT r.id FROM {tidemill}.run r
				 WHERE r.id > $2 AND r.id <= $6 AND `+dueRun+`
				   AND NOT EXISTS (SELECT FROM {river}.river_job j WHERE j.id = r.id)
				   AND (r.children IS NULL OR r.children_done + r.children_failed >= r.children)
				   AND NOT EXISTS (SELECT FROM {tidemill}.run_reject x WHERE x.run = r.id)
				 LIMIT $1 FOR UPDATE OF r SKIP LOCKED),
			intents AS (DELETE FROM {tidemill}.run_intent i USING due WHERE i.run = due.id)
			DELETE FROM {tidemill}.run r USING due WHERE r.id = due.id`,
			after, cut.others, cut.names, cut.times, *through)
		if err != nil {
			return fmt.Errorf("delete runs: %w", err)
		}
		after = *through
	}
}
