package riverpg

import (
	"sync"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// attempt is one execution of a job, as its row names it.
type attempt struct {
	job    int64
	number int
	at     time.Time // zero: not fetched here
}

// attempts are the executions that this client has fetched and not yet ended. River names only the job when it ends one.
type attempts struct {
	mu    sync.Mutex
	byJob map[int64]attempt
}

func (a *attempts) remember(jobs []*rivertype.JobRow) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, job := range jobs {
		if job.AttemptedAt != nil {
			a.byJob[job.ID] = attempt{job: job.ID, number: job.Attempt, at: *job.AttemptedAt}
		}
	}
}

// of returns the attempts of the jobs, in their order.
func (a *attempts) of(jobs []int64) []attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]attempt, len(jobs))
	for i, job := range jobs {
		all[i] = a.byJob[job]
	}
	return all
}

// forget leaves out what was fetched again meanwhile.
func (a *attempts) forget(ended []attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range ended {
		if a.byJob[x.job] == x {
			delete(a.byJob, x.job)
		}
	}
}
