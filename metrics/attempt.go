package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river/rivertype"
)

// outcome is how an attempt ended.
type outcome string

const (
	outcomeOK          outcome = "ok"
	outcomeError       outcome = "error"       // to be retried
	outcomePanic       outcome = "panic"       // to be retried
	outcomeDiscarded   outcome = "discarded"   // an error or panic of the last attempt
	outcomeCancelled   outcome = "cancelled"   // by the worker or by request
	outcomeSnoozed     outcome = "snoozed"     // put off by the worker; no attempt is used up
	outcomeInterrupted outcome = "interrupted" // by the end of the client; no attempt is used up
)

var allOutcomes = []outcome{outcomeOK, outcomeError, outcomePanic, outcomeDiscarded, outcomeCancelled, outcomeSnoozed, outcomeInterrupted}

type attemptKey struct{ queue, kind, job string }

// attemptSeries are the series of one queue, kind and job. All outcomes begin at 0 with the first attempt, so that the
// first failure is seen as an increase.
type attemptSeries struct {
	outcomes map[outcome]prometheus.Counter
	duration prometheus.Observer
}

func (m *Metrics) attemptSeries(key attemptKey) *attemptSeries {
	if s, ok := m.attempts.Load(key); ok {
		return s.(*attemptSeries)
	}
	s := &attemptSeries{
		outcomes: make(map[outcome]prometheus.Counter, len(allOutcomes)),
		duration: m.duration.WithLabelValues(key.queue, key.kind, key.job),
	}
	for _, o := range allOutcomes {
		s.outcomes[o] = m.outcomes.WithLabelValues(key.queue, key.kind, key.job, string(o))
	}
	// What is worked here may have to be rescued here.
	for _, result := range rescueResults {
		m.rescued.WithLabelValues(key.queue, key.kind, result)
	}
	// Two that race here made the same series.
	m.attempts.Store(key, s)
	return s
}

// Work counts one attempt; River calls it.
func (m *Metrics) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) (err error) {
	queue := m.queues.admit(job.Queue)
	series := m.attemptSeries(attemptKey{queue, m.kinds.admit(job.Kind), m.jobs.admit(m.opts.JobLabel(job))})
	if job.AttemptedAt != nil {
		// scheduled_at may come from the clock of the client that inserted the job, which may be ahead.
		m.queueWait.WithLabelValues(queue).Observe(max(0, job.AttemptedAt.Sub(job.ScheduledAt).Seconds()))
	}

	busy := m.busy.WithLabelValues(queue)
	busy.Inc()
	start := time.Now()
	// A panic passes through untouched, so that River records its true stack trace.
	panicked := true
	defer func() {
		busy.Dec()
		series.duration.Observe(time.Since(start).Seconds())
		series.outcomes[outcomeOf(ctx, job, err, panicked)].Inc()
	}()
	err = doInner(ctx)
	panicked = false
	return err
}

// outcomeOf follows River's executor, in its order. MaxAttempts is read only now: a worker may have lowered it.
func outcomeOf(ctx context.Context, job *rivertype.JobRow, err error, panicked bool) outcome {
	last := job.Attempt >= job.MaxAttempts
	var snooze *rivertype.JobSnoozeError
	var cancel *rivertype.JobCancelError
	switch {
	case panicked && last:
		return outcomeDiscarded
	case panicked:
		return outcomePanic
	case err == nil:
		return outcomeOK
	case errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely):
		return outcomeCancelled
	case errors.As(err, &snooze):
		return outcomeSnoozed
	case errors.As(err, &cancel):
		return outcomeCancelled
	case interrupted(ctx, err):
		return outcomeInterrupted
	case last:
		return outcomeDiscarded
	default:
		return outcomeError
	}
}

// clientStop is the text of the cause with which a River client that stops ends the contexts of its jobs. River keeps
// the error itself internal.
const clientStop = "stop initiated"

func interrupted(ctx context.Context, err error) bool {
	cause := context.Cause(ctx)
	if cause == nil || cause.Error() != clientStop {
		return false
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, cause)
}
