package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// marker is a setting that is another one in each session. Who reads another's, or none, has no session of its own.
const marker = "tidemill.session"

// What is wrong with a session. The errors say what to do.
var (
	ErrShared = errors.New("the connection to the database has no session of its own, as behind a pooler in transaction or statement mode, " +
		"and locks, LISTEN and settings need one: connect directly, or through PgBouncer with pool_mode = session")
	ErrNotReset = errors.New("the pooler hands sessions on with the settings and locks of the client before, " +
		"which would keep dead processes alive and make applications speak in their name: set PgBouncer's server_reset_query = DISCARD ALL")
)

// Set has every session that is made from config take these settings, after what its AfterConnect did before. A session that
// does not keep them is refused.
func Set(config *pgx.ConnConfig, settings map[string]string) {
	settings = maps.Clone(settings)
	after(config, func(ctx context.Context, conn *pgconn.PgConn) error { return Apply(ctx, conn, settings) })
}

// after adds to what is done when a session was connected.
func after(config *pgx.ConnConfig, then pgconn.AfterConnectFunc) {
	before := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if before != nil {
			if err := before(ctx, conn); err != nil {
				return err
			}
		}
		return then(ctx, conn)
	}
}

// Apply changes settings of a session that is there, and reads them back in a transaction of its own: in the same one, a
// pooler that gives the session to somebody else after each transaction would not show.
func Apply(ctx context.Context, conn *pgconn.PgConn, settings map[string]string) error {
	return apply(ctx, conn, rand.Text(), settings)
}

func apply(ctx context.Context, conn *pgconn.PgConn, mark string, settings map[string]string) error {
	names, values := []string{marker}, []string{mark}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		names = append(names, name)
		values = append(values, settings[name])
	}
	taken, err := set(ctx, conn, names, values)
	if err != nil {
		return fmt.Errorf("set up the session: %w", err)
	}
	kept, err := get(ctx, conn, names)
	if err != nil {
		return fmt.Errorf("read the session's settings back: %w", err)
	}
	for i, name := range names {
		switch {
		case kept[i] == taken[i]:
		case name == marker:
			return ErrShared
		default:
			return fmt.Errorf("the session's setting %s was set to %q and is %q; something between the program and the database changes settings", name, taken[i], kept[i])
		}
	}
	return nil
}

// set returns the settings as the server writes them, which for a time or a size need not be as they were given.
func set(ctx context.Context, conn *pgconn.PgConn, names, values []string) ([]string, error) {
	calls, params := make([]string, len(names)), make([][]byte, 0, 2*len(names))
	for i, name := range names {
		calls[i] = fmt.Sprintf("pg_catalog.set_config($%d, $%d, false)", 2*i+1, 2*i+2)
		params = append(params, []byte(name), []byte(values[i]))
	}
	return row(ctx, conn, calls, params)
}

func get(ctx context.Context, conn *pgconn.PgConn, names []string) ([]string, error) {
	calls, params := make([]string, len(names)), make([][]byte, len(names))
	for i, name := range names {
		calls[i] = fmt.Sprintf("coalesce(pg_catalog.current_setting($%d, true), '')", i+1)
		params[i] = []byte(name)
	}
	return row(ctx, conn, calls, params)
}

// row runs a statement without a name, as every pooler passes it.
func row(ctx context.Context, conn *pgconn.PgConn, expressions []string, params [][]byte) ([]string, error) {
	result := conn.ExecParams(ctx, "SELECT "+strings.Join(expressions, ", "), params, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	if len(result.Rows) != 1 || len(result.Rows[0]) != len(expressions) {
		return nil, fmt.Errorf("the answer has %d rows", len(result.Rows))
	}
	texts := make([]string, len(expressions))
	for i, value := range result.Rows[0] {
		texts[i] = string(value)
	}
	return texts, nil
}
