package tidemill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Programs that insert with River's own driver date their jobs by their machine's clock. If that is fast, a job that should run
// at once waits until the database's clock catches up.

// lookAhead is how often a worker checks for such jobs; redateWarning is after how many checks it warns again.
const (
	lookAhead     = 5 * time.Second
	redateWarning = int(time.Hour / lookAhead)
)

// redateAhead makes jobs due whose time of insertion is in the future, until ctx ends. A job that was scheduled for later on
// purpose was inserted before now, and keeps its time.
//
// A trigger would do it at once, but a COPY of jobs takes half as long again with one.
func (a *App) redateAhead(ctx context.Context, queues map[string]int) {
	tick := time.NewTicker(lookAhead)
	defer tick.Stop()
	names := slices.Sorted(maps.Keys(queues))
	for quiet := 0; ; quiet-- {
		n, err := a.redate(ctx, names)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.logger.WarnContext(ctx, "look for jobs whose insertion is dated ahead", "error", err)
		case n > 0 && quiet <= 0:
			a.logger.WarnContext(ctx, "jobs were inserted by a program whose machine's clock is fast; they are due now", "jobs", n)
			quiet = redateWarning
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// redate looks at 1,000 jobs of each queue and priority at most, by River's index for fetching.
func (a *App) redate(ctx context.Context, queues []string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lookAhead)
	defer cancel()
	tag, err := a.Pool.Exec(ctx, a.schema.SQL(`
		WITH ahead AS (
			SELECT f.id FROM unnest($1::text[]) q (queue), (VALUES (1), (2), (3), (4)) p (priority), LATERAL (
				SELECT j.id, j.created_at FROM {river}.river_job j
				 WHERE j.state = 'available' AND j.queue = q.queue AND j.priority = p.priority AND j.scheduled_at > now() + interval '1 s'
				 ORDER BY j.state, j.queue, j.priority, j.scheduled_at LIMIT 1000) f
			 WHERE f.created_at > now() + interval '1 s'),
		free AS (SELECT j.id FROM {river}.river_job j WHERE j.id IN (SELECT id FROM ahead) AND j.state = 'available' ORDER BY j.id FOR UPDATE SKIP LOCKED)
		UPDATE {river}.river_job j SET created_at = now(), scheduled_at = now() FROM free WHERE j.id = free.id`), queues)
	if err != nil {
		return 0, fmt.Errorf("date jobs again: %w", err)
	}
	return tag.RowsAffected(), nil
}
