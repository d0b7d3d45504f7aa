package riverpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

const (
	// smallStored is how many bytes of a job's values, as they are stored, are looked at for sending them with the fetch.
	// PostgreSQL compresses rows of more than about 2 kB.
	smallStored = 4 << 10
	// smallText is how long each of them may be as text.
	smallText = 16 << 10
	// fetchBytes bounds the arguments that one fetch takes, besides those of its first job.
	fetchBytes = 32 << 20
)

// JobGetAvailable takes jobs as River does, but not all of their values with them. What is long is read afterwards, one job
// after another: the jobs are running by then, so that a death in that counts against them, and what would be too much for
// one fetch can be given back.
func (e *executor) JobGetAvailable(ctx context.Context, params *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	taken, err := e.take(ctx, params, smallStored)
	if tooMuch(err) {
		// One that is short as it is stored can be too long for the server to write as text, and would block its queue.
		taken, err = e.take(ctx, params, -1)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch jobs of queue %s: %w", params.Queue, err)
	}
	slices.SortFunc(taken, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.job.Priority, b.job.Priority), a.job.ScheduledAt.Compare(b.job.ScheduledAt), cmp.Compare(a.job.ID, b.job.ID))
	})
	result := &riverdriver.JobGetAvailableResult{Jobs: make([]*rivertype.JobRow, 0, len(taken))}
	budget := int64(fetchBytes)
	var back []*row
	for _, r := range taken {
		if r.long {
			if budget <= 0 || !e.readLong(ctx, params.Schema, r, &budget) {
				back = append(back, r)
				continue
			}
		}
		if r.err != nil {
			if result.DecodeErrors == nil {
				result.DecodeErrors = map[int64]error{}
			}
			result.DecodeErrors[r.job.ID] = r.err
		}
		result.Jobs = append(result.Jobs, r.job)
	}
	if len(back) > 0 {
		// If this fails they are running here by the database's word only; rescue finds that out and gives them back.
		if err := e.giveBack(context.WithoutCancel(ctx), params.Schema, back); err != nil {
			e.opts.Logger.WarnContext(ctx, "give back jobs that were too much for one fetch", "jobs", len(back), "error", err)
		}
	}
	e.attempts.remember(result.Jobs)
	return result, nil
}

// row is a job that was taken. err is why its attempt fails unseen.
type row struct {
	job  *rivertype.JobRow
	long bool
	err  error
}

// tooMuch reports whether the server could not hold what it was asked for.
func tooMuch(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "54") || pg.Code == "53200" || pg.Code == "XX000")
}

// take moves jobs to running and returns them, with their values if those are short: stored in no more than small bytes.
//
// Jobs are taken as long as what is stored of them fits into the bound of a fetch. That it may be longer as text is for
// readLong to see.
func (e *executor) take(ctx context.Context, p *riverdriver.JobGetAvailableParams, small int) ([]*row, error) {
	table := qualified(p.Schema, "river_job")
	rows, err := e.pool.Query(ctx, `
		UPDATE `+table+` j
		   SET state = 'running', attempt = attempt + 1, attempted_at = coalesce($1::timestamptz, now()),
		       attempted_by = coalesce(attempted_by[greatest(cardinality(attempted_by) + 2 - $2::int, 1):], '{}') || $3::text
		 WHERE id = ANY (ARRAY(
			SELECT id FROM (
				SELECT id, stored, sum(stored) OVER (ORDER BY priority, scheduled_at, id ROWS UNBOUNDED PRECEDING) AS upto FROM (
					SELECT id, priority, scheduled_at, `+stored+` AS stored FROM `+table+`
					 WHERE state = 'available' AND queue = $4::text AND ($5::text[] IS NULL OR kind = ANY ($5))
					   AND scheduled_at <= coalesce($1::timestamptz, now())
					 ORDER BY priority, scheduled_at, id LIMIT $6::int FOR UPDATE SKIP LOCKED) available) summed
			 WHERE upto - stored < $7::bigint))
		RETURNING id, attempt, attempted_at, CASE WHEN `+stored+` <= $8::int THEN attempted_by END, created_at,
		          CASE WHEN errors IS NOT NULL AND `+stored+` <= $8 AND octet_length(errors::text) <= $9::int THEN errors END, errors IS NULL,
		          kind, CASE WHEN `+stored+` <= $8 AND octet_length(args::text) <= $9 THEN args END, max_attempts,
		          CASE WHEN `+stored+` <= $8 AND octet_length(metadata::text) <= $9 THEN metadata END,
		          priority, scheduled_at, CASE WHEN `+stored+` <= $8 THEN tags END, unique_key, unique_states`,
		p.Now, int32(min(p.MaxAttemptedBy, math.MaxInt32)), p.ClientID, p.Queue, p.Kind, int32(min(p.MaxToLock, math.MaxInt32)),
		int64(fetchBytes), int32(small), int32(smallText))
	if err != nil {
		return nil, err
	}
	var taken []*row
	for rows.Next() {
		r := &row{job: &rivertype.JobRow{Queue: p.Queue, State: rivertype.JobStateRunning}}
		if err := r.scan(rows); err != nil {
			rows.Close()
			return nil, err
		}
		taken = append(taken, r)
	}
	return taken, rows.Err()
}

