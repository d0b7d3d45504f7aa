package rescue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"
)

// working is what this process really runs, by River job id.
type working struct {
	mu   sync.Mutex
	jobs map[int64]int
}

func (w *working) add(id int64, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.jobs[id] += n; w.jobs[id] == 0 {
		delete(w.jobs, id)
	}
}

func (w *working) has(id int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.jobs[id] > 0
}

// Work notes what the process runs; River calls it, when the Process is among the client's plugins.
func (p *Process) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	p.working.add(job.ID, 1)
	defer p.working.add(job.ID, -1)
	return doInner(ctx)
}

// attempt is one execution of a job as River's row names it.
type attempt struct {
	id int64
	no int
	at time.Time
}

// orphans are jobs that the database says run here and that do not: the connection died when the fetch had been committed
// and the client never learned of them.
type orphans struct {
	since map[attempt]time.Time // by our own clock
	last  time.Time
}

// adoptOrphans gives back the jobs that have been orphans over a whole stretch of looks.
func (p *Process) adoptOrphans(ctx context.Context, conn *pgx.Conn, o *orphans, now time.Time) error {
	if now.Sub(o.last) < p.opts.OrphanAfter/6 {
		return nil
	}
	if now.Sub(o.last) > 2*p.opts.OrphanAfter/6+maxGap {
		o.since = map[attempt]time.Time{}
	}
	o.last = now
	rows, err := conn.Query(ctx, p.sql(`
		SELECT id, attempt, attempted_at FROM {river}.river_job
		 WHERE state = 'running' AND attempted_by[array_upper(attempted_by, 1)] = $1`), p.id)
	if err != nil {
		return fmt.Errorf("look for own jobs: %w", err)
	}
	running, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (attempt, error) {
		var a attempt
		err := row.Scan(&a.id, &a.no, &a.at)
		return a, err
	})
	if err != nil {
		return fmt.Errorf("look for own jobs: %w", err)
	}
	still := map[attempt]time.Time{}
	var lost []attempt
	for _, a := range running {
		a.at = a.at.UTC() // equal moments must be equal keys
		if p.working.has(a.id) {
			continue
		}
		since, known := o.since[a]
		if !known {
			since = now
		}
		still[a] = since
		if now.Sub(since) >= p.opts.OrphanAfter {
			lost = append(lost, a)
		}
	}
	o.since = still
	for _, a := range lost {
		moved, err := p.moveJobs(ctx, conn, never, `j.id = $3 AND j.attempt = $4 AND j.attempted_at = $5 AND j.attempted_by[array_upper(j.attempted_by, 1)] = $6`,
			a.id, a.no, a.at, p.id)
		if err != nil {
			return err
		}
		if moved > 0 {
			p.opts.Logger.WarnContext(ctx, "a job that was fetched never arrived here; it goes back to its queue", "job_id", a.id, "process", p.id)
		}
	}
	return nil
}
