package rescue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// attempt is one execution of a job as River's row names it.
type attempt struct {
	id int64
	no int
	at time.Time // UTC, so that equal moments are equal keys
}

// jobs are the attempts that are this process's: those that run, and those that have ended and whose end River has not
// stored yet, however long that takes.
type jobs struct {
	mu      sync.Mutex
	running map[attempt]context.CancelCauseFunc
	ended   map[attempt]time.Time // when
	lost    error                 // why nothing may run any more
}

func newJobs() *jobs {
	return &jobs{running: map[attempt]context.CancelCauseFunc{}, ended: map[attempt]time.Time{}}
}

// begin returns nil if nothing may run any more.
func (j *jobs) begin(a attempt, cancel context.CancelCauseFunc) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lost != nil {
		return false
	}
	j.running[a] = cancel
	return true
}

func (j *jobs) end(a attempt) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.running, a)
	j.ended[a] = time.Now()
}

// lose cancels all that runs, and lets nothing begin any more.
func (j *jobs) lose(why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lost != nil {
		return
	}
	j.lost = why
	for _, cancel := range j.running {
		cancel(why)
	}
}

// cancel ends the attempt if it still runs.
func (j *jobs) cancel(id int64, why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for a, cancel := range j.running {
		if a.id == id {
			cancel(why)
		}
	}
}

// ids are the jobs that run.
func (j *jobs) ids() []int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	ids := make([]int64, 0, len(j.running))
	for a := range j.running {
		ids = append(ids, a.id)
	}
	return ids
}

// has reports whether the attempt is this process's.
func (j *jobs) has(a attempt) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, running := j.running[a]
	_, ended := j.ended[a]
	return running || ended
}

// stored forgets the attempts whose end is stored: those that had ended before the table was read, and that do not run by
// its word.
func (j *jobs) stored(read time.Time, running map[attempt]bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for a, at := range j.ended {
		if at.Before(read) && !running[a] {
			delete(j.ended, a)
		}
	}
}

// errCancelled is what a job's context ends with when somebody has asked to cancel the job.
var errCancelled = errors.New("job cancelled remotely")

// Work keeps account of what this process runs; River calls it, when the Process is among the client's plugins.
func (p *Process) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	a := attempt{id: job.ID, no: job.Attempt}
	if job.AttemptedAt != nil {
		a.at = job.AttemptedAt.UTC()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !p.jobs.begin(a, cancel) {
		return river.JobSnooze(0)
	}
	defer p.jobs.end(a)
	err := doInner(ctx)
	if err == nil {
		return nil
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrSilent), errors.Is(cause, ErrFenced):
		return river.JobSnooze(0) // the attempt is given back, if this process still may
	case errors.Is(cause, errCancelled):
		return river.JobCancel(errCancelled)
	}
	return err
}
