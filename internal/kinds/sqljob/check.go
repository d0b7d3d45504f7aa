package sqljob

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/statement"
)

// CheckLive has the live database prepare the statement of a job, without running it, and tells what it says against the
// statement and against the types of its params. The error is about the check itself. What a procedure or DDL does inside
// shows only when it runs.
func CheckLive(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, job *config.Job) ([]*field.Error, error) {
	at := []string{"jobs", job.Name, "statement"}
	stmt, err := statement.Bind(job.Spec.(*Config).Statement)
	if err != nil {
		return []*field.Error{cfg.Errorf(at, "", "%s", err)}, nil
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	pg := conn.Conn().PgConn()
	prepared, err := pg.Prepare(ctx, "", stmt.Text, nil)
	if err != nil {
		if statement.Code(err) == "" || batch.Classify(err) == batch.Transient {
			return nil, err
		}
		return []*field.Error{cfg.Errorf(at, "", "%s", stmt.Describe(err))}, nil
	}
	return statement.CheckParams(ctx, pg, cfg, job, stmt, prepared.ParamOIDs)
}
