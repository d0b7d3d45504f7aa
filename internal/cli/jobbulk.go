package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
)

// jobBulk does one verb to the jobs of a filter: in the order of their ids, in transactions of bounded size.
//
// A job that changes meanwhile is left alone unless the filter still matches it when it is locked. Jobs that somebody else
// has locked are not waited for.
type jobBulk struct {
	app      *App
	verb     *jobVerb
	filter   jobFilter
	until    int64 // highest id that is taken: jobs inserted after the count were not agreed to
	progress func(done int64)

	done    int64
	running int64 // of those done: cancellation was asked for, the worker has the last word
	skipped int64
	reasons []skippedJob // the first of those skipped
}

// skippedJob is a job that was left alone, and why.
type skippedJob struct {
	ID     int64  `json:"id"`
	Reason string `json:"reason"`
}

const (
	bulkSize    = 200  // jobs in a transaction, which nobody else can take meanwhile: some 100 ms
	lookSize    = 2000 // jobs found at once: without statistics, each look may sort all that match
	mostReasons = 20
)

type bulkJob struct {
	id    int64
	state string
	isRun bool
}

// count counts the jobs that match, by state, and fixes the highest id.
func (b *jobBulk) count(ctx context.Context) (map[string]int64, error) {
	condition, args := where(b.filter.conditions())
	rows, err := b.app.Pool.Query(ctx, b.app.Schema.SQL(
		`SELECT state::text, count(*), max(id) FROM {river}.river_job WHERE `+condition+` GROUP BY state`), args)
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	states := map[string]int64{}
	var state string
	var n, highest int64
	_, err = pgx.ForEachRow(rows, []any{&state, &n, &highest}, func() error {
		states[state] = n
		b.until = max(b.until, highest)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	return states, nil
}

// run goes through all jobs that match. When ctx ends, it ends the batch that it is at, so that what it says it did is what
// it did, and returns the cause.
func (b *jobBulk) run(ctx context.Context) error {
	missing := map[int64]bool{}
	for _, id := range b.filter.ids {
		missing[id] = true
	}
	for after := int64(0); ; {
		jobs, err := b.next(ctx, after)
		if err != nil {
			return err
		}
		if len(jobs) == 0 {
			return b.skip(ctx, slices.Sorted(maps.Keys(missing)))
		}
		for _, job := range jobs {
			delete(missing, job.id)
		}
		after = jobs[len(jobs)-1].id
		for some := range slices.Chunk(jobs, bulkSize) {
			if err := b.apply(context.WithoutCancel(ctx), some); err != nil {
				return err
			}
			b.progress(b.done)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

func (b *jobBulk) next(ctx context.Context, after int64) ([]bulkJob, error) {
	condition, args := where(b.filter.conditions())
	args["after"], args["until"], args["size"] = after, b.until, lookSize
	rows, err := b.app.Pool.Query(ctx, b.app.Schema.SQL(`
		SELECT id, state::text, `+isRun+` FROM {river}.river_job
		 WHERE id > @after AND id <= @until AND `+condition+` ORDER BY id LIMIT @size`), args)
	if err != nil {
		return nil, fmt.Errorf("look for jobs: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, scanBulkJob)
	if err != nil {
		return nil, fmt.Errorf("look for jobs: %w", err)
	}
	return jobs, nil
}

func scanBulkJob(row pgx.CollectableRow) (bulkJob, error) {
	var job bulkJob
	err := row.Scan(&job.id, &job.state, &job.isRun)
	return job, err
}

func (b *jobBulk) apply(ctx context.Context, jobs []bulkJob) error {
	var plain []int64
	for _, job := range jobs {
		if !job.isRun || b.verb.run == nil {
			plain = append(plain, job.id)
			continue
		}
		err := b.verb.run(ctx, b.app.Ledger, job.id)
		var state *batch.StateError
		switch {
		case err == nil:
			b.did(job.state)
		case errors.Is(err, batch.ErrNoRun): // its ledger row was cleaned away
			plain = append(plain, job.id)
		case errors.As(err, &state):
			b.left(job.id, stateReason(state))
		case conflictReason(err) != "":
			b.left(job.id, conflictReason(err))
		default:
			return err
		}
	}
	if len(plain) == 0 {
		return nil
	}
	return b.applyPlain(ctx, plain)
}

// stateReason says why the ledger refused.
func stateReason(err *batch.StateError) string {
	reason := fmt.Sprintf("its run is %s", err.Status)
	if err.Hint != "" {
		reason += "; " + err.Hint
	}
	return reason
}

// applyPlain does the verb to jobs in one transaction. If one of them makes that impossible, it takes them singly.
func (b *jobBulk) applyPlain(ctx context.Context, ids []int64) error {
	var locked []bulkJob
	err := pgx.BeginFunc(ctx, b.app.Pool, func(tx pgx.Tx) (err error) {
		if locked, err = b.lock(ctx, tx, ids); err != nil || len(locked) == 0 {
			return err
		}
		return b.verb.jobs(ctx, tx, b.app.Client, jobIDs(locked))
	})
	conflict := conflictReason(err)
	switch {
	case conflict != "" && len(ids) > 1:
		for _, id := range ids {
			if err := b.applyPlain(ctx, []int64{id}); err != nil {
				return err
			}
		}
		return nil
	case conflict != "":
		b.left(ids[0], conflict)
		return nil
	case err != nil:
		return fmt.Errorf("%s jobs: %w", b.verb.name, err)
	}
	for _, job := range locked {
		b.did(job.state)
	}
	if len(locked) == len(ids) {
		return nil
	}
	taken := jobIDs(locked)
	return b.skip(ctx, slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return slices.Contains(taken, id) }))
}

// lock takes those of the jobs that still match. It never waits: a worker that completes jobs, or an application that
// inserts a unique one, holds them in an order that is not ours.
func (b *jobBulk) lock(ctx context.Context, tx pgx.Tx, ids []int64) ([]bulkJob, error) {
	condition, args := where(b.filter.conditions())
	args["ids"] = ids
	rows, err := tx.Query(ctx, b.app.Schema.SQL(`
		SELECT id, state::text, `+isRun+` FROM {river}.river_job
		 WHERE id = ANY(@ids::bigint[]) AND `+condition+` ORDER BY id FOR UPDATE SKIP LOCKED`), args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanBulkJob)
}

func jobIDs(jobs []bulkJob) []int64 {
	ids := make([]int64, len(jobs))
	for i, job := range jobs {
		ids[i] = job.id
	}
	return ids
}

// conflictReason says why one job cannot be had, "" if err is about something else.
func conflictReason(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return ""
	}
	switch pg.Code {
	case "23505":
		return "a newer job with the same unique key is there"
	case "55P03", "40P01":
		return "another session holds it"
	}
	return ""
}

func (b *jobBulk) did(state string) {
	b.done++
	if state == string(rivertype.JobStateRunning) {
		b.running++
	}
}

func (b *jobBulk) left(id int64, reason string) {
	b.skipped++
	if len(b.reasons) < mostReasons {
		b.reasons = append(b.reasons, skippedJob{ID: id, Reason: reason})
	}
}

// skip notes jobs that were not to be had, and finds out why.
func (b *jobBulk) skip(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := b.app.Pool.Query(ctx, b.app.Schema.SQL(`SELECT id, state::text FROM {river}.river_job WHERE id = ANY($1)`), ids)
	if err != nil {
		return fmt.Errorf("look for jobs: %w", err)
	}
	states := map[int64]string{}
	var id int64
	var state string
	if _, err := pgx.ForEachRow(rows, []any{&id, &state}, func() error { states[id] = state; return nil }); err != nil {
		return fmt.Errorf("look for jobs: %w", err)
	}
	for _, id := range ids {
		state, there := states[id]
		b.left(id, b.reason(state, there))
	}
	return nil
}

func (b *jobBulk) reason(state string, there bool) string {
	switch {
	case !there:
		return "no such job"
	case !slices.Contains(stateNames(b.verb.possible), state):
		return fmt.Sprintf("it is %s and cannot be %s", state, b.verb.done)
	default:
		return "it changed meanwhile, or another session holds it"
	}
}
