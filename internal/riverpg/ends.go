package riverpg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/internal/dbtext"
)

// lockTimeout is how long the ends of jobs wait for a row that somebody holds before they are parked. Meanwhile they hold
// the rows of the other jobs of their batch.
const lockTimeout = 200 * time.Millisecond

// JobSetStateIfRunningMany stores how jobs ended. River's completer calls it for all jobs that ended within a quarter of a
// second, and calls it for no others before it returns. So it never waits long, and no job holds up another: when the
// server does not take the batch as it is, because a row is held or a value refused, the ends go into the table job_end,
// from which they are stored one by one (see settle_ends in migrations/sql).
//
// The rows that it returns have neither arguments nor metadata: thousands of large ones would be read for nothing.
func (e *executor) JobSetStateIfRunningMany(ctx context.Context, params *riverdriver.JobSetStateIfRunningManyParams) ([]*rivertype.JobRow, error) {
	ends, attempts := newEnds(params, e.encoding.Of(ctx, e.pool)), e.attempts.of(params.ID)
	jobs, err := e.store(ctx, ends)
	if err != nil && !refused(err) {
		return nil, err
	}
	if err != nil {
		if jobs, err = e.park(ctx, ends, attempts, err); err != nil {
			return nil, err
		}
	}
	e.attempts.forget(attempts)
	return jobs, nil
}

// ends is what to store, in columns, as the statements take it. NULL leaves a field of the row as it is.
type ends struct {
	ids         []int64
	states      []string
	attempts    []*int32
	errors      []*string
	finalizedAt []*time.Time
	metadata    []*string
	scheduledAt []*time.Time
}

func newEnds(p *riverdriver.JobSetStateIfRunningManyParams, encoding string) *ends {
	n := len(p.ID)
	e := &ends{
		ids: p.ID, states: make([]string, n), attempts: make([]*int32, n), errors: make([]*string, n), finalizedAt: p.FinalizedAt,
		metadata: make([]*string, n), scheduledAt: p.ScheduledAt,
	}
	for i := range p.ID {
		e.states[i] = string(p.State[i])
		if p.Attempt[i] != nil {
			attempt := int32(*p.Attempt[i]) //nolint:gosec // a smallint in the table
			e.attempts[i] = &attempt
		}
		if p.ErrData[i] != nil {
			text := string(dbtext.FitJSON(encoding, []byte(storable(bounded(p.ErrData[i])))))
			e.errors[i] = &text
		}
		if p.MetadataDoMerge[i] {
			text := string(dbtext.FitJSON(encoding, []byte(storable(p.MetadataUpdates[i]))))
			e.metadata[i] = &text
		}
	}
	return e
}

func (e *ends) args() []any {
	return []any{e.ids, e.states, e.attempts, e.errors, e.finalizedAt, e.metadata, e.scheduledAt}
}

const (
	// input are the ends as rows.
	input = `unnest($1::bigint[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::text[], $7::timestamptz[])
		AS i (id, state, attempt, error, finalized_at, metadata, scheduled_at)`
	// thin are the columns that are returned.
	thin = `j.id, j.state::text, j.kind, j.queue, j.priority, j.attempt, j.max_attempts, j.created_at, j.scheduled_at, j.attempted_at, j.finalized_at`
)

// storeQuery ends what still runs, and adds to the metadata of what somebody else has ended. As in River, an attempt that
// would be tried again ends as cancelled if that was asked for.
//
// The state is compared as text, because the planner takes the few running rows of a large table for one, and would go
// through all of them for each id.
const storeQuery = `
	UPDATE {river}.river_job j SET
		state = CASE WHEN j.state::text <> 'running' THEN j.state WHEN ` + cancelled + ` THEN 'cancelled' ELSE i.state::{river}.river_job_state END,
		finalized_at = CASE WHEN j.state::text <> 'running' THEN j.finalized_at WHEN ` + cancelled + ` THEN now() ELSE i.finalized_at END,
		attempt = CASE WHEN i.attempt IS NULL OR j.state::text <> 'running' OR ` + cancelled + ` THEN j.attempt ELSE i.attempt END,
		scheduled_at = CASE WHEN i.scheduled_at IS NULL OR j.state::text <> 'running' OR ` + cancelled + ` THEN j.scheduled_at ELSE i.scheduled_at END,
		errors = CASE WHEN i.error IS NULL OR j.state::text <> 'running' THEN j.errors ELSE array_append(j.errors, i.error::jsonb) END,
		metadata = CASE WHEN i.metadata IS NULL THEN j.metadata ELSE j.metadata || i.metadata::jsonb END
	  FROM ` + input + `
	 WHERE j.id = i.id AND (j.state::text = 'running' OR i.metadata IS NOT NULL)
	RETURNING ` + thin

// cancelled is whether a job that would be tried again was cancelled instead. Nearly all jobs end before it is looked at.
const cancelled = `i.state IN ('available', 'retryable', 'scheduled') AND (j.metadata ? 'cancel_attempted_at'
	OR EXISTS (SELECT FROM {tidemill}.run_intent x WHERE x.run = i.id AND x.intent = 'cancel'))`

