package metrics

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	maxInterval = 5 * time.Minute
	// turnTimeout bounds what one turn may take in all, a dead network included.
	turnTimeout  = 30 * time.Second
	closeTimeout = 2 * time.Second
)

// Report reads the state of the cluster again and again, if this process is the one that holds the lock for it, and
// otherwise tries to become that one. It works on a connection of its own, made from conn, which must reach PostgreSQL
// directly or through a session pooler. It runs until ctx ends, then gives the lock up and returns nil; a database that is
// away is waited for.
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
		if err := r.turn(ctx); err != nil && ctx.Err() == nil {
			m.refreshErrs.Inc()
			m.opts.Logger.WarnContext(ctx, "metrics of the cluster were not refreshed", "error", err, "next_try", r.interval)
		}
		wait := time.NewTimer(jitter(r.interval))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
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
	if r.conn == nil {
		conn, err := pgx.ConnectConfig(ctx, r.config)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		r.conn = conn
	}
	if err := r.elect(ctx); err != nil || !r.elected {
		return err
	}
	s, err := r.metrics.read(ctx, r.conn)
	if err != nil {
		return err
	}
	c := r.metrics.cluster
	c.latest.Store(c.snapshot(s, 3*r.interval))
	return nil
}

func (r *reporter) elect(ctx context.Context) error {
	if r.elected {
		return nil
	}
	schema := r.metrics.opts.Schema
	const try = `SELECT pg_try_advisory_lock(hashtextextended('tidemill metrics ' || $1, 0))`
	if err := r.conn.QueryRow(ctx, try, schema.Name+" "+schema.River).Scan(&r.elected); err != nil {
		return fmt.Errorf("try to become the reporter: %w", err)
	}
	if r.elected {
		r.metrics.opts.Logger.InfoContext(ctx, "this process reports the metrics of the cluster")
	}
	return nil
}

// close gives the lock up and forgets what was read under it, so that two processes do not both tell.
func (r *reporter) close(ctx context.Context) {
	if r.elected {
		r.metrics.cluster.latest.Store(nil)
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

// jitter spreads processes that were started together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}
