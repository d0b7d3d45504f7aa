package dbclock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Clock is the database's clock as this process knows it: what the database said last, plus what has passed since then on
// this machine's monotonic clock, which nobody sets. The zero value returns this machine's time. It may be
// used by many goroutines.
type Clock struct {
	mu    sync.Mutex
	known *reading
}

// reading is one answer of the database.
type reading struct {
	db     time.Time     // the database's clock …
	at     time.Time     // … at this moment of ours, with its monotonic reading
	unsure time.Duration // by how much db may be off, either way: half of the round trip
}

// drift is by how much two clocks may come apart; common ones keep to a tenth of it.
const drift = 500e-6

// fresh reports whether At may go by a reading after that time on the monotonic clock and on the wall clock. If the two are apart,
// this machine was set or, worse, has slept, while the database went on.
func fresh(monotonic, wall time.Duration) bool {
	return monotonic < time.Minute && (wall-monotonic).Abs() < time.Second
}

func (r *reading) time(now time.Time) time.Time { return r.db.Add(now.Sub(r.at)) }

func (r *reading) unsureAt(now time.Time) time.Duration {
	return r.unsure + time.Duration(drift*float64(now.Sub(r.at)))
}

// Now is the time by the database's clock.
func (c *Clock) Now() time.Time {
	known, now := c.last(), time.Now()
	if known == nil {
		return now
	}
	return known.time(now)
}

// NowOrNil is nil: it is River's way to let statements use the database's own now().
func (*Clock) NowOrNil() *time.Time { return nil }

// Skew is how far this machine's clock is ahead of the database's; negative: behind. It may be off by unsure, either way.
// Before anything is known both are 0.
func (c *Clock) Skew() (skew, unsure time.Duration) {
	known, now := c.last(), time.Now()
	if known == nil {
		return 0, 0
	}
	return now.Round(0).Sub(known.time(now)), known.unsureAt(now) // Round: what the machine's wall clock says
}

// Learn takes an answer of the database: its clock showed db at some moment between sent and received, which are of time.Now.
//
// An answer that took long says less than an earlier one that was quick, and is left aside unless the two contradict each
// other: then the database's clock was set, or another server answers, or this machine slept.
func (c *Clock) Learn(db, sent, received time.Time) {
	unsure := received.Sub(sent) / 2
	next := &reading{db: db.Round(0).Add(unsure), at: received, unsure: unsure}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known != nil {
		held := c.known.unsureAt(received)
		apart := next.db.Sub(c.known.time(received)).Abs()
		if unsure > held && apart <= unsure+held {
			return
		}
	}
	c.known = next
}

func (c *Clock) last() *reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// Querier is a pool, a connection or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Ask learns from the database and returns its time.
func (c *Clock) Ask(ctx context.Context, db Querier) (time.Time, error) {
	var said time.Time
	sent := time.Now()
	// Without a name for the statement, which a pooler could know already.
	if err := db.QueryRow(ctx, "SELECT clock_timestamp()", pgx.QueryExecModeSimpleProtocol).Scan(&said); err != nil {
		return time.Time{}, fmt.Errorf("ask for the database's time: %w", err)
	}
	c.Learn(said, sent, time.Now())
	return c.Now(), nil
}

// At is Now if the database was asked a moment ago, as it is by a process that beats; otherwise it asks first.
func (c *Clock) At(ctx context.Context, db Querier) (time.Time, error) {
	known, now := c.last(), time.Now()
	if known != nil && fresh(now.Sub(known.at), now.Round(0).Sub(known.at.Round(0))) {
		return known.time(now), nil
	}
	return c.Ask(ctx, db)
}
