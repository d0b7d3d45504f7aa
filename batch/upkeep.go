package batch

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/migrations"
)

const (
	// countEvery is how often one process counts the ends of children at most.
	countEvery = 500 * time.Millisecond
	// vacuumAfter is how many rows a count takes without vacuuming the table.
	vacuumAfter = 1000
)

// UpkeepOpts configures an Upkeep. Only Conn is required.
type UpkeepOpts struct {
	// Conn says how to reach the database.
	Conn *pgx.ConnConfig
	// Session is shared with other loops; default: one of its own, made from Conn.
	Session *session.Keeper
	// Schema says where the tables are; default tidemill.
	Schema migrations.Schema
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Poll is how often it looks what there is to do; default 1 s.
	Poll time.Duration
}

// Upkeep starts what follows runs that have ended, counts the children of runs and cancels those of cancelled ones. Any number of
// processes may run one on the same database, and none of them leads.
type Upkeep struct {
	opts    UpkeepOpts
	counted time.Time // when this process last counted children
}

// NewUpkeep returns an Upkeep. Its Run does the work.
func NewUpkeep(opts UpkeepOpts) *Upkeep {
	opts.Schema = opts.Schema.Defaults()
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.Poll = cmp.Or(opts.Poll, time.Second)
	return &Upkeep{opts: opts}
}

// Run works until ctx ends. What goes wrong is logged and tried again.
func (u *Upkeep) Run(ctx context.Context) {
	keeper, done := session.Share(u.opts.Session, u.opts.Conn)
	defer done()
	failed := func(err error) {
		u.opts.Logger.WarnContext(ctx, "look for runs that have ended; it will be retried", "error", err)
	}
	keeper.Loop(ctx, failed, u.step)
}

// step does what there is to do, and returns how long to wait before the next.
func (u *Upkeep) step(ctx context.Context, conn *pgx.Conn) (time.Duration, error) {
	var ended, counts, cancels bool
	err := conn.QueryRow(ctx, u.opts.Schema.SQL(`
		SELECT EXISTS (SELECT FROM {tidemill}.event WHERE next_at <= clock_timestamp()),
		       EXISTS (SELECT FROM {tidemill}.child_delta),
		       EXISTS (SELECT FROM {tidemill}.child_cancel WHERE next_at <= clock_timestamp())`)).Scan(&ended, &counts, &cancels)
	if err != nil {
		return 0, fmt.Errorf("look for runs that have ended: %w", err)
	}
	if ended {
		if err := u.follow(ctx, conn); err != nil {
			return 0, err
		}
	}
	wait := u.opts.Poll
	if cancels {
		var more bool
		if err := conn.QueryRow(ctx, u.opts.Schema.SQL(`SELECT {tidemill}.cancel_waiting_children($1)`), cancelledAtOnce).Scan(&more); err != nil {
			return 0, fmt.Errorf("cancel children: %w", err)
		}
		if more {
			wait = 0
		}
	}
	if !counts {
		return wait, nil
	}
	if left := countEvery - time.Since(u.counted); left > 0 {
		return min(wait, left), nil
	}
	u.counted = time.Now()
	return min(wait, countEvery), u.count(ctx, conn)
}

// count brings the counts of runs that have children up to date, and starts what follows those that have ended by that.
func (u *Upkeep) count(ctx context.Context, conn *pgx.Conn) error {
	var taken, ended int
	if err := conn.QueryRow(ctx, u.opts.Schema.SQL(`SELECT taken, ended FROM {tidemill}.fold_children()`)).Scan(&taken, &ended); err != nil {
		return fmt.Errorf("count children: %w", err)
	}
	if taken >= vacuumAfter {
		// Autovacuum comes once a minute, and each look until then would go through all the rows that were taken.
		if _, err := conn.Exec(ctx, u.opts.Schema.SQL(`VACUUM (SKIP_LOCKED, TRUNCATE false) {tidemill}.child_delta`)); err != nil {
			return fmt.Errorf("count children: vacuum: %w", err)
		}
	}
	if ended == 0 {
		return nil
	}
	return u.follow(ctx, conn)
}

// follow starts what follows the runs that have ended.
func (u *Upkeep) follow(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, u.opts.Schema.SQL(`SELECT run, problem FROM {tidemill}.follow_events()`))
	if err != nil {
		return fmt.Errorf("start what follows runs: %w", err)
	}
	var run int64
	var problem string
	_, err = pgx.ForEachRow(rows, []any{&run, &problem}, func() error {
		u.opts.Logger.WarnContext(ctx, "start what follows a run; it will be retried", "run_id", run, "error", problem)
		return nil
	})
	if err != nil {
		return fmt.Errorf("start what follows runs: %w", err)
	}
	return nil
}
