package tidemill

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/metrics"
)

// Now is the time by the database's clock, by which jobs are due; this machine's may be wrong. A worker process updates it
// with each beat. Others asked when they connected: for them it is as good as the two clocks keep pace.
func (a *App) Now() time.Time { return a.clock.Now() }

// byDatabaseClock makes a River client take its time from the database's clock. River reads it for all that it writes as a
// due time, retries and snoozes among them, and for what its leader takes for due.
func (a *App) byDatabaseClock() river.TestConfig { return river.TestConfig{Time: &a.clock} }

// timeAt is the database's time, asked for through tx unless it is known well enough.
func (a *App) timeAt(ctx context.Context, tx pgx.Tx) (time.Time, error) { return a.clock.At(ctx, tx) }

// learnClock takes what the database says of its clock with each beat, from one process id after the other.
func (a *App) learnClock(ctx context.Context, watch *watch) func(db, sent, received time.Time) {
	return func(db, sent, received time.Time) {
		a.clock.Learn(db, sent, received)
		skew, unsure := a.clock.Skew()
		watch.skew.see(ctx, skew, unsure)
	}
}

// A clock that is off by more than skewed is reported, until it is off by less than half of that.
const skewed = 5 * time.Second

// skewWatch tells when this machine's clock and the database's come apart, and when they agree again.
type skewWatch struct {
	logger  *slog.Logger
	metrics *metrics.Metrics

	mu   sync.Mutex
	told bool
}

// see takes the skew, as of dbclock.Clock, after each answer of the database.
func (w *skewWatch) see(ctx context.Context, skew, unsure time.Duration) {
	w.metrics.SetClockSkew(skew)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.told && skew.Abs()-unsure > skewed:
		w.told = true
		direction := "ahead of"
		if skew < 0 {
			direction = "behind"
		}
		w.logger.WarnContext(ctx, "this machine's clock is "+direction+" the database's; jobs go by the database's, but set it right, for example with chrony",
			"seconds", skew.Abs().Round(time.Millisecond).Seconds())
	case w.told && skew.Abs() < skewed/2:
		w.told = false
		w.logger.InfoContext(ctx, "this machine's clock agrees with the database's again", "seconds", skew.Abs().Round(time.Millisecond).Seconds())
	}
}
