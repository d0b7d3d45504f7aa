package bulk

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// direct copies into the table itself. done is false if the rows from r.next on need staging.
func (r *run) direct(ctx context.Context) (done bool, err error) {
	to := target{sql: r.w.sql.copyDirect, table: r.w.table.Name, prefix: r.w.setPrefix()}
	next, why, _, err := r.copyRows(ctx, to, r.from, r.end)
	if err != nil {
		return false, err
	}
	r.next = next
	if why == stopCollision {
		r.w.staged = true
	}
	return why == stopDone || why == stopBudget, nil
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

// isMatchFault says whether two rows have the same match key.
func (w *Writer) isMatchFault(e *pgconn.PgError) bool {
	return e.Code == codeUnique && slices.Contains(w.matchNames, e.ConstraintName)
}
