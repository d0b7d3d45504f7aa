package metrics

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	turnTimeout  = 30 * time.Second
	closeTimeout = 2 * time.Second
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
	r := &reporter{metrics: m, config: conn.Copy(), interval: m.opts.Interval}
	defer r.close(ctx)
	for {
		if err := r.turn(ctx); err != nil {
			r.failed(ctx, err)
		}
		if err := r.wait(ctx); err != nil {
			r.failed(ctx, err)
			r.close(ctx)
			// Another process may fare better, and should have had its try by then.
			_ = sleep(ctx, 2*r.next())
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// reporter belongs to the goroutine of Report.
type reporter struct {
	metrics  *Metrics
	config   *pgx.ConnConfig
	interval time.Duration

	// conn holds the lock while elected. The lock ends with the session, and in no other way.
	conn    *pgx.Conn
	elected bool
	named   string // the session's name, if it was given one

	successes map[string]time.Time // by configured job, as far as this reporter knows
}

// next is how long to wait for the next turn.
func (r *reporter) next() time.Duration {
	if r.elected {
		return jitter(r.interval)
	}
	return jitter(min(r.interval, candidacy))
}

// wait waits for the next turn. One that reports listens on its session meanwhile: another process has the lock as soon as
// that has ended, and two must not both tell.
func (r *reporter) wait(ctx context.Context) error {
	if !r.elected {
		return sleep(ctx, r.next())
	}
	waiting, cancel := context.WithTimeout(ctx, r.next())
	defer cancel()
	for {
		// Nothing is listened to, so all that can come is the end.
		_, err := r.conn.WaitForNotification(waiting)
		switch {
		case r.conn.IsClosed():
			return fmt.Errorf("the session has ended: %w", err)
		case waiting.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
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
	err := r.refresh(ctx)
	switch {
	case err == nil:
		r.interval = max(r.metrics.opts.Interval, r.interval/2)
	case r.elected && timedOut(err) && !r.conn.IsClosed():
		// What was read last is shown until it is too old.
		r.interval = min(2*r.interval, max(maxInterval, r.metrics.opts.Interval))
	default:
		// Another process may fare better, or report already.
		r.close(ctx)
	}
	return err
}

func (r *reporter) refresh(ctx context.Context) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	if err := r.elect(ctx); err != nil || !r.elected {
		return err
	}
	s, err := r.metrics.read(ctx, r.conn)
	if err != nil {
		return err
	}
	r.remember(s)
	c := r.metrics.cluster
	c.latest.Store(c.snapshot(s, 3*r.interval))
	return nil
}

// vigilance lets the server notice within 10 s that the other end of the session is gone, and free the lock.
const vigilance = `SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3`

func (r *reporter) connect(ctx context.Context) error {
	if r.conn == nil {
		conn, err := pgx.ConnectConfig(ctx, r.config)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		r.conn, r.named = conn, ""
		if _, err := conn.Exec(ctx, vigilance); err != nil {
			return fmt.Errorf("set up the session: %w", err)
		}
	}
	if r.metrics.opts.SessionName == nil {
		return nil
	}
	name := r.metrics.opts.SessionName()
	if name == "" || name == r.named {
		return nil
	}
	if err := session.Apply(ctx, r.conn.PgConn(), map[string]string{"application_name": name}); err != nil {
		return fmt.Errorf("name the session: %w", err)
	}
	r.named = name
	return nil
}

func (r *reporter) elect(ctx context.Context) error {
	if r.elected {
		return nil
	}
	schema := r.metrics.opts.Schema
	err := r.conn.QueryRow(ctx, schema.SQL(`SELECT {tidemill}.lead('metrics')`)).Scan(&r.elected)
	if withoutTables(err) {
		const try = `SELECT pg_try_advisory_lock(hashtextextended('tidemill metrics ' || $1, 0))`
		err = r.conn.QueryRow(ctx, try, schema.Name+" "+schema.River).Scan(&r.elected)
	}
	if err != nil {
		return fmt.Errorf("try to become the reporter: %w", err)
	}
	if r.elected {
		r.metrics.reporter.Set(1)
		r.metrics.opts.Logger.InfoContext(ctx, "this process reports the metrics of the cluster")
	}
	return nil
}

// withoutTables tells whether Tidemill has no tables here, and River is watched alone.
func withoutTables(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "3F000" || pgErr.Code == "42883")
}

// close gives the lock up and forgets what was read under it, so that two processes do not both tell.
func (r *reporter) close(ctx context.Context) {
	if r.elected {
		r.metrics.cluster.latest.Store(nil)
		r.metrics.reporter.Set(0)
	}
	if r.conn != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_ = r.conn.Close(ctx)
	}
	r.conn, r.elected = nil, false
}

// timedOut reports whether the server ended a statement at its time limit.
func timedOut(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "57014"
}

// sleep returns when d is over or ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// jitter spreads processes that were started together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}
