// Package retention deletes what is finished and old enough: River's jobs by outcome, runs of the ledger, rejected rows, and
// what is known of sent mails. It also fails the runs of outside code whose end never came.
//
// It takes the place of River's job cleaner, which knows neither jobs of the configuration nor "forever"; a client beside
// it must have all of River's retention periods at -1. Files in the storage are not its business: an upload stays when
// the last run that names it is deleted.
//
// Any number of processes may run a Sweeper: the one whose session is in the table leader sweeps, another takes over when
// that ends. It deletes through a further session, which is in the same table and ends with the sweep. Each statement commits by itself, deletes a bounded number of rows, waits for nobody's row lock and is
// ended by the server if it takes too long, so that neither vacuum nor a worker is held up by a large backlog.
package retention

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/migrations"
)

// Forever keeps rows for good.
const Forever time.Duration = math.MaxInt64

// Limits say how long rows are kept, counted from the end of their job or run. Zero keeps nothing that is finished.
type Limits struct {
	Succeeded time.Duration // River jobs by outcome
	Failed    time.Duration
	Cancelled time.Duration
	Runs      time.Duration // at least as long as the run's River job and its rejects, all the same
	Rejects   time.Duration
}

// Opts configures a Sweeper. Conn and Limits are required.
type Opts struct {
	// Conn says how to connect. The Sweeper opens a session for each sweep, so that nobody waits for what is deleted.
	Conn *pgx.ConnConfig
	// Session is by what the Sweeper is the one that sweeps; default: one of its own, made from Conn.
	Session *session.Keeper
	// Schema says where the tables are; default tidemill.
	Schema migrations.Schema
	// Logger receives what was deleted and what went wrong; default slog.Default().
	Logger *slog.Logger
	// Limits are for all that Jobs does not name.
	Limits Limits
	// Jobs gives limits to the jobs of the configuration that differ. A River job names its own in its metadata.
	Jobs map[string]Limits
	// Every is the time between two sweeps; default 5 minutes.
	Every time.Duration
	// Batch is the largest number of rows that one statement deletes; default 1,000.
	Batch int
	// Pause is the least time between two statements that delete; it grows with the time that they take. Default 50 ms.
	Pause time.Duration
	// OnSwept, if set, gets from Run what each sweep has deleted. It must not block.
	OnSwept func(Deleted)
}

// Deleted counts the rows that a sweep deleted, and the runs of outside code that it took for lost.
type Deleted struct {
	Jobs     int64
	Runs     int64
	Rejects  int64
	Messages int64
	Lost     int64
}

// Sweeper deletes what is due. It belongs to one goroutine.
type Sweeper struct {
	opts  Opts
	role  *session.Role
	done  func()
	conn  *pgx.Conn // that deletes, during a sweep
	swept map[string]progress
}

// New returns a Sweeper. It connects when it first sweeps.
func New(opts Opts) *Sweeper {
	opts.Schema = opts.Schema.Defaults()
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.Every = cmp.Or(opts.Every, 5*time.Minute)
	opts.Batch = cmp.Or(opts.Batch, 1000)
	opts.Pause = cmp.Or(opts.Pause, 50*time.Millisecond)
	keeper, done := session.Share(opts.Session, opts.Conn)
	opts.Conn = opts.Conn.Copy()
	session.Set(opts.Conn, map[string]string{
		"lock_timeout":      "5s",
		"statement_timeout": "30s",
		// A deletion that a crash of the server undoes is made again by the next sweep.
		"synchronous_commit": "off",
	})
	s := &Sweeper{opts: opts, done: done, swept: map[string]progress{}}
	s.role = keeper.Role(func(ctx context.Context, conn *pgx.Conn) (bool, error) { return s.lead(ctx, conn, "retention") })
	return s
}

// Run sweeps now and then until ctx ends. What goes wrong is logged, and tried again at the next sweep.
func (s *Sweeper) Run(ctx context.Context) {
	defer s.Close()
	session.NowAndThen(ctx, s.opts.Every, func(ctx context.Context) {
		began := time.Now()
		deleted, err := s.Sweep(ctx)
		if s.opts.OnSwept != nil {
			s.opts.OnSwept(deleted)
		}
		if deleted != (Deleted{}) {
			s.opts.Logger.InfoContext(ctx, "deleted what was kept long enough", "jobs", deleted.Jobs, "runs", deleted.Runs,
				"rejects", deleted.Rejects, "messages", deleted.Messages, "lost", deleted.Lost, "seconds", time.Since(began).Seconds())
		}
		if err != nil && !errors.Is(err, session.ErrElsewhere) && ctx.Err() == nil {
			s.opts.Logger.WarnContext(ctx, "delete what was kept long enough; it will be retried", "error", err)
		}
	})
}

// Close ends the Sweeper's own session, if it has one, so that another process may sweep.
func (s *Sweeper) Close() { s.done() }
