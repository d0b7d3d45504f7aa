package workers

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

// CheckSQL has the live database prepare the statement of a job, without running it, and tells what it says against the
// statement and against the types of its params. The error is about the check itself. What a procedure or DDL does inside
// shows only when it runs.
func CheckSQL(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, job *config.Job) ([]*field.Error, error) {
	at := []string{"jobs", job.Name, "statement"}
	stmt, err := bindSQL(job.Spec.(*config.SQL).Statement)
	if err != nil {
		return []*field.Error{cfg.Errorf(at, "", "%s", err)}, nil
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	pg := conn.Conn().PgConn()
	prepared, err := pg.Prepare(ctx, "", stmt.text, nil)
	if err != nil {
		if sqlCode(err) == "" || batch.Classify(err) == batch.Transient {
			return nil, err
		}
		return []*field.Error{cfg.Errorf(at, "", "%s", stmt.describe(err))}, nil
	}
	return checkSQLParams(ctx, pg, cfg, job, stmt, prepared.ParamOIDs)
}
