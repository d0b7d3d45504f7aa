package rescue

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// orphans are jobs that the database says run here and that never began here: the connection died when the fetch had been
// committed and the client never learned of them.
type orphans struct {
	since map[attempt]time.Time // by our own clock
	last  time.Time
}

// adoptOrphans gives back the jobs that have been orphans over a whole stretch of looks. A job that has run here is none,
// even if its end cannot be stored for an hour.
func (p *Process) adoptOrphans(ctx context.Context, conn *pgx.Conn, o *orphans, now time.Time) error {
	if now.Sub(o.last) < p.opts.OrphanAfter/6 {
		return nil
	}
	if now.Sub(o.last) > 2*p.opts.OrphanAfter/6+maxGap {
		o.since = map[attempt]time.Time{}
	}
	o.last = now
	read := time.Now()
	running, err := p.ownRows(ctx, conn)
	if err != nil {
		return fmt.Errorf("look for own jobs: %w", err)
	}
	p.jobs.stored(read, running)
	still := map[attempt]time.Time{}
	var lost []attempt
	for a := range running {
		if p.jobs.has(a) {
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
		moved, err := p.moveJobs(ctx, conn, never, `j.id = $4 AND j.attempt = $5 AND j.attempted_at = $6 AND j.attempted_by[array_upper(j.attempted_by, 1)] = $7`,
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

// ownRows are the attempts that run here by the database's word.
func (p *Process) ownRows(ctx context.Context, conn *pgx.Conn) (map[attempt]bool, error) {
	rows, err := conn.Query(ctx, p.sql(`
		SELECT id, attempt, attempted_at FROM {river}.river_job
		 WHERE state = 'running' AND attempted_by[array_upper(attempted_by, 1)] = $1`), p.id)
	if err != nil {
		return nil, err
	}
	running := map[attempt]bool{}
	var a attempt
	_, err = pgx.ForEachRow(rows, []any{&a.id, &a.no, &a.at}, func() error {
		a.at = a.at.UTC()
		running[a] = true
		return nil
	})
	return running, err
}
