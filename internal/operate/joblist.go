package operate

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

// MostListed is the highest limit of a list; River lists no more at once.
const MostListed = 10_000

// JobListOpts say which jobs are listed.
type JobListOpts struct {
	Filter JobFilter
	Limit  int // 1 to MostListed
}

// ListJobs returns the jobs that match, the newest first.
func ListJobs(ctx context.Context, c *Cluster, opts JobListOpts) ([]*Job, error) {
	params := river.NewJobListParams().OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(opts.Limit)
	for _, condition := range opts.Filter.conditions() {
		params = params.Where(c.Schema.SQL(condition.sql), river.NamedArgs(condition.args))
	}
	found, err := c.Client.JobList(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	jobs := make([]*Job, len(found.Jobs))
	for i, row := range found.Jobs {
		jobs[i] = newJob(row)
	}
	return jobs, nil
}

// JobSummary is a job as one line of a list.
type JobSummary struct {
	ID          int64     `json:"id"`
	Kind        string    `json:"kind"`
	State       string    `json:"state"`
	Queue       string    `json:"queue"`
	Attempt     int       `json:"attempt"`
	MaxAttempts int       `json:"max_attempts"`
	CreatedAt   time.Time `json:"created_at"`
	Error       string    `json:"error"` // first line of the last error, "" if there is none
}

// ListJobSummaries is ListJobs without arguments and metadata: those of ten thousand jobs may be more than there is memory.
func ListJobSummaries(ctx context.Context, c *Cluster, opts JobListOpts) ([]*JobSummary, error) {
	condition, args := opts.Filter.where()
	args["size"] = opts.Limit
	rows, err := c.Pool.Query(ctx, c.Schema.SQL(`SELECT id, kind, state::text, queue, attempt, max_attempts, created_at, coalesce(left(`+lastError+`, 1000), '')
		FROM {river}.river_job WHERE `+condition+` ORDER BY id DESC LIMIT @size`), args)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[JobSummary])
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	for _, job := range jobs {
		job.Error = firstLine(job.Error)
	}
	return jobs, nil
}
