package operate

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/rescue"
)

// ListProcesses returns the registered worker processes, the oldest first.
func ListProcesses(ctx context.Context, c *Cluster) ([]*rescue.Info, error) {
	return rescue.List(ctx, c.Pool, c.Schema)
}

// ProcessState is one word for how a process is: alive, draining, silent or dead.
func ProcessState(info *rescue.Info) string {
	switch {
	case info.FencedAt != nil:
		return "dead"
	case !info.Alive():
		return "silent"
	case info.Draining:
		return "draining"
	default:
		return "alive"
	}
}

// RunningJob is what a process does at the moment.
type RunningJob struct {
	Process     string    `json:"-"`
	ID          int64     `json:"id"`
	Kind        string    `json:"kind"`
	Queue       string    `json:"queue"`
	Job         string    `json:"job,omitempty"` // the configured job, if it is a run
	Attempt     int       `json:"attempt"`
	MaxAttempts int       `json:"max_attempts"`
	Since       time.Time `json:"since"`
	Seconds     float64   `json:"running_seconds"` // by the database's clock
}

// RunningJobs returns what the processes run, the longest running first.
func RunningJobs(ctx context.Context, c *Cluster, infos []*rescue.Info) ([]*RunningJob, error) {
	ids := make([]string, len(infos))
	for i, info := range infos {
		ids[i] = info.ID
	}
	rows, err := c.Pool.Query(ctx, c.Schema.SQL(`
		SELECT j.attempted_by[array_upper(j.attempted_by, 1)], j.id, j.kind, j.queue, coalesce(r.job, ''), j.attempt, j.max_attempts,
		       coalesce(j.attempted_at, j.created_at),
		       extract(epoch FROM greatest(clock_timestamp() - coalesce(j.attempted_at, j.created_at), '0'))::float8
		  FROM {river}.river_job j LEFT JOIN {tidemill}.run r ON r.id = j.id AND j.metadata ? 'tidemill'
		 WHERE j.state = 'running' AND j.attempted_by[array_upper(j.attempted_by, 1)] = ANY($1::text[])
		 ORDER BY 8, j.id`), ids)
	if err != nil {
		return nil, fmt.Errorf("list running jobs: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[RunningJob])
	if err != nil {
		return nil, fmt.Errorf("list running jobs: %w", err)
	}
	return jobs, nil
}
