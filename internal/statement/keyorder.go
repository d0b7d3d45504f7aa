package statement

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/tidwall/gjson"
)

// NullsFirst is what a walk adds to each column of its ORDER BY where that is cheaper, and nothing otherwise. The columns of a key hold
// no NULL, so it is the same order; but for the planner an index that is DESC NULLS LAST, read backwards, has only this one. query is
// the walk's, to be planned and not run.
func NullsFirst(ctx context.Context, conn *pgx.Conn, values []any, query func(nulls string) string) (string, error) {
	cost := func(nulls string) (float64, error) {
		var plan string
		args := append([]any{pgx.QueryExecModeDescribeExec}, values...)
		if err := conn.QueryRow(ctx, "EXPLAIN (FORMAT JSON) "+query(nulls), args...).Scan(&plan); err != nil {
			return 0, fmt.Errorf("plan the walk: %w", err)
		}
		return gjson.Get(plan, `0.Plan.Total Cost`).Float(), nil
	}
	const first = " NULLS FIRST"
	plain, err := cost("")
	if err != nil {
		return "", err
	}
	other, err := cost(first)
	if err != nil || other >= plain {
		return "", err
	}
	return first, nil
}
