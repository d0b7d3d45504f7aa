package periodic

import (
	"context"
	"fmt"
	"time"
)

const (
	// countEvery is how often one process counts the ends of children at most.
	countEvery = 500 * time.Millisecond
	// vacuumAfter is how many rows a count takes without vacuuming the table.
	vacuumAfter = 1000
	// cancelledAtOnce bounds how long a step of the scheduler is held up by the cancellation of children.
	cancelledAtOnce = 1000
)

// children brings the counts of runs that have children up to date, starts what follows those that have ended by that, and
// cancels the children of cancelled runs. It returns how long to wait at most before the next look.
func (s *Scheduler) children(ctx context.Context, due *dueNow) (time.Duration, error) {
	wait := s.opts.Poll
	if due.Cancels {
		var more bool
		if err := s.conn.QueryRow(ctx, s.opts.Schema.SQL(`SELECT {tidemill}.cancel_waiting_children($1)`), cancelledAtOnce).Scan(&more); err != nil {
			return 0, fmt.Errorf("cancel children: %w", err)
		}
		if more {
			wait = 0
		}
	}
	if !due.Counts {
		return wait, nil
	}
	if left := countEvery - time.Since(s.counted); left > 0 {
		return min(wait, left), nil
	}
	s.counted = time.Now()
	var taken, ended int
	if err := s.conn.QueryRow(ctx, s.opts.Schema.SQL(`SELECT taken, ended FROM {tidemill}.fold_children()`)).Scan(&taken, &ended); err != nil {
		return 0, fmt.Errorf("count children: %w", err)
	}
	if taken >= vacuumAfter {
		// Autovacuum comes once a minute, and each look until then would go through all the rows that were taken.
		if _, err := s.conn.Exec(ctx, s.opts.Schema.SQL(`VACUUM (SKIP_LOCKED, TRUNCATE false) {tidemill}.child_delta`)); err != nil {
			return 0, fmt.Errorf("count children: vacuum: %w", err)
		}
	}
	if ended > 0 {
		if err := s.follow(ctx); err != nil {
			return 0, fmt.Errorf("start what follows runs: %w", err)
		}
	}
	return min(wait, countEvery), nil
}
