package rescue

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// ofFenced selects the jobs j of fenced processes.
const ofFenced = `EXISTS (SELECT FROM {tidemill}.process p WHERE p.fenced_at IS NOT NULL AND p.id = j.attempted_by[array_upper(j.attempted_by, 1)])`

// never is a number of rescues that no job reaches: what is given back by a process in good order says nothing against
// the job.
const never = 1 << 30

// place is how far a job j has come: two deaths at the same place are in a row.
const place = `jsonb_build_object('attempt', j.attempt, 'errors', coalesce(array_length(j.errors, 1), 0),
	'seq', (SELECT r.seq FROM {tidemill}.run r WHERE r.id = j.id), 'snoozes', j.metadata->'snoozes')`

// moveJobs gives running jobs back, as if the attempt had not been: nothing is added to errors, and scheduled_at keeps
// their place in the queue. One whose cancellation was asked for is cancelled.
//
// A job that is moved again, with no chunk, no error, no snooze and no other attempt since the last time, is a suspect: it may well be
// what kills its processes, or only have run beside that. From the second death on, suspects wait and come back one at a
// time (see suspects), so that the innocent end. At the giveUp-th death in a row a job is discarded.
//
// A job that has ended, and whose end waits to be stored, stays: it must not run again.
//
// which selects the jobs from river_job j; its parameters begin at $4.
func (p *Process) moveJobs(ctx context.Context, conn *pgx.Conn, giveUp int, which string, args ...any) (int, error) {
	rows, err := conn.Query(ctx, p.sql(`
		WITH stuck AS (
			SELECT j.id, j.queue, j.metadata ? 'cancel_attempted_at' OR EXISTS (SELECT FROM {tidemill}.run_intent i
			           WHERE i.run = j.id AND i.intent = 'cancel' AND i.at >= j.attempted_at) AS cancelled,
			       j.metadata->'tidemill_rescue' AS last,
			       `+place+` AS place,
			       coalesce((SELECT s.due_at FROM {tidemill}.suspect s WHERE s.job = j.id), j.scheduled_at) AS due_at,
			       clock_timestamp() - j.attempted_at AS ran
			  FROM {river}.river_job j WHERE j.state = 'running' AND `+which+`
			   AND NOT EXISTS (SELECT FROM {tidemill}.job_end e WHERE e.job = j.id AND e.attempt = j.attempt AND e.attempted_at = j.attempted_at)
			   FOR UPDATE OF j SKIP LOCKED),
		counted AS (
			SELECT *, CASE WHEN last - 'times' = place THEN (last->>'times')::int ELSE 0 END + CASE WHEN $2 = `+strconv.Itoa(never)+` THEN 0 ELSE 1 END AS times
			  FROM stuck),
		decided AS (
			SELECT *, NOT cancelled AND times >= $2 AS given_up, NOT cancelled AND times BETWEEN 2 AND $2 - 1 AS suspect FROM counted),
		moved AS (
			UPDATE {river}.river_job j
			   SET state = (CASE WHEN cancelled THEN 'cancelled' WHEN given_up THEN 'discarded' ELSE 'available' END)::{river}.river_job_state,
			       finalized_at = CASE WHEN cancelled OR given_up THEN now() END,
			       attempt = CASE WHEN given_up THEN j.attempt ELSE greatest(j.attempt - 1, 0) END,
			       scheduled_at = CASE WHEN suspect THEN clock_timestamp() + $3::interval ELSE due_at END,
			       metadata = CASE WHEN times = 0 THEN j.metadata
			           ELSE j.metadata || jsonb_build_object('tidemill_rescue', place || jsonb_build_object('times', times)) END,
			       errors = CASE WHEN given_up THEN array_append(j.errors, jsonb_build_object(
			           'at', now(), 'attempt', j.attempt, 'trace', '', 'error', format(
			           'the process that ran it died %s times in a row without progress; perhaps the job is what kills it', times)))
			           ELSE j.errors END
			  FROM decided WHERE j.id = decided.id
			RETURNING j.id, j.queue, j.kind, j.state),
		waits AS (
			INSERT INTO {tidemill}.suspect AS s (job, place, times, due_at, ran)
			SELECT id, place, times, due_at, ran FROM decided WHERE suspect
			ON CONFLICT (job) DO UPDATE SET (place, times, ran, turn_at, tried) = (excluded.place, excluded.times, greatest(s.ran, excluded.ran), NULL, 0)
			RETURNING 1),
		notified AS (
			SELECT pg_notify($1, json_build_object('queue', queue)::text) FROM (SELECT DISTINCT queue FROM moved) q)
		SELECT queue, kind, state::text, count(*), (SELECT count(*) FROM notified), (SELECT count(*) FROM waits) FROM moved GROUP BY queue, kind, state`),
		append([]any{p.opts.Schema.River + ".river_insert", giveUp, wait}, args...)...)
	if err != nil {
		return 0, fmt.Errorf("give jobs back: %w", err)
	}
	var all, waits int
	var moved Moved
	_, err = pgx.ForEachRow(rows, []any{&moved.Queue, &moved.Kind, &moved.Result, &moved.Jobs, nil, &waits}, func() error {
		all += moved.Jobs
		if p.opts.OnMoved != nil {
			p.opts.OnMoved(moved)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("give jobs back: %w", err)
	}
	if waits > 0 {
		p.opts.Logger.WarnContext(ctx, "jobs whose processes died twice in a row or more are tried one at a time", "jobs", waits, "found_by", p.id)
	}
	return all, nil
}
