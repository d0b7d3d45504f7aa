package bulk

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// copyDirect copies into the table itself, up to r.next. For stopUnclear and stopCollision the rows from there on need
// staging.
func (r *run) copyDirect(ctx context.Context) (why stop, err error) {
	to := target{sql: r.w.sql.copyDirect, table: r.w.table.Name, prefix: r.w.setPrefix()}
	r.next, why, _, err = r.copyRows(ctx, to, r.from, r.end)
	if err == nil && why == stopCollision {
		r.w.staged = true
	}
	return why, err
}

// setPrefix writes the columns that are set to the time of the transaction: the input function of the types reads "now"
// as just that. It is nil if there are none.
func (w *Writer) setPrefix() func([]byte, int) []byte {
	n := len(w.setColumns())
	if n == 0 {
		return nil
	}
	return func(buf []byte, _ int) []byte {
		for range n {
			buf = append(buf, "now\t"...)
		}
		return buf
	}
}

// setColumns are the columns that get a time on insert.
func (w *Writer) setColumns() []string {
	set := slices.Clone(w.spec.SetOnInsert)
	for _, c := range w.spec.SetOnChange {
		if !slices.Contains(set, c) {
			set = append(set, c)
		}
	}
	return set
}

// isMatchFault reports whether two rows have the same match key.
func (w *Writer) isMatchFault(e *pgconn.PgError) bool {
	return e.Code == codeUnique && slices.Contains(w.matchNames, e.ConstraintName)
}
