package rescue

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ofFenced selects the jobs j of fenced processes.
const ofFenced = `EXISTS (SELECT FROM {tidemill}.process p WHERE p.fenced_at IS NOT NULL AND p.id = j.attempted_by[array_upper(j.attempted_by, 1)])`

// never is a number of rescues that no job reaches: what is given back by a process in good order says nothing against
// the job.
const never = 1 << 30

// moveJobs gives running jobs back, as if the attempt had not been: nothing is added to errors, and scheduled_at keeps
// their place in the queue. One whose cancellation was asked for is cancelled. One that is moved for the giveUp-th time in
// a row, with no chunk, no error and no other attempt between, is discarded: it may well be what kills its processes.
//
// A job that has ended, and whose end waits to be stored, stays: it must not run again.
//
// which selects the jobs from river_job j; its parameters begin at $3.
func (p *Process) moveJobs(ctx context.Context, conn *pgx.Conn, giveUp int, which string, args ...any) (int, error) {
	rows, err := conn.Query(ctx, p.sql(`
		WITH stuck AS (
			SELECT j.id, j.queue, j.metadata ? 'cancel_attempted_at' OR EXISTS (SELECT FROM {tidemill}.run_intent i
			           WHERE i.run = j.id AND i.intent = 'cancel' AND i.at >= j.attempted_at) AS cancelled,
			       j.metadata->'tidemill_rescue' AS last,
			       jsonb_build_object('attempt', j.attempt, 'errors', coalesce(array_length(j.errors, 1), 0),
			           'seq', (SELECT r.seq FROM {tidemill}.run r WHERE r.id = j.id)) AS place
			  FROM {river}.river_job j WHERE j.state = 'running' AND `+which+`
			   AND NOT EXISTS (SELECT FROM {tidemill}.job_end e WHERE e.job = j.id AND e.attempt = j.attempt AND e.attempted_at = j.attempted_at)
			   FOR UPDATE OF j SKIP LOCKED),
		judged AS (
			SELECT id, queue, cancelled, place, CASE WHEN last - 'times' = place THEN (last->>'times')::int ELSE 0 END + 1 AS times FROM stuck),
		moved AS (
			UPDATE {river}.river_job j
			   SET state = (CASE WHEN cancelled THEN 'cancelled' WHEN times >= $2 THEN 'discarded' ELSE 'available' END)::{river}.river_job_state,
			       finalized_at = CASE WHEN cancelled OR times >= $2 THEN now() END,
			       attempt = CASE WHEN times >= $2 THEN j.attempt ELSE greatest(j.attempt - 1, 0) END,
			       metadata = j.metadata || jsonb_build_object('tidemill_rescue', place || jsonb_build_object('times', times)),
			       errors = CASE WHEN times >= $2 AND NOT cancelled THEN array_append(j.errors, jsonb_build_object(
			           'at', now(), 'attempt', j.attempt, 'trace', '', 'error', format(
			           'the process that ran it died %s times in a row without progress; perhaps the job is what kills it', times)))
			           ELSE j.errors END
			  FROM judged WHERE j.id = judged.id
			RETURNING j.queue, j.kind, j.state),
		told AS (
			SELECT pg_notify($1, json_build_object('queue', queue)::text) FROM (SELECT DISTINCT queue FROM moved) q)
		SELECT queue, kind, state::text, count(*), (SELECT count(*) FROM told) FROM moved GROUP BY queue, kind, state`),
		append([]any{p.opts.Schema.River + ".river_insert", giveUp}, args...)...)
	if err != nil {
		return 0, fmt.Errorf("give jobs back: %w", err)
	}
	var all int
	var moved Moved
	_, err = pgx.ForEachRow(rows, []any{&moved.Queue, &moved.Kind, &moved.Result, &moved.Jobs, new(int)}, func() error {
		all += moved.Jobs
		if p.opts.OnMoved != nil {
			p.opts.OnMoved(moved)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("give jobs back: %w", err)
	}
	return all, nil
}
