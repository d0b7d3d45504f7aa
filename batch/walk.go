package batch

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/retry"
)

// walk reads a query by key.
type walk[R any] struct {
	keys   *keyset.Walk
	size   int
	cursor eachCursor
}

func (w *eachWorker[A, R]) newWalk(ctx context.Context, args A) (*walk[R], error) {
	params := pgx.NamedArgs{}
	if w.opts.Params != nil {
		params = w.opts.Params(args)
	}
	query, values, err := params.RewriteQuery(ctx, nil, w.opts.Query, nil)
	if err != nil {
		return nil, retry.Permanent(err)
	}
	keys := &keyset.Walk{Query: query, Args: values}
	for _, name := range w.opts.OrderBy {
		keys.Columns = append(keys.Columns, keyset.Column{Name: name})
	}
	return &walk[R]{keys: keys, size: w.opts.Size}, nil
}

// start fixes the upper end and, if asked, counts. It reports whether there is nothing to do.
func (w *walk[R]) start(ctx context.Context, run *Run, count bool, unit string) (empty bool, err error) {
	pool := run.engine.opts.Pool
	if w.cursor.Until, err = w.keys.Last(ctx, pool); err != nil || w.cursor.Until == nil || !count {
		return w.cursor.Until == nil, err
	}
	var total int64
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM "+w.keys.From(), w.keys.Args...).Scan(&total); err != nil {
		return false, fmt.Errorf("count: %w", err)
	}
	return false, run.SetTotal(ctx, total, unit)
}

// page is what a chunk is about.
type page[R any] struct {
	rows []R
	last []string // key of the last one
	more bool     // there are further rows
}

// next reads one chunk.
func (w *walk[R]) next(ctx context.Context, tx pgx.Tx) (*page[R], error) {
	args := w.keys.NewArgs()
	query := w.keys.Page("r.*", args, w.cursor.Span, w.size)
	rows, err := tx.Query(ctx, query, args.All()...)
	if err != nil {
		return nil, fmt.Errorf("read a chunk: %w", err)
	}
	defer rows.Close()

	scan := rowScanner[R]()
	p := &page[R]{}
	for rows.Next() {
		var wrong int
		added := make([]any, len(rows.FieldDescriptions()))
		added[len(added)-1] = &wrong
		if err := rows.Scan(added...); err != nil {
			return nil, fmt.Errorf("read a key: %w", err)
		}
		if err := w.keys.Wrong(wrong); err != nil {
			return nil, err
		}
		if p.more = len(p.rows) == w.size; p.more {
			break
		}
		added[len(added)-2] = &p.last
		if err := rows.Scan(added...); err != nil {
			return nil, fmt.Errorf("read a key: %w", err)
		}
		row, err := scan(selected{rows})
		if err != nil {
			return nil, retry.Permanent(fmt.Errorf("read a row: %w", err))
		}
		p.rows = append(p.rows, row)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read a chunk: %w", err)
	}
	if !p.more {
		return p, nil
	}
	return p, w.keys.CheckNull(ctx, tx, p.last)
}

// selected is a row of a page without the two columns that the walk adds.
type selected struct{ pgx.Rows }

func (s selected) FieldDescriptions() []pgconn.FieldDescription {
	all := s.Rows.FieldDescriptions()
	return all[:len(all)-2]
}

func (s selected) RawValues() [][]byte {
	all := s.Rows.RawValues()
	return all[:len(all)-2]
}

func (s selected) Values() ([]any, error) {
	all, err := s.Rows.Values()
	return all[:max(0, len(all)-2)], err
}

func (s selected) Scan(dest ...any) error {
	if len(dest) == 1 {
		if own, ok := dest[0].(pgx.RowScanner); ok {
			return own.ScanRow(s)
		}
	}
	return s.Rows.Scan(append(dest, nil, nil)...)
}

// rowScanner maps structs by column name and everything else as the only column.
func rowScanner[R any]() func(pgx.CollectableRow) (R, error) {
	t := reflect.TypeFor[R]()
	if t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() {
		return pgx.RowToStructByNameLax[R]
	}
	return pgx.RowTo[R]
}
