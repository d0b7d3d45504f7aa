package sqljob

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/statement"
)

// CheckLive has the live database prepare the statement of a job, without running it, and checks the types of its params.
// What a procedure or DDL does inside shows only when it runs.
func CheckLive(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, job *config.Job) (field.Errors, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	_, _, problems, err := statement.Check(ctx, conn.Conn().PgConn(), cfg, job, "statement", job.Spec.(*Config).Statement)
	return problems, err
}
