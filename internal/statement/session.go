package statement

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/session"
)

const (
	// ConnectTimeout bounds the making of the session.
	ConnectTimeout = 30 * time.Second
	// Grace is how long PostgreSQL has to end a statement whose time is up before the session is broken off.
	Grace = 5 * time.Second
)

// OpenSession makes a session of its own, as the pool makes its: what takes long keeps no connection of the pool, and
// the settings, which it has besides, end with it. change may change how it is connected.
func OpenSession(ctx context.Context, from *pgxpool.Pool, settings map[string]string, change func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, ConnectTimeout)
	defer cancel()
	pool := from.Config()
	c := pool.ConnConfig
	if pool.BeforeConnect != nil {
		if err := pool.BeforeConnect(ctx, c); err != nil {
			return nil, err
		}
	}
	// A statement whose run is cancelled is to end on the server, not only here.
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: Grace}
	}
	session.Pin(c)
	session.Set(c, settings)
	change(c)
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	if pool.AfterConnect != nil {
		if err := pool.AfterConnect(ctx, conn); err != nil {
			_ = conn.Close(ctx)
			return nil, err
		}
	}
	return conn, nil
}

// CloseSession says good-bye, even if ctx has ended. The server ends the session also of a client that does not.
func CloseSession(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace)
	defer cancel()
	_ = conn.Close(ctx)
}

// Milliseconds is d as PostgreSQL's settings have it. Their integer holds 24 days; 0 would be no limit.
func Milliseconds(d time.Duration) string {
	return strconv.FormatInt(min(max(d.Milliseconds(), 1), math.MaxInt32), 10)
}
