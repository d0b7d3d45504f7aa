package retention

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// window is how many rows of one state, whatever their job, a statement looks through at most, but for those that ended
// in the same microsecond.
const window = 10_000

// Late arrivals: a worker stamps finalized_at by its own clock, and River writes it a little later.
const (
	slack     = time.Hour
	fullEvery = 24 * time.Hour
)

// progress is how far passes of one kind have come. The next needs to look only at what has ended since: the rest is gone
// or belongs to other passes.
type progress struct {
	through time.Time // all that ended before was looked at
	fullAt  time.Time // when a pass last began at the beginning
}

// pass deletes River jobs of one state and one limit.
type pass struct {
	state string
	limit time.Duration
	names []string // of jobs
	only  bool     // those of names, or else all but those
}

func (p pass) key() string { return fmt.Sprint(p.state, p.limit, p.only) }

// passes are one for what has the common limit, and one for each other limit that jobs have.
func (s *Sweeper) passes() []pass {
	var all []pass
	for _, outcome := range []struct {
		state string
		limit func(Limits) time.Duration
	}{
		{"completed", func(l Limits) time.Duration { return l.Succeeded }},
		{"cancelled", func(l Limits) time.Duration { return l.Cancelled }},
		{"discarded", func(l Limits) time.Duration { return l.Failed }},
	} {
		common := pass{state: outcome.state, limit: outcome.limit(s.opts.Limits), names: []string{}}
		own := map[time.Duration][]string{}
		for _, name := range slices.Sorted(maps.Keys(s.opts.Jobs)) {
			if limit := outcome.limit(s.opts.Jobs[name]); limit != common.limit {
				own[limit] = append(own[limit], name)
				common.names = append(common.names, name)
			}
		}
		all = append(all, common)
		for _, limit := range slices.Sorted(maps.Keys(own)) {
			all = append(all, pass{state: outcome.state, limit: limit, names: own[limit], only: true})
		}
	}
	return slices.DeleteFunc(all, func(p pass) bool { return p.limit == Forever })
}

func (s *Sweeper) jobs(ctx context.Context, now time.Time, deleted *Deleted) error {
	var failed []error
	for _, p := range s.passes() {
		if err := s.pass(ctx, now, p, &deleted.Jobs); err != nil {
			failed = append(failed, fmt.Errorf("delete %s jobs: %w", p.state, err))
		}
		if s.over(ctx) {
			break
		}
	}
	return errors.Join(failed...)
}

// pass walks along River's index on state and finalized_at, window by window, so that rows that other jobs keep for long
// cost one look each and not one for each statement.
func (s *Sweeper) pass(ctx context.Context, now time.Time, p pass, count *int64) error {
	done := s.swept[p.key()]
	from := done.through.Add(-slack)
	if now.Sub(done.fullAt) >= fullEvery {
		from, done.fullAt = time.Time{}, now
	}
	due := now.Add(-p.limit)
	for last := false; !last; {
		through, err := s.windowEnd(ctx, p, from, due)
		if errors.Is(err, pgx.ErrNoRows) {
			through, last = due.Add(-time.Microsecond), true // the resolution of the server
		} else if err != nil {
			return err
		}
		err = s.batches(ctx, count, `
			DELETE FROM {river}.river_job WHERE id = ANY(ARRAY(
				SELECT id FROM {river}.river_job
				 WHERE `+p.where()+` AND finalized_at > $2 AND finalized_at <= $3
				   AND (coalesce(metadata->'tidemill'->>'job', '') = ANY($4)) = $5
				 LIMIT $1 FOR UPDATE SKIP LOCKED))`, from, through, p.names, p.only)
		if err != nil {
			return err
		}
		from = through
	}
	done.through = due
	s.swept[p.key()] = done
	return nil
}

// windowEnd is when the last job of the window that begins after from ended; pgx.ErrNoRows if the window is not full.
func (s *Sweeper) windowEnd(ctx context.Context, p pass, from, due time.Time) (time.Time, error) {
	var end time.Time
	err := s.conn.QueryRow(ctx, s.opts.Schema.SQL(`
		SELECT finalized_at FROM {river}.river_job
		 WHERE `+p.where()+` AND finalized_at > $1 AND finalized_at < $2
		 ORDER BY finalized_at OFFSET $3 LIMIT 1`), from, due, window-1).Scan(&end)
	return end, err
}

// where is written out: as a parameter the state would hide from the planner how common it is.
func (p pass) where() string { return "state = '" + p.state + "'" }
