package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Sweep deletes all that is due now, and returns what it has deleted even if it could not finish.
func (s *Sweeper) Sweep(ctx context.Context) (Deleted, error) {
	var deleted Deleted
	if err := s.elect(ctx); err != nil {
		return deleted, err
	}
	// The database's clock decides: it has stamped most of what is compared with it.
	var now time.Time
	if err := s.conn.QueryRow(ctx, "SELECT now()").Scan(&now); err != nil {
		s.Close()
		return deleted, fmt.Errorf("read the time: %w", err)
	}
	// In this order each finds what the one before has set free. A step that fails, by its time limit for example, does
	// not keep the others from their work.
	var failed []error
	for _, step := range []func(context.Context, time.Time, *Deleted) error{s.lost, s.jobs, s.rejects, s.runs, s.messages} {
		if err := step(ctx, now, &deleted); err != nil {
			failed = append(failed, err)
		}
		if s.over(ctx) {
			s.Close()
			break
		}
	}
	return deleted, errors.Join(failed...)
}

// over reports whether nothing more can be done in this sweep.
func (s *Sweeper) over(ctx context.Context) bool { return ctx.Err() != nil || s.conn.IsClosed() }

// elect makes this the session that sweeps, if no other is.
func (s *Sweeper) elect(ctx context.Context) error {
	if s.conn != nil && !s.conn.IsClosed() {
		return nil
	}
	conn, err := pgx.ConnectConfig(ctx, s.opts.Conn)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s.conn = conn
	var elected bool
	if err := conn.QueryRow(ctx, s.opts.Schema.SQL(`SELECT {tidemill}.lead('retention')`)).Scan(&elected); err != nil {
		s.Close()
		return fmt.Errorf("try to become the one that sweeps: %w", err)
	}
	if !elected {
		s.Close()
		return ErrElsewhere
	}
	return nil
}

// batches repeats a statement that deletes at most $1 rows until it finds fewer, and adds them to count. args begin at $2.
func (s *Sweeper) batches(ctx context.Context, count *int64, query string, args ...any) error {
	args = append([]any{s.opts.Batch}, args...)
	for {
		began := time.Now()
		tag, err := s.conn.Exec(ctx, s.opts.Schema.SQL(query), args...)
		if err != nil {
			return err
		}
		*count += tag.RowsAffected()
		if tag.RowsAffected() == 0 {
			return nil
		}
		// Half of the time belongs to the others, however slow the disk is.
		if err := pause(ctx, max(s.opts.Pause, time.Since(began))); err != nil {
			return err
		}
		if tag.RowsAffected() < int64(s.opts.Batch) {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cutoffs are the times before which what has ended is due, in the form in which the statements take them.
type cutoffs struct {
	others pgtype.Timestamptz // of jobs without a limit of their own
	names  []string
	times  []pgtype.Timestamptz // of names
	latest pgtype.Timestamptz   // nothing that is younger is due
}

// cutoffs applies one of the limits, the one that pick returns.
func (s *Sweeper) cutoffs(now time.Time, pick func(Limits) time.Duration) cutoffs {
	c := cutoffs{others: cutoff(now, pick(s.opts.Limits)), names: []string{}, times: []pgtype.Timestamptz{}}
	c.latest = c.others
	for name, limits := range s.opts.Jobs {
		at := cutoff(now, pick(limits))
		c.names = append(c.names, name)
		c.times = append(c.times, at)
		if at.InfinityModifier == pgtype.Finite && (c.latest.InfinityModifier != pgtype.Finite || at.Time.After(c.latest.Time)) {
			c.latest = at
		}
	}
	return c
}

// never reports whether nothing is ever due.
func (c cutoffs) never() bool { return c.latest.InfinityModifier != pgtype.Finite }

func cutoff(now time.Time, limit time.Duration) pgtype.Timestamptz {
	if limit == Forever {
		return pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	}
	return pgtype.Timestamptz{Time: now.Add(-limit), Valid: true}
}
