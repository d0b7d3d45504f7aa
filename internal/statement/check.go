package statement

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

// Check has the live database prepare the text of a job's field, without running it, and tries its params. Without a
// statement, the problems say why there is none. The error is about the check itself.
func Check(ctx context.Context, pg *pgconn.PgConn, cfg *config.Config, job *config.Job, name, text string) (
	*Statement, *pgconn.StatementDescription, field.Errors, error,
) {
	at := []string{"jobs", job.Name, name}
	stmt, err := Bind(text)
	if err != nil {
		return nil, nil, field.Errors{cfg.Errorf(at, "", "%s", err)}, nil
	}
	prepared, err := pg.Prepare(ctx, "", stmt.Text, nil)
	if err != nil && IsOurs(err) {
		return nil, nil, field.Errors{cfg.Errorf(at, "", "%s", stmt.Describe(err))}, nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	problems, err := checkParams(ctx, pg, cfg, job, stmt, prepared.ParamOIDs)
	return stmt, prepared, problems, err
}

// checkParams tries, for each param whose type leaves no doubt, whether its values fit the statement.
func checkParams(ctx context.Context, pg *pgconn.PgConn, cfg *config.Config, job *config.Job, stmt *Statement, oids []uint32) ([]*field.Error, error) {
	var problems []*field.Error
	types := map[string]string{}
	for _, p := range job.Params {
		types[p.Name] = p.Type
	}
	for i, name := range stmt.Names {
		sample, cast := sqlSample(types[name])
		if sample == "" || i >= len(oids) {
			continue
		}
		_, err := pg.ExecParams(ctx, "SELECT $1", [][]byte{[]byte(sample)}, oids[i:i+1], nil, nil).Close()
		switch {
		case err == nil:
			continue
		case !IsBadValue(err):
			return nil, fmt.Errorf("param %s: %w", name, err)
		}
		problems = append(problems, cfg.Errorf([]string{"jobs", job.Name, "params", name},
			"give it the type that the statement wants, or, if PostgreSQL takes it for the wrong one, write :"+name+"::"+cast,
			"is of type %s, which does not fit the statement: %s", types[name], stmt.Describe(err)))
	}
	return problems, nil
}

// sqlSample is a value of a param's type that fits wherever any value of the type does, and the name of that type in SQL;
// "" if there is none.
func sqlSample(paramType string) (sample, cast string) {
	of := map[string][2]string{
		config.IntegerParam: {"1", "bigint"}, config.NumberParam: {"1", "numeric"}, config.BooleanParam: {"true", "boolean"},
		config.DateParam: {"2026-01-31", "date"}, config.TimestampParam: {"2026-01-31T09:00:00Z", "timestamptz"},
		config.UUIDParam: {"123e4567-e89b-12d3-a456-426614174000", "uuid"},
	}[paramType]
	return of[0], of[1]
}
