package sqljob

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// sqlRun is one attempt at a statement.
type sqlRun struct {
	def    *Config
	log    *slog.Logger
	deps   *kind.Deps
	params map[string]any // as ResolveParams gives them
}

func (r *sqlRun) work(ctx context.Context) (*Result, error) {
	stmt, err := statement.Bind(r.def.Statement)
	if err != nil {
		return nil, retry.Permanent(fmt.Errorf("statement: %w", err))
	}
	conn, err := r.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", ended(ctx, err))
	}
	defer statement.CloseSession(ctx, conn)

	bounded, cancel := context.WithTimeout(ctx, r.def.Timeout+statement.Grace) // for a server that does not answer any more
	defer cancel()
	began := time.Now()
	result, err := r.execute(bounded, conn, stmt)
	switch took := time.Since(began); {
	case err == nil:
		return result, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("statement: %w", ended(ctx, err))
	case took >= r.def.Timeout && (statement.Code(err) == statement.QueryCanceled || bounded.Err() != nil):
		return nil, fmt.Errorf("statement: not done within its timeout of %s, and stopped: %w", r.def.Timeout, err)
	}
	return nil, err
}

// ended is the error of something that may have failed because ctx ended: then it says so, and why.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(ctx.Err(), cause) {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}

// connect makes the session of the attempt.
func (r *sqlRun) connect(ctx context.Context) (*pgx.Conn, error) {
	settings := map[string]string{"statement_timeout": statement.Milliseconds(r.def.Timeout)}
	return statement.OpenSession(ctx, r.deps.Pool, settings, func(c *pgx.ConnConfig) { c.OnNotice = r.logNotices() })
}

// maxNotices are written to the log for one attempt.
const maxNotices = 100

// logNotices returns a handler for one session. It is called from one goroutine at a time.
func (r *sqlRun) logNotices() pgconn.NoticeHandler {
	seen := 0
	return func(_ *pgconn.PgConn, n *pgconn.Notice) {
		seen++
		switch {
		case seen > maxNotices+1:
			return
		case seen > maxNotices:
			r.log.Info("further notices of the statement are not logged")
			return
		}
		level := slog.LevelInfo
		if n.SeverityUnlocalized == "WARNING" {
			level = slog.LevelWarn
		}
		r.log.Log(context.Background(), level, n.Message, "severity", n.SeverityUnlocalized, "sqlstate", n.Code)
	}
}

// execute runs the statement by the extended protocol and outside a transaction.
func (r *sqlRun) execute(ctx context.Context, conn *pgx.Conn, stmt *statement.Statement) (*Result, error) {
	pg := conn.PgConn()
	prepared, err := pg.Prepare(ctx, "", stmt.Text, nil)
	if err != nil {
		return nil, stmt.Mark(err)
	}
	values, err := statement.Values(conn.TypeMap(), stmt.Names, prepared.ParamOIDs, r.params)
	if err != nil {
		return nil, retry.Permanent(err)
	}
	rows := pg.ExecPrepared(ctx, "", values, nil, sqlFormats(prepared.Fields))
	result, err := readSQLResult(rows, conn.TypeMap(), r.deps.Location, r.def.MaxRows)
	if err == nil {
		return result, nil
	}
	if i, misfit := statement.FindBadParam(ctx, pg, err, prepared.ParamOIDs, values); misfit != nil {
		name, hint := stmt.Names[i], ""
		if typ := statement.Cast(r.params[stmt.Names[i]]); typ != "" {
			hint = fmt.Sprintf("; if PostgreSQL takes it for the wrong type, write :%s::%s", name, typ)
		}
		return nil, retry.Permanent(fmt.Errorf("param %q does not fit the statement: %w%s", name, stmt.Describe(misfit), hint))
	}
	return nil, stmt.Mark(err)
}
