package batch

import (
	"context"
	"fmt"
	"reflect"
	"slices"
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

// next reads one chunk, and the key of its last row if there are further ones.
func (w *walk[R]) next(ctx context.Context, tx pgx.Tx) (out []R, after []string, err error) {
	args := w.keys.NewArgs()
	rows, err := tx.Query(ctx, w.keys.Rows(args, w.cursor.Span, w.size+1), args.All()...)
	if err != nil {
		return nil, nil, fmt.Errorf("read a chunk: %w", err)
	}
	defer rows.Close()

	scan := rowScanner[R]()
	last := slices.Clone(w.cursor.After)
	for rows.Next() {
		row := selected{rows, len(w.keys.Columns)}
		key := row.key()
		if err := w.follows(len(out) == 0, last, key); err != nil {
			return nil, nil, err
		}
		if len(out) == w.size {
			after = last
			break
		}
		last = last[:0]
		for _, text := range key {
			last = append(last, string(text))
		}
		value, err := scan(row)
		if err != nil {
			return nil, nil, retry.Permanent(fmt.Errorf("read a row: %w", err))
		}
		out = append(out, value)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("read a chunk: %w", err)
	}
	if after != nil {
		err = w.keys.CheckEnd(ctx, tx, after)
	}
	return out, after, err
}

// follows fails if a key cannot follow the last one, which for the first row is the one after which the chunk begins.
func (w *walk[R]) follows(first bool, last []string, key [][]byte) error {
	same := len(last) > 0
	for i, text := range key {
		if text == nil {
			return w.keys.Wrong(i + 1)
		}
		same = same && last[i] == string(text)
	}
	switch {
	case !same:
		return nil
	case first:
		return w.keys.NotKept()
	}
	return w.keys.NotUnique()
}

// selected is a row to scan without the texts of its key, which are its last columns.
type selected struct {
	pgx.Rows
	keys int
}

func (s selected) key() [][]byte {
	all := s.RawValues()
	return all[len(all)-s.keys:]
}

func (s selected) FieldDescriptions() []pgconn.FieldDescription {
	all := s.Rows.FieldDescriptions()
	return all[:len(all)-s.keys]
}

func (s selected) Scan(dest ...any) error {
	return s.Rows.Scan(append(dest, make([]any, s.keys)...)...)
}

// rowScanner maps structs by column name and everything else as the only column.
func rowScanner[R any]() func(pgx.CollectableRow) (R, error) {
	t := reflect.TypeFor[R]()
	if t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() {
		return pgx.RowToStructByNameLax[R]
	}
	return pgx.RowTo[R]
}
