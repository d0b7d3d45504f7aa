package exportjob

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/retry"
)

// CheckLive holds an export against the live database, without reading any rows: whether the query can be prepared, and
// whether table, columns and order are there. The error is about the check itself. Whether the order of a query is unique
// shows only when it runs.
func CheckLive(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, job *config.Job) (field.Errors, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	at := []string{"jobs", job.Name}
	if job.Spec.(*Config).Query == "" {
		return checkExportTable(ctx, conn.Conn(), cfg, job, at)
	}
	_, prepared, problems, err := statement.Check(ctx, conn.Conn().PgConn(), cfg, job, "query", job.Spec.(*Config).Query)
	if err != nil || prepared == nil {
		return problems, err
	}
	// Without values the params are NULL: the columns are the same.
	params := map[string]any{}
	for _, p := range job.Params {
		params[p.Name] = nil
	}
	if _, err := planExport(ctx, conn.Conn(), job.Spec.(*Config), params); err != nil {
		if !retry.IsPermanent(err) {
			return nil, err
		}
		problems = append(problems, cfg.Errorf(append(at, exportField(err)), "", "%s", afterField(err)))
	}
	return problems, nil
}

func checkExportTable(ctx context.Context, conn *pgx.Conn, cfg *config.Config, job *config.Job, at []string) (field.Errors, error) {
	plan, err := planExport(ctx, conn, job.Spec.(*Config), nil)
	switch {
	case errors.Is(err, bulk.ErrNoTable):
		return field.Errors{cfg.Errorf(append(at, "table"), "", "%s", err)}, nil
	case err != nil && !retry.IsPermanent(err):
		return nil, err
	case err != nil:
		return field.Errors{cfg.Errorf(append(at, exportField(err)), "", "%s", afterField(err))}, nil
	}
	if job.Spec.(*Config).Consistency != Keyset {
		return nil, nil
	}
	return plan.checkUnique(cfg, append(at, "order_by")), nil
}

// checkUnique looks for what makes the order one that no row hides in. A view cannot say, so nothing is asked of it.
func (p *exportPlan) checkUnique(cfg *config.Config, at []string) field.Errors {
	if p.table.Kind != 'r' && p.table.Kind != 'p' {
		return nil
	}
	if !p.certain() {
		return field.Errors{cfg.Errorf(at, "order by NOT NULL columns", "a column of it may be NULL, and such rows would be passed over")}
	}
	if p.walk.Unique {
		return nil
	}
	return field.Errors{cfg.Errorf(at, "add the columns of the primary key", "no unique index is on these columns or on some of them, and rows with the same key could be lost")}
}

// exportField is the field that an error of planExport is about.
func exportField(err error) string {
	for _, field := range []string{"order_by", "columns", "query"} {
		if strings.HasPrefix(err.Error(), field+": ") {
			return field
		}
	}
	return "table"
}

func afterField(err error) string {
	return strings.TrimPrefix(err.Error(), fmt.Sprintf("%s: ", exportField(err)))
}
