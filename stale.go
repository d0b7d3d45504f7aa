package tidemill

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// serverSession is what a connection is to the server.
type serverSession struct {
	pid   int32
	began time.Time
}

// sessions knows the connections of a worker's pools by what they are to the server. A network can lose a connection without a
// word to its near end: whoever waits for an answer there would wait for as long as the job may.
type sessions struct {
	mu     sync.Mutex
	byConn map[*pgx.Conn]serverSession
}

func newSessions() *sessions { return &sessions{byConn: map[*pgx.Conn]serverSession{}} }

// watch has the pool that is made from config say what it opens and closes. The server is asked for its number of the session,
// since a pooler tells clients one of its own. Connections that are made while when returns false are not watched.
func (s *sessions) watch(config *pgxpool.Config, when func() bool) {
	connected, closing := config.AfterConnect, config.BeforeClose
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if connected != nil {
			if err := connected(ctx, conn); err != nil {
				return err
			}
		}
		if !when() {
			return nil
		}
		watchfully(ctx, conn)
		var session serverSession
		err := conn.QueryRow(ctx, `SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())`, pgx.QueryExecModeSimpleProtocol).
			Scan(&session.pid, &session.began)
		if err != nil {
			return fmt.Errorf("ask for the number of the session: %w", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.byConn[conn] = session
		return nil
	}
	config.BeforeClose = func(conn *pgx.Conn) {
		if closing != nil {
			closing(conn)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.byConn, conn)
	}
}

// watchfully lets the server notice within seconds that the other end of the session is gone, also in the middle of a long
// statement. It goes without where the server's system cannot do so.
func watchfully(ctx context.Context, conn *pgx.Conn) {
	for _, sql := range []string{
		`SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3`,
		`SET client_connection_check_interval = '2s'`,
	} {
		_, _ = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	}
}

// closeLost closes the connections whose sessions the server does not have, also those in use, and returns how many.
func (s *sessions) closeLost(ctx context.Context, db *pgxpool.Pool) (int, error) {
	s.mu.Lock()
	known := make(map[*pgx.Conn]serverSession, len(s.byConn))
	pids := make([]int32, 0, len(s.byConn))
	for conn, session := range s.byConn {
		known[conn] = session
		pids = append(pids, session.pid)
	}
	s.mu.Unlock()
	rows, err := db.Query(ctx, `SELECT pid, backend_start FROM pg_stat_activity WHERE pid = ANY ($1) AND backend_start IS NOT NULL`, pids)
	if err != nil {
		return 0, fmt.Errorf("ask which sessions are left: %w", err)
	}
	began := map[int32]time.Time{}
	var session serverSession
	if _, err := pgx.ForEachRow(rows, []any{&session.pid, &session.began}, func() error { began[session.pid] = session.began; return nil }); err != nil {
		return 0, fmt.Errorf("ask which sessions are left: %w", err)
	}
	lost := 0
	for conn, session := range known {
		if at, ok := began[session.pid]; ok && at.Equal(session.began) {
			continue
		}
		_ = conn.PgConn().Conn().Close() // whoever reads from it learns that it is closed
		lost++
	}
	return lost, nil
}
