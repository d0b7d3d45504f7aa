package rescue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// wait is how far ahead the due time of a suspect is until its turn. It is moved on long before: it only ends if nobody
	// looks after suspects any more.
	wait = time.Hour
	// leastTrial and mostTrial bound how long the others wait for a suspect that runs: twice as long as it ran when a process
	// died of it, within these.
	leastTrial = 30 * time.Second
	mostTrial  = 10 * time.Minute
	// turn is how long a suspect may wait for a worker before another has its turn; each time that it got none it is twice
	// as long, up to maxTurns doublings.
	turn     = 10 * time.Second
	maxTurns = 6
)

// passTurns lets suspects run one at a time in the whole schema. A process that dies then dies of the one that ran, however
// many ran beside it at the deaths before; the others end, and are suspects no more.
func (p *Process) passTurns(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// One process at a time decides. Jobs can become suspects meanwhile: they wait.
		_, err := tx.Exec(ctx, p.sql(`LOCK TABLE {tidemill}.suspect IN SHARE UPDATE EXCLUSIVE MODE NOWAIT`))
		if err != nil {
			return err
		}
		for _, step := range []func(context.Context, pgx.Tx) error{p.clearSuspects, p.endTurns, p.hold, p.giveTurn} {
			if err := step(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "55P03" {
		return nil // another does it
	}
	if err != nil {
		return fmt.Errorf("try suspect jobs one at a time: %w", err)
	}
	return nil
}

// clearSuspects forgets the jobs that ended, failed, slept or got on since their last process died. One that waits is due as it
// was before: a process that was taken for dead can have got its last chunk through.
func (p *Process) clearSuspects(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, p.sql(`
		WITH cleared AS (
			SELECT s.job, s.due_at FROM {tidemill}.suspect s WHERE NOT EXISTS (
				SELECT FROM {river}.river_job j WHERE j.id = s.job AND j.state IN ('available', 'running') AND `+place+` - 'attempt' = s.place - 'attempt')),
		waiting AS (
			SELECT j.id FROM {river}.river_job j JOIN cleared c ON c.job = j.id WHERE j.state = 'available' FOR NO KEY UPDATE OF j SKIP LOCKED),
		due AS (
			UPDATE {river}.river_job j SET scheduled_at = c.due_at FROM cleared c JOIN waiting w ON w.id = c.job WHERE j.id = c.job RETURNING j.id)
		DELETE FROM {tidemill}.suspect s USING cleared c
		 WHERE s.job = c.job AND (s.job IN (SELECT id FROM due)
			OR NOT EXISTS (SELECT FROM {river}.river_job j WHERE j.id = s.job AND j.state = 'available'))`))
	return err
}

// endTurns has those wait again that no worker took in time: their queue is long, or nobody has their kind.
func (p *Process) endTurns(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, p.sql(`
		WITH late AS (
			SELECT j.id FROM {tidemill}.suspect s JOIN {river}.river_job j ON j.id = s.job
			 WHERE j.state = 'available' AND s.turn_at < clock_timestamp() - $2::interval * 2 ^ least(s.tried, $3::int) FOR UPDATE OF j SKIP LOCKED),
		held AS (
			UPDATE {river}.river_job j SET scheduled_at = clock_timestamp() + $1::interval FROM late WHERE j.id = late.id RETURNING j.id)
		UPDATE {tidemill}.suspect s SET turn_at = NULL, tried = s.tried + 1 FROM held WHERE s.job = held.id`), wait, turn, maxTurns)
	return err
}

// hold moves on the due times of those that wait.
func (p *Process) hold(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, p.sql(`
		UPDATE {river}.river_job j SET scheduled_at = clock_timestamp() + $1::interval
		 WHERE j.id IN (SELECT x.id FROM {tidemill}.suspect s JOIN {river}.river_job x ON x.id = s.job
			WHERE s.turn_at IS NULL AND x.state = 'available' AND x.scheduled_at < clock_timestamp() + $1::interval / 2 FOR UPDATE OF x SKIP LOCKED)`), wait)
	return err
}

// giveTurn lets the next one run, unless one is at it. One that has run for long without killing its process is no reason
// for the others to wait.
func (p *Process) giveTurn(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, p.sql(`
		WITH next AS (
			SELECT s.job, s.due_at FROM {tidemill}.suspect s JOIN {river}.river_job j ON j.id = s.job
			 WHERE s.turn_at IS NULL AND j.state = 'available'
			   AND NOT EXISTS (SELECT FROM {tidemill}.suspect o JOIN {river}.river_job x ON x.id = o.job
				 WHERE x.state = 'available' AND o.turn_at IS NOT NULL
				    OR x.state = 'running' AND clock_timestamp() - x.attempted_at < least($3::interval, greatest($2::interval, 2 * o.ran)))
			   AND EXISTS (SELECT FROM {tidemill}.process w WHERE w.fenced_at IS NULL AND NOT w.draining AND w.queues ? j.queue
				 AND w.beat_at > clock_timestamp() - interval '15 seconds')
			   AND NOT EXISTS (SELECT FROM {river}.river_queue q WHERE q.name = j.queue AND q.paused_at IS NOT NULL)
			 ORDER BY s.tried, s.times, s.since, s.job LIMIT 1 FOR UPDATE OF j SKIP LOCKED),
		turned AS (UPDATE {tidemill}.suspect s SET turn_at = clock_timestamp() FROM next WHERE s.job = next.job),
		due AS (UPDATE {river}.river_job j SET scheduled_at = next.due_at FROM next WHERE j.id = next.job RETURNING j.queue)
		SELECT pg_notify($1, json_build_object('queue', queue)::text) FROM due`), p.opts.Schema.River+".river_insert", leastTrial, mostTrial)
	return err
}