// stored is the number of bytes that the values without a bound of their own take in the table; none is fetched for that.
const stored = `(pg_column_size(args) + pg_column_size(metadata) + coalesce(pg_column_size(errors), 0) + pg_column_size(tags)
	+ coalesce(pg_column_size(attempted_by), 0))::int`

func (r *row) scan(rows pgx.Rows) error {
	j := r.job
	var attempt, maxAttempts, priority int16
	var failures [][]byte
	var states pgtype.Bits
	var noErrors bool
	err := rows.Scan(&j.ID, &attempt, &j.AttemptedAt, &j.AttemptedBy, &j.CreatedAt, &failures, &noErrors, &j.Kind, &j.EncodedArgs, &maxAttempts,
		&j.Metadata, &priority, &j.ScheduledAt, &j.Tags, &j.UniqueKey, &states)
	if err != nil {
		return err
	}
	at := j.AttemptedAt.UTC()
	j.AttemptedAt, j.CreatedAt, j.ScheduledAt = &at, j.CreatedAt.UTC(), j.ScheduledAt.UTC()
	j.Attempt, j.MaxAttempts, j.Priority = max(int(attempt), 0), max(int(maxAttempts), 0), max(int(priority), 0)
	j.UniqueStates = statesOf(states)
	r.long = j.EncodedArgs == nil || j.Metadata == nil || j.Tags == nil || failures == nil && !noErrors
	r.decodeErrors(failures)
	return nil
}

func (r *row) decodeErrors(failures [][]byte) {
	r.job.Errors = make([]rivertype.AttemptError, len(failures))
	for i, failure := range failures {
		if err := riverdriver.UnmarshalAttemptError(failure, &r.job.Errors[i]); err != nil {
			r.job.Errors, r.err = nil, fmt.Errorf("errors[%d]: %w", i+1, err)
			return
		}
	}
}

// statesOf reads River's bit string, sorted as River sorts.
func statesOf(bits pgtype.Bits) (states []rivertype.JobState) {
	if !bits.Valid || len(bits.Bytes) == 0 {
		return nil
	}
	for i, state := range []rivertype.JobState{
		rivertype.JobStateScheduled, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStatePending,
		rivertype.JobStateDiscarded, rivertype.JobStateCompleted, rivertype.JobStateCancelled, rivertype.JobStateAvailable,
	} {
		if bits.Bytes[0]&(0x80>>i) != 0 {
			states = append(states, state)
		}
	}
	slices.Sort(states)
	return states
}

// qualified is the name of something of River's; without a schema the search path finds it, as for River.
func qualified(schema, name string) string {
	if schema == "" {
		return name
	}
	return pgx.Identifier{schema, name}.Sanitize()
}
