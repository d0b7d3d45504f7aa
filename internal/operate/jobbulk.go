package operate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
)

const (
	// BulkSize is how many jobs are in a transaction, which nobody else can take meanwhile: some 100 ms.
	BulkSize = 200

	lookSize = 2000 // jobs found at once: without statistics, each look may sort all that match
)

// BulkOpts say what is done to which jobs.
type BulkOpts struct {
	Verb     *JobVerb
	Filter   JobFilter
	Highest  int64            // highest id that is taken, of CountBulk: jobs inserted after the count were not agreed to
	Progress func(done int64) // after each transaction; may be nil
}

// BulkCount is how many jobs a bulk would take.
type BulkCount struct {
	Matched int64
	States  map[string]int64
	Highest int64 // id
}

// BulkResult is what a bulk did.
type BulkResult struct {
	Done    int64
	Running int64 // of those done: cancellation was asked for, the worker has the last word
	Skipped int64
	Reasons []SkippedJob // the first of those skipped
}

// bulk is one bulk under way.
type bulk struct {
	*Cluster
	opts   BulkOpts
	result BulkResult
}

type bulkJob struct {
	id    int64
	state string
	isRun bool
}

// CountBulk counts the jobs to which Bulk would do the verb.
func CountBulk(ctx context.Context, c *Cluster, verb *JobVerb, filter JobFilter) (*BulkCount, error) {
	filter, err := verb.Narrow(filter)
	if err != nil {
		return nil, err
	}
	condition, args := filter.where()
	rows, err := c.Pool.Query(ctx, c.Schema.SQL(
		`SELECT state::text, count(*), max(id) FROM {river}.river_job WHERE `+condition+` GROUP BY state`), args)
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	counted := &BulkCount{States: map[string]int64{}}
	var state string
	var n, highest int64
	_, err = pgx.ForEachRow(rows, []any{&state, &n, &highest}, func() error {
		counted.States[state] = n
		counted.Matched += n
		counted.Highest = max(counted.Highest, highest)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	return counted, nil
}

// Bulk does a verb to the jobs of a filter: in the order of their ids, in transactions of bounded size. The filter is
// narrowed to the states that the verb takes, see JobVerb.Narrow.
//
// A job that changes meanwhile is left alone unless the filter still matches it when it is locked. Jobs that somebody else
// has locked are not waited for.
//
// When ctx ends, the transaction at hand is ended before Bulk returns the cause; the result is what was done, also with an
// error.
func Bulk(ctx context.Context, c *Cluster, opts BulkOpts) (*BulkResult, error) {
	filter, err := opts.Verb.Narrow(opts.Filter)
	if err != nil {
		return &BulkResult{}, err
	}
	opts.Filter = filter
	if opts.Progress == nil {
		opts.Progress = func(int64) {}
	}
	b := &bulk{Cluster: c, opts: opts}
	err = b.run(ctx)
	return &b.result, err
}

func (b *bulk) run(ctx context.Context) error {
	missing := map[int64]bool{}
	for _, id := range b.opts.Filter.IDs {
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
		for some := range slices.Chunk(jobs, BulkSize) {
			if err := b.apply(context.WithoutCancel(ctx), some); err != nil {
				return err
			}
			b.opts.Progress(b.result.Done)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

func (b *bulk) next(ctx context.Context, after int64) ([]bulkJob, error) {
	condition, args := b.opts.Filter.where()
	args["after"], args["highest"], args["size"] = after, b.opts.Highest, lookSize
	rows, err := b.Pool.Query(ctx, b.Schema.SQL(`
		SELECT id, state::text, `+isRun+` FROM {river}.river_job
		 WHERE id > @after AND id <= @highest AND `+condition+` ORDER BY id LIMIT @size`), args)
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

func (b *bulk) apply(ctx context.Context, jobs []bulkJob) error {
	var plain []int64
	for _, job := range jobs {
		if !job.isRun || b.opts.Verb.run == nil {
			plain = append(plain, job.id)
			continue
		}
		err := b.opts.Verb.run(ctx, b.Ledger, job.id)
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

// applyPlain does the verb to jobs in one transaction. If one of them makes that impossible, it takes them singly.
func (b *bulk) applyPlain(ctx context.Context, ids []int64) error {
	var locked []bulkJob
	err := pgx.BeginFunc(ctx, b.Pool, func(tx pgx.Tx) (err error) {
		if locked, err = b.lock(ctx, tx, ids); err != nil || len(locked) == 0 {
			return err
		}
		return b.opts.Verb.jobs(ctx, tx, b.Client, jobIDs(locked))
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
		return fmt.Errorf("%s jobs: %w", b.opts.Verb.Name, err)
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
func (b *bulk) lock(ctx context.Context, tx pgx.Tx, ids []int64) ([]bulkJob, error) {
	condition, args := b.opts.Filter.where()
	args["ids"] = ids
	rows, err := tx.Query(ctx, b.Schema.SQL(`
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

func (b *bulk) did(state string) {
	b.result.Done++
	if state == string(rivertype.JobStateRunning) {
		b.result.Running++
	}
}
