package eachjob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/statement"
)

// eachMisfit is what is wrong between a query and the job that its rows become.
type eachMisfit struct {
	field         []string // of the job's definition
	message, hint string
}

func (m *eachMisfit) Error() string {
	if m.hint == "" {
		return m.message
	}
	return m.message + "; " + m.hint
}

// CheckLive has the live database prepare the query of a job, without running it, and checks its order, and its columns as
// params of the job that is enqueued. Whether order_by is unique shows only when the job runs.
func CheckLive(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, job *config.Job) (field.Errors, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	pg, path := conn.Conn().PgConn(), []string{"jobs", job.Name}
	stmt, prepared, problems, err := statement.Check(ctx, pg, cfg, job, "query", job.Spec.(*Config).Query)
	if err != nil || stmt == nil {
		return problems, err
	}
	// Only a query can be read in parts: in parentheses, as it is when the job runs.
	if _, err := pg.Prepare(ctx, "", "SELECT FROM "+(&keyset.Walk{Query: stmt.Text}).From(), nil); err != nil {
		if !statement.IsOurs(err) {
			return nil, err
		}
		return append(problems, cfg.Errorf(append(slices.Clip(path), "query"), "write a SELECT", "cannot be in brackets, as part of another query: %s", sqlMessage(err))), nil
	}
	child := cfg.Jobs[job.Spec.(*Config).Enqueue.Job]
	if child == nil {
		return problems, nil // reported without the database
	}
	for _, err := range eachMisfits(job.Spec.(*Config), child, prepared.Fields) {
		if misfit, ok := errors.AsType[*eachMisfit](err); ok {
			problems = append(problems, cfg.Errorf(append(slices.Clip(path), misfit.field...), misfit.hint, "%s", misfit.message))
		}
	}
	return problems, nil
}

func sqlMessage(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Message
	}
	return err.Error()
}

// eachMisfits compares the columns of the query with the order and with the params of the child. Each is an *eachMisfit.
func eachMisfits(def *Config, child *config.Job, fields []pgconn.FieldDescription) []error {
	var found []error
	misfit := func(field []string, hint, format string, args ...any) {
		found = append(found, &eachMisfit{field: field, message: fmt.Sprintf(format, args...), hint: hint})
	}
	columns := map[string]uint32{}
	names := make([]string, len(fields))
	for i, field := range fields {
		names[i] = field.Name
		if _, twice := columns[field.Name]; twice {
			misfit([]string{"query"}, "name one of them otherwise, with AS", "the query has two columns with the name %s", field.Name)
		}
		columns[field.Name] = field.DataTypeOID
	}
	for _, column := range def.OrderBy {
		if _, ok := columns[column]; !ok {
			misfit([]string{"order_by"}, "the query has "+strings.Join(names, ", "), "the query has no column %s", column)
		}
	}
	if child.Params == nil || len(found) > 0 {
		return found
	}
	fixed := map[string]json.RawMessage{}
	if len(def.Enqueue.Params) > 0 {
		_ = json.Unmarshal(def.Enqueue.Params, &fixed) // an object, as the configuration has it
	}
	enqueue := []string{"enqueue", "job"}
	given := columns
	if def.Batch > 1 {
		given = map[string]uint32{RowsParam: pgtype.JSONBOID}
	}
	for _, name := range names {
		if def.Batch == 1 && !declares(child, name) {
			misfit(enqueue, "declare it there, or leave it out of the query", "job %s has no param %s, and the query has such a column", child.Name, name)
		}
	}
	for _, p := range child.Params {
		oid, inRow := given[p.Name]
		_, inFixed := fixed[p.Name]
		switch {
		case inRow && def.Batch > 1 && p.Type != config.JSONParam:
			misfit(enqueue, "declare it there as json", "param %s of job %s is of type %s, and gets a list of rows", p.Name, child.Name, p.Type)
		case inRow && !eachFits(p.Type, oid):
			misfit(enqueue, "change its type, or cast the column in the query", "param %s of job %s is of type %s, which the query's column of that name does not fit", p.Name, child.Name, p.Type)
		case !inRow && !inFixed && p.Default == nil:
			misfit(enqueue, "add the column to the query, or say params: {"+p.Name+": …} here", "job %s needs param %s", child.Name, p.Name)
		}
	}
	return found
}

func declares(job *config.Job, name string) bool {
	return slices.ContainsFunc(job.Params, func(p config.Param) bool { return p.Name == name })
}

// eachFits reports whether values of a column can be those of a param. Columns of types that it does not know, and texts, which
// may spell any value, are given the benefit of the doubt.
func eachFits(param string, oid uint32) bool {
	integer := oid == pgtype.Int2OID || oid == pgtype.Int4OID || oid == pgtype.Int8OID
	number := integer || oid == pgtype.NumericOID || oid == pgtype.Float4OID || oid == pgtype.Float8OID
	known := number || slices.Contains([]uint32{pgtype.BoolOID, pgtype.DateOID, pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.UUIDOID, pgtype.JSONOID, pgtype.JSONBOID}, oid)
	if !known && oid != pgtype.TextOID {
		return true
	}
	switch param {
	case config.JSONParam:
		return true
	case config.TextParam: // to_jsonb writes these as texts
		return !number && oid != pgtype.BoolOID && oid != pgtype.JSONOID && oid != pgtype.JSONBOID
	case config.IntegerParam:
		return integer || oid == pgtype.NumericOID || oid == pgtype.TextOID
	case config.NumberParam:
		return number || oid == pgtype.TextOID
	case config.BooleanParam:
		return oid == pgtype.BoolOID || oid == pgtype.TextOID
	case config.DateParam:
		return oid == pgtype.DateOID || oid == pgtype.TextOID
	case config.TimestampParam: // one without time zone has none in JSON, either
		return oid == pgtype.TimestamptzOID || oid == pgtype.TextOID
	case config.UUIDParam:
		return oid == pgtype.UUIDOID || oid == pgtype.TextOID
	}
	return true
}
