package kind

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/retry"
)

// JobArgs are arguments that say of which job of the configuration they are. Those that embed [Args] do.
type JobArgs interface {
	river.JobArgs
	JobName() string
}

// JobName is the name of the job.
func (a Args) JobName() string { return a.Job }

// Chunked is the frame of a worker whose jobs commit as they go, to be embedded: its Work calls Run. The job's own retry and stall take
// the place of River's.
type Chunked[A JobArgs] struct {
	river.WorkerDefaults[A]
	batch.Chunked
}

// NextRetry is decided by the job's own retry policy.
func (c *Chunked[A]) NextRetry(job *river.Job[A]) time.Time { return c.RetryAt(job.JobRow) }

// Timeout switches River's off: the job's stall takes its place.
func (c *Chunked[A]) Timeout(*river.Job[A]) time.Duration { return -1 }

// Run makes one attempt at a job of that kind by its definition. opts need neither Job nor Retry nor Stall.
func (c *Chunked[A]) Run(ctx context.Context, job *river.Job[A], jobs Jobs, kind string, opts batch.AttemptOpts,
	do func(context.Context, *config.Job, *batch.Run) error,
) error {
	def, err := jobs.Find(job.Args.JobName(), kind)
	if err != nil {
		return err
	}
	opts.Job, opts.Retry, opts.Stall = def.Name, RetryPolicy(def.Retry), def.Stall
	return c.Attempt(ctx, job.JobRow, opts, func(ctx context.Context, run *batch.Run) error { return do(ctx, def, run) })
}

// Changed is the end of a run that began by another definition of its job, by which it cannot continue.
func Changed(def *config.Job) error {
	return retry.Permanent(fmt.Errorf("the definition of job %s has changed since this run began; start it again", def.Name))
}
