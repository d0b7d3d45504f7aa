package cleanupjob

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// noIndex refuses to read a whole table, and says why an index that seems to be the right one is not.
func (w *cleanupWalk) noIndex() *cleanupProblem {
	that := ""
	if w.unfit != "" {
		that = " and can be followed (" + w.unfit + ")"
	}
	return &cleanupProblem{
		"column", fmt.Sprintf("table %s has no index that begins with %s%s, so it would be read as a whole", w.part.ident, w.rule.Column, that),
		fmt.Sprintf("CREATE INDEX CONCURRENTLY ON %s (%s); or say allow_seq_scan: true", w.part.ident, pgx.Identifier{w.rule.Column}.Sanitize()),
	}
}

// unfitIndex says of an index that begins with the column why no walk can follow it; empty if there is none.
func unfitIndex(ctx context.Context, tx pgx.Tx, table uint32, column string) (string, error) {
	var name, method, condition string
	var valid bool
	err := tx.QueryRow(ctx, `
		SELECT c.relname, m.amname, i.indisvalid, coalesce(pg_get_expr(i.indpred, i.indrelid), '')
		  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
		  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		 WHERE i.indrelid = $1 AND a.attname = $2 ORDER BY m.amname <> 'btree', i.indisvalid, c.relname LIMIT 1`, table, column).
		Scan(&name, &method, &valid, &condition)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", nil
	case err != nil:
		return "", err
	case !valid:
		return name + " is not valid; REINDEX it", nil
	case method != "btree":
		return name + " is a " + method + " index, which has no order", nil
	case condition != "":
		return name + " has only rows WHERE " + condition + ", and not all that the rule is about", nil
	}
	return name + " is of an operator class of its own", nil
}
