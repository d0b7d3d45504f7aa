package metrics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/session"
)

const (
	maxInterval = 5 * time.Minute
	// candidacy is how often a process that does not report tries to become the one that does. It bounds how long nobody
	// reports when the one that did is gone.
	candidacy = 5 * time.Second
	// turnTimeout bounds what one turn may take in all, a dead network included.
	turnTimeout = 30 * time.Second
)

// Report reads the state of the cluster again and again, if this process is the one that holds the lock for it, and
// otherwise tries to become that one. It works on a connection of its own, made from conn, which must reach PostgreSQL
// directly or through a session pooler. It runs until ctx ends, then gives the lock up and returns nil; a database that is
// away is waited for.
//
// A reporter whose session ends says nothing from that moment on, and another process reports within 6 s, or the same
// one within 12 s if there is no other. If its machine loses the network or its power, the server has to find that out
// first, which takes it 10 s.
//
// One slow database must not be slowed down more: a refresh that runs into its time limit doubles the interval, up to
// 5 minutes, and one that does not halves it again.
func (m *Metrics) Report(ctx context.Context, conn *pgx.ConnConfig) error {
	if conn == nil {
		return errors.New("metrics: Report needs a connection configuration")
	}
	keeper := session.NewKeeper(conn, m.sessionSettings)
	defer keeper.Close()
	m.ReportOn(ctx, keeper)
	return nil
}

func (m *Metrics) sessionSettings() map[string]string {
	if m.opts.SessionName == nil {
		return nil
	}
	if name := m.opts.SessionName(); name != "" {
		return map[string]string{"application_name": name}
	}
	return nil
}

// ReportOn is Report on a session that other loops use, too, and that is named already.
func (m *Metrics) ReportOn(ctx context.Context, keeper *session.Keeper) {
	r := m.newReporter(keeper)
	defer r.leave(ctx)
	session.Loop(ctx, func(ctx context.Context) time.Duration {
		if err := r.turn(ctx); err != nil {
			r.failed(ctx, err)
		}
		if err := r.role.Wait(ctx, r.next()); err != nil {
			r.failed(ctx, err)
			r.leave(ctx)
			return 2 * r.next() // another process may fare better, and should have had its try by then
		}
		return 0
	})
}

// reporter belongs to the goroutine of Report.
type reporter struct {
	metrics  *Metrics
	role     *session.Role // the lock, which ends with the session and in no other way
	interval time.Duration

	successes map[string]time.Time // by configured job, as far as this reporter knows
}

func (m *Metrics) newReporter(keeper *session.Keeper) *reporter {
	return &reporter{metrics: m, role: keeper.Role(m.elect), interval: m.opts.Interval}
}

// next is how long to wait for the next turn.
func (r *reporter) next() time.Duration {
	if r.role.Leads() {
		return session.Jitter(r.interval)
	}
	return session.Jitter(min(r.interval, candidacy))
}

func (r *reporter) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	r.metrics.refreshErrs.Inc()
	r.metrics.opts.Logger.WarnContext(ctx, "metrics of the cluster were not refreshed", "error", err)
}

func (r *reporter) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	err := r.role.Lead(ctx, r.refresh)
	switch {
	case err == nil:
		r.interval = max(r.metrics.opts.Interval, r.interval/2)
	case errors.Is(err, session.ErrElsewhere):
		r.interval = max(r.metrics.opts.Interval, r.interval/2)
		r.leave(ctx) // a session that ended a moment ago may have led
		return nil
	case timedOut(err) && r.role.Leads():
		// What was read last is shown until it is too old.
		r.interval = min(2*r.interval, max(maxInterval, r.metrics.opts.Interval))
	default:
		// Another process may fare better, or report already.
		r.leave(ctx)
	}
	return err
}

func (r *reporter) refresh(ctx context.Context, conn *pgx.Conn) error {
	s, err := r.metrics.read(ctx, conn)
	if err != nil {
		return err
	}
	r.remember(s)
	c := r.metrics.cluster
	c.latest.Store(c.snapshot(s, 3*r.interval))
	return nil
}

// elect tries to make the session the one that reports.
func (m *Metrics) elect(ctx context.Context, conn *pgx.Conn) (elected bool, err error) {
	schema := m.opts.Schema
	err = conn.QueryRow(ctx, schema.SQL(`SELECT {tidemill}.lead('metrics')`)).Scan(&elected)
	if withoutTables(err) {
		const try = `SELECT pg_try_advisory_lock(hashtextextended('tidemill metrics ' || $1, 0))`
		err = conn.QueryRow(ctx, try, schema.Name+" "+schema.River).Scan(&elected)
	}
	if err != nil {
		return false, fmt.Errorf("try to become the reporter: %w", err)
	}
	if elected {
		m.reporter.Set(1)
		m.opts.Logger.InfoContext(ctx, "this process reports the metrics of the cluster")
	}
	return elected, nil
}

// withoutTables reports whether Tidemill has no tables here, and River is watched alone.
func withoutTables(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "3F000" || pgErr.Code == "42883")
}

// leave gives the lock up and forgets what was read under it, so that two processes do not both tell.
func (r *reporter) leave(ctx context.Context) {
	r.metrics.cluster.latest.Store(nil)
	r.metrics.reporter.Set(0)
	r.role.Leave(ctx)
}

// timedOut reports whether the server ended a statement at its time limit.
func timedOut(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "57014"
}
