package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/retry"
)

// AttemptOpts says how one kind or job is to be run. Zero fields take their defaults.
type AttemptOpts struct {
	// Job is the name in the ledger of a run that plain River inserted; default the kind.
	Job string
	// Unit is what progress is counted in, "rows" for example, until SetTotal says otherwise.
	Unit string
	// Retry counts attempts in a row that committed no chunk; any commit resets the count.
	Retry retry.Policy
	// Stall is how long an attempt may go without committing a chunk; default 10 minutes, negative = no limit.
	Stall time.Duration
	// HasChildren says that the run enqueues jobs of its own: what follows the run waits for the last of them. See Step.Children.
	HasChildren bool
}

// Chunked is embedded in a River worker whose work goes in chunks. Its zero value is ready.
//
//	type MyWorker struct {
//		river.WorkerDefaults[MyArgs]
//		batch.Chunked
//	}
//
//	func (w *MyWorker) Work(ctx context.Context, job *river.Job[MyArgs]) error {
//		return w.Attempt(ctx, job.JobRow, batch.AttemptOpts{}, func(ctx context.Context, run *batch.Run) error { … })
//	}
//	func (w *MyWorker) NextRetry(job *river.Job[MyArgs]) time.Time { return w.RetryAt(job.JobRow) }
//	func (w *MyWorker) Timeout(*river.Job[MyArgs]) time.Duration   { return -1 } // Stall takes its place
type Chunked struct {
	// River asks when to retry in a call of its own that knows no error; what was decided waits here for it.
	mu      sync.Mutex
	retryAt map[int64]time.Time
}

// pauseFor is how far a paused run is snoozed; the trigger takes anything over 50 years for a pause.
const pauseFor = 100 * 365 * 24 * time.Hour

// Attempt runs one attempt of a chunked job: it takes the lease, calls fn, and turns its end into what River should do.
// fn returns nil when all is done; if its last chunk did not carry a Finish, one without a result is added.
func (c *Chunked) Attempt(ctx context.Context, job *rivertype.JobRow, opts AttemptOpts, fn func(context.Context, *Run) error) error {
	engine, err := fromContext(ctx)
	if err != nil {
		return err
	}
	if opts.Stall == 0 {
		opts.Stall = 10 * time.Minute
	}
	// River must not give up by its own count; fail does by ours.
	job.MaxAttempts = unlimited

	run, err := engine.begin(ctx, job, opts)
	switch {
	case errors.Is(err, errFinal):
		return nil
	case errors.Is(err, ErrLeaseLost):
		return leave(ctx, engine, job)
	case err != nil:
		c.setRetry(job.ID, engine.opts.Clock().Add(opts.Retry.After(1)))
		return err
	}
	log := engine.opts.Logger.With("run_id", job.ID, "job", run.jobName(), "kind", job.Kind, "queue", job.Queue, "attempt", job.Attempt)
	log.InfoContext(ctx, "run begins", "chunks", run.seq, "rows", run.counters.Read)
	began := time.Now()
	if err = run.stop(); err == nil {
		err = run.work(ctx, fn)
	}
	answer := c.outcome(ctx, run, err)
	log = log.With("chunks", run.seq, "rows", run.counters.Read, "rejected", run.counters.Rejected, "seconds", time.Since(began).Seconds())
	if err != nil && !run.final {
		log.WarnContext(ctx, "run stops", "reason", err)
	} else {
		log.InfoContext(ctx, "run ends")
	}
	return answer
}

// work calls fn under the stall watch and adds the finish if fn did not.
func (r *Run) work(ctx context.Context, fn func(context.Context, *Run) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.engine.opts.Logger.ErrorContext(ctx, "worker panicked", "run", r.ID(), "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if r.opts.Stall > 0 {
		watch := time.AfterFunc(r.opts.Stall, func() { cancel(fmt.Errorf("%w of %s", ErrStalled, r.opts.Stall)) })
		defer watch.Stop()
		r.progressed = func() { watch.Reset(r.opts.Stall) }
	}

	if err := fn(ctx, r); err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, ErrStalled) {
			return cause
		}
		return err
	}
	if r.final {
		return nil
	}
	return r.Finish(ctx, Finish{})
}

// outcome translates the end of an attempt into River's terms.
func (c *Chunked) outcome(ctx context.Context, run *Run, err error) error {
	job := run.job
	switch {
	case err == nil, run.final:
		return nil
	case errors.Is(err, ErrPaused):
		return river.JobSnooze(pauseFor)
	case errors.Is(err, ErrCancelled):
		return river.JobCancel(errors.New("cancelled on request; what was committed is kept"))
	case errors.Is(err, ErrDraining), ctx.Err() != nil && !errors.Is(err, ErrStalled):
		// The attempt is given back. If the job was cancelled remotely, River puts that in place of the snooze.
		return river.JobSnooze(0)
	case errors.Is(err, ErrLeaseLost):
		return leave(ctx, run.engine, job)
	}

	failures, countErr := run.fail(ctx)
	switch {
	case errors.Is(countErr, ErrLeaseLost):
		return leave(ctx, run.engine, job)
	case countErr != nil:
		run.engine.opts.Logger.ErrorContext(ctx, "failed attempt was not counted", "run_id", run.ID(), "error", countErr)
		failures = 1
	}
	if retry.IsPermanent(err) || Classify(err) == Config || failures >= run.opts.Retry.Defaults().MaxAttempts {
		// River discards a job whose attempt was its last.
		job.MaxAttempts = job.Attempt
		return err
	}
	c.setRetry(job.ID, run.engine.opts.Clock().Add(run.opts.Retry.Wait(failures, err)))
	return err
}

// leave ends an attempt that does not own its run. The snooze reaches River's row only if this process may still write
// there; if it may not, whatever is returned is refused.
func leave(ctx context.Context, engine *Engine, job *rivertype.JobRow) error {
	engine.opts.Logger.WarnContext(ctx, "another attempt owns the run; leaving it", "run_id", job.ID)
	return river.JobSnooze(0)
}

func (c *Chunked) setRetry(id int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retryAt == nil {
		c.retryAt = map[int64]time.Time{}
	}
	c.retryAt[id] = at
}

// RetryAt is when the attempt that has just failed is to be repeated; call it from NextRetry.
func (c *Chunked) RetryAt(job *rivertype.JobRow) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.retryAt[job.ID]
	delete(c.retryAt, job.ID)
	return at
}
