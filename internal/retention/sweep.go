package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tidemill/tidemill/internal/session"
)

// electTimeout bounds how long a sweep keeps the session that it shares: on a connection that does not answer any more nobody else
// could lead by it either.
const electTimeout = 10 * time.Second

// Sweep deletes all that is due now, and returns what it has deleted even if it could not finish; session.ErrElsewhere while another
// process sweeps.
func (s *Sweeper) Sweep(ctx context.Context) (Deleted, error) {
	var deleted Deleted
	// The database's clock decides: it has stamped most of what is compared with it.
	var now time.Time
	electing, cancel := context.WithTimeout(ctx, electTimeout)
	defer cancel()
	err := s.role.Lead(electing, func(ctx context.Context, conn *pgx.Conn) error {
		if err := conn.QueryRow(ctx, "SELECT now()").Scan(&now); err != nil {
			return fmt.Errorf("read the time: %w", err)
		}
		return nil
	})
	if err != nil {
		return deleted, err
	}
	if err := s.begin(ctx); err != nil {
		return deleted, err
	}
	defer s.end()
	// In this order each finds what the one before has set free. A step that fails, by its time limit for example, does
	// not keep the others from their work.
	var failed []error
	for _, step := range []func(context.Context, time.Time, *Deleted) error{s.lost, s.jobs, s.rejects, s.runs, s.messages} {
		if err := step(ctx, now, &deleted); err != nil {
			failed = append(failed, err)
		}
		if s.over(ctx) {
			break
		}
	}
	return deleted, errors.Join(failed...)
}

// over reports whether nothing more can be done in this sweep.
func (s *Sweeper) over(ctx context.Context) bool { return ctx.Err() != nil || s.conn.IsClosed() }

// begin opens the session that deletes. It leads in a role of its own, so that what a process still deletes that has lost the first
// keeps others from deleting beside it.
func (s *Sweeper) begin(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, s.opts.Conn)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s.conn = conn
	elected, err := s.lead(ctx, conn, "retention sweep")
	if err == nil && !elected {
		err = session.ErrElsewhere
	}
	if err != nil {
		s.end()
	}
	return err
}

func (s *Sweeper) lead(ctx context.Context, conn *pgx.Conn, role string) (elected bool, err error) {
	if err := conn.QueryRow(ctx, s.opts.Schema.SQL(`SELECT {tidemill}.lead($1)`), role).Scan(&elected); err != nil {
		return false, fmt.Errorf("try to become the one that sweeps: %w", err)
	}
	return elected, nil
}

func (s *Sweeper) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // the server notices by itself at the latest when it next writes
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
		if err := session.Sleep(ctx, max(s.opts.Pause, time.Since(began))); err != nil {
			return err
		}
		if tag.RowsAffected() < int64(s.opts.Batch) {
			return nil
		}
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