// store stores all ends or none. The bound on waiting is in the same round trip, and in the same implicit transaction.
func (e *executor) store(ctx context.Context, ends *ends) ([]*rivertype.JobRow, error) {
	batch := &pgx.Batch{}
	batch.Queue(`SELECT set_config('lock_timeout', $1, true)`, fmt.Sprint(lockTimeout.Milliseconds()))
	batch.Queue(e.sql(storeQuery), ends.args()...)
	results := e.pool.SendBatch(ctx, batch)
	jobs, err := storedJobs(results)
	if closeErr := results.Close(); err == nil {
		err = closeErr // the commit
	}
	if err != nil {
		return nil, fmt.Errorf("store how jobs ended: %w", err)
	}
	if len(jobs) == len(ends.ids) {
		return jobs, nil
	}
	others, err := e.ended(ctx, ends.ids, jobs)
	return append(jobs, others...), err
}

func storedJobs(results pgx.BatchResults) ([]*rivertype.JobRow, error) {
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanThin)
}

// ended reads the rows that were not running any more: River tells subscribers of them, too.
func (e *executor) ended(ctx context.Context, ids []int64, stored []*rivertype.JobRow) ([]*rivertype.JobRow, error) {
	done := make([]int64, 0, len(stored))
	for _, job := range stored {
		done = append(done, job.ID)
	}
	rows, err := e.pool.Query(ctx, e.sql(`SELECT `+thin+` FROM {river}.river_job j WHERE j.id = ANY ($1) AND j.id <> ALL ($2)`), ids, done)
	if err != nil {
		return nil, fmt.Errorf("read jobs that had ended: %w", err)
	}
	return pgx.CollectRows(rows, scanThin)
}

func scanThin(row pgx.CollectableRow) (*rivertype.JobRow, error) {
	job := &rivertype.JobRow{}
	return job, row.Scan(&job.ID, &job.State, &job.Kind, &job.Queue, &job.Priority, &job.Attempt, &job.MaxAttempts, &job.CreatedAt,
		&job.ScheduledAt, &job.AttemptedAt, &job.FinalizedAt)
}

// parkQuery keeps ends apart from their jobs' rows, so that nobody who holds those is in the way. A process that was taken
// for dead parks nothing: its jobs are elsewhere.
const parkQuery = `
	INSERT INTO {tidemill}.job_end AS e (job, attempt, attempted_at, state, new_attempt, error, finalized_at, metadata, scheduled_at, problem)
	SELECT i.id, a.attempt, a.attempted_at, i.state, i.attempt, i.error, i.finalized_at, i.metadata, i.scheduled_at, $10
	  FROM ` + input + `
	  JOIN unnest($1::bigint[], $8::int[], $9::timestamptz[]) AS a (id, attempt, attempted_at) USING (id)
	 WHERE a.attempted_at IS NOT NULL
	   AND EXISTS (SELECT FROM {tidemill}.process p WHERE p.id = current_setting('tidemill.client', true) AND p.fenced_at IS NULL)
	ON CONFLICT (job) DO UPDATE SET (attempt, attempted_at, state, new_attempt, error, finalized_at, metadata, scheduled_at, problem, tries, next_at)
		= (excluded.attempt, excluded.attempted_at, excluded.state, excluded.new_attempt, excluded.error, excluded.finalized_at, excluded.metadata,
		   excluded.scheduled_at, excluded.problem, 0, clock_timestamp())
	RETURNING e.job`

// park leaves the ends to settle_ends, and has it try at once. The jobs are returned as running: they are, for all others.
func (e *executor) park(ctx context.Context, ends *ends, attempts []attempt, why error) ([]*rivertype.JobRow, error) {
	numbers, times := make([]int32, len(attempts)), make([]*time.Time, len(attempts))
	for i, a := range attempts {
		numbers[i] = int32(a.number) //nolint:gosec // a smallint in the table
		if !a.at.IsZero() {
			times[i] = &a.at
		}
	}
	rows, err := e.pool.Query(ctx, e.sql(parkQuery), append(ends.args(), numbers, times, why.Error())...)
	if err != nil {
		return nil, fmt.Errorf("%w; park the ends: %w", why, err)
	}
	parked, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("%w; park the ends: %w", why, err)
	}
	if len(parked) < len(ends.ids) {
		// This process is fenced, or did not fetch them.
		return nil, fmt.Errorf("%w; %d of %d ends could not be parked", why, len(ends.ids)-len(parked), len(ends.ids))
	}
	e.opts.Logger.WarnContext(ctx, "jobs have ended, and the database could not store that yet; it is tried again until it can",
		"jobs", len(parked), "reason", why)
	// What is free is stored now. What is not waits for the next sweep of any process, however this ends.
	if _, err := e.pool.Exec(ctx, e.sql(`SELECT {tidemill}.settle_ends()`)); err != nil {
		e.opts.Logger.WarnContext(ctx, "store parked ends; it will be retried", "error", err)
	}
	jobs := make([]*rivertype.JobRow, len(parked))
	for i, id := range parked {
		jobs[i] = &rivertype.JobRow{ID: id, State: rivertype.JobStateRunning}
	}
	return jobs, nil
}

// refused reports whether the server could have stored other ends, or these at another time. It says so itself; what
// says nothing of the statement (the connection, the end of the server) does not count, nor does the fence.
func refused(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code == "TM001" {
		return false
	}
	for _, class := range []string{"08", "53", "57", "58", "25"} {
		if strings.HasPrefix(pg.Code, class) {
			return false
		}
	}
	return true
}
