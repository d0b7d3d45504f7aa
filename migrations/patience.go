package migrations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// patience is for how long a lock that others hold is asked for again.
	patience = 90 * time.Second
	// firstWait and longestWait bound one try, and with it for how long those who come later wait behind us.
	firstWait, longestWait = 500 * time.Millisecond, 4 * time.Second
	// longestPause lets those continue who have waited behind us.
	longestPause = 5 * time.Second
)

// Change is a transaction that alters what others use at the same time.
type Change struct {
	Doing  string // for messages
	Schema Schema
	// Lock are the tables that are locked before Do, in this order, and in what mode; unquoted names in the schemas {tidemill} or {river}.
	Lock []TableLock
	// Do may be called more than once, each time in a new transaction.
	Do     func(ctx context.Context, tx pgx.Tx) error
	Logger *slog.Logger // nil: waiting is not logged
}

// TableLock is a lock of a whole table.
type TableLock struct {
	Table string // like {tidemill}.run
	Mode  string // like ACCESS EXCLUSIVE
}

// Run commits the change, or returns why not. Whoever asks for a strong lock makes all wait that come later, even if it is not
// given for as long as somebody's transaction is open. So it is asked for again and again, each time for a moment and with a pause after it.
// While more than one lock is wanted the moment is shorter than the server takes to look for a deadlock, so that it is
// always this side that gives way.
func (c Change) Run(ctx context.Context, conn *pgx.Conn) error {
	var deadlock time.Duration
	if err := conn.QueryRow(ctx, `SELECT (setting || 'ms')::interval FROM pg_settings WHERE name = 'deadlock_timeout'`).Scan(&deadlock); err != nil {
		return fmt.Errorf("%s: %w", c.Doing, err)
	}
	return c.retry(ctx, conn, func(wait time.Duration) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			until := time.Now().Add(wait)
			for i, lock := range c.Lock {
				if i == 1 {
					until = earlier(until, time.Now().Add(deadlock*3/4))
				}
				if err := lockTimeout(ctx, tx, time.Until(until)); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, c.Schema.SQL("LOCK TABLE "+lock.Table+" IN "+lock.Mode+" MODE")); err != nil {
					return err
				}
			}
			if err := lockTimeout(ctx, tx, min(wait, deadlock*3/4)); err != nil {
				return err
			}
			return c.Do(ctx, tx)
		})
	})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func lockTimeout(ctx context.Context, tx pgx.Tx, wait time.Duration) error {
	_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", max(wait.Milliseconds(), 10)))
	return err
}

// retry calls try, which waits for no lock longer than it is allowed to, until it is given what it asks for, or patience ends. conn
// finds out who is in the way.
func (c Change) retry(ctx context.Context, conn *pgx.Conn, try func(wait time.Duration) error) error {
	var blocked *BlockedError
	for began, n := time.Now(), 0; ; n++ {
		err := try(min(firstWait<<min(n/2, 10), longestWait))
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil && blocked != nil:
			return blocked
		case !lockedOut(err):
			return fmt.Errorf("%s: %w", c.Doing, err)
		}
		who, whoErr := c.holders(ctx, conn)
		blocked = &BlockedError{Doing: c.Doing, Holders: who, Err: errors.Join(err, whoErr), Waited: time.Since(began)}
		if blocked.Waited >= patience {
			return blocked
		}
		if c.Logger != nil {
			c.Logger.WarnContext(ctx, c.Doing+" waits for a lock; it is tried again", "held_by", blocked.who(), "waited", blocked.Waited.Round(time.Second).String())
		}
		select {
		case <-time.After(min(firstWait<<min(n, 10), longestPause)):
		case <-ctx.Done():
			return blocked
		}
	}
}

// lockedOut reports whether the server gave up a wait for a lock.
func lockedOut(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "40P01")
}
