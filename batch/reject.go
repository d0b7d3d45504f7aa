package batch

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/dbtext"
)

// Reject is an input row put aside.
type Reject struct {
	Ordinal int64  `json:"ordinal"` // of the record in the input, from 1
	Line    int64  `json:"line"`    // physical line on which it begins, from 1
	Offset  int64  `json:"offset"`  // of its first byte
	Raw     []byte `json:"-"`
	Code    string `json:"code"` // SQLSTATE, or the reader's own word
	Column  string `json:"column,omitempty"`
	Reason  string `json:"reason"`
}

// Reject puts rows aside in the chunk's transaction.
func (r *Run) Reject(ctx context.Context, tx pgx.Tx, rejects []Reject) error {
	if len(rejects) == 0 {
		return nil
	}
	table := pgx.Identifier{r.engine.opts.Schema.Name, "run_reject"}
	columns := []string{"run", "ordinal", "line", "byte_offset", "raw", "code", "column_name", "reason"}
	encoding := r.engine.encoding.Of(ctx, tx)
	_, err := tx.CopyFrom(ctx, table, columns, pgx.CopyFromSlice(len(rejects), func(i int) ([]any, error) {
		x := rejects[i]
		var column *string
		if x.Column != "" {
			column = &x.Column
		}
		// A message may quote bytes of the row that are no text.
		reason := dbtext.Fit(encoding, storable(x.Reason))
		return []any{r.ID(), x.Ordinal, x.Line, x.Offset, x.Raw, x.Code, column, reason}, nil
	}))
	if err != nil {
		return fmt.Errorf("run %d: put rejects aside: %w", r.ID(), err)
	}
	return nil
}

// ForgetRejects takes back what Reject has kept of the run so far.
func (r *Run) ForgetRejects(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, r.engine.sql(`DELETE FROM {tidemill}.run_reject WHERE run = $1`), r.ID()); err != nil {
		return fmt.Errorf("run %d: take rejects back: %w", r.ID(), err)
	}
	return nil
}

// Rejects returns rejects of a run in the order of the input, those after the given ordinal.
func (l *Ledger) Rejects(ctx context.Context, id, after int64, limit int) ([]Reject, error) {
	rows, err := l.pool.Query(ctx, l.schema.SQL(`
		SELECT ordinal, line, byte_offset, raw, code, coalesce(column_name, ''), reason FROM {tidemill}.run_reject
		 WHERE run = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3`), id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read rejects of run %d: %w", id, err)
	}
	rejects, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Reject])
	if err != nil {
		return nil, fmt.Errorf("read rejects of run %d: %w", id, err)
	}
	return rejects, nil
}
