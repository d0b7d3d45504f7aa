package batch

import (
	"bytes"
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

// page is what a chunk is about.
type page[R any] struct {
	rows []R
	more bool     // there are further rows
	last []string // key of the last one, if there are
}

// next reads one chunk, and one row more.
func (w *walk[R]) next(ctx context.Context, tx pgx.Tx) (*page[R], error) {
	args := w.keys.NewArgs()
	rows, err := tx.Query(ctx, w.keys.Rows(args, w.cursor.Span, w.size+1), args.All()...)
	if err != nil {
		return nil, fmt.Errorf("read a chunk: %w", err)
	}
	defer rows.Close()

	scan := rowScanner[R]()
	p := &page[R]{}
	var last [][]byte
	for _, text := range w.cursor.After {
		last = append(last, []byte(text))
	}
	for rows.Next() {
		row := selected{rows, len(w.keys.Columns)}
		key := row.key()
		if err := w.follows(len(p.rows) == 0, last, key); err != nil {
			return nil, err
		}
		if p.more = len(p.rows) == w.size; p.more {
			break
		}
		last = last[:0]
		for _, text := range key {
			last = append(last, bytes.Clone(text))
		}
		value, err := scan(row)
		if err != nil {
			return nil, retry.Permanent(fmt.Errorf("read a row: %w", err))
		}
		p.rows = append(p.rows, value)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read a chunk: %w", err)
	}
	if !p.more {
		return p, nil
	}
	for _, text := range last {
		p.last = append(p.last, string(text))
	}
	return p, w.keys.CheckEnd(ctx, tx, p.last)
}

// follows fails if a key cannot follow the last one, which for the first row is the one after which the chunk begins.
func (w *walk[R]) follows(first bool, last, key [][]byte) error {
	for i, text := range key {
		if text == nil {
			return w.keys.Wrong(i + 1)
		}
	}
	switch {
	case !slices.EqualFunc(last, key, bytes.Equal):
		return nil
	case first:
		return w.keys.NotKept()
	}
	return w.keys.NotUnique()
}

// selected is a row without the texts of its key, which are its last columns.
type selected struct {
	pgx.Rows
	keys int
}

func (s selected) key() [][]byte {
	all := s.Rows.RawValues()
	return all[len(all)-s.keys:]
}

func (s selected) FieldDescriptions() []pgconn.FieldDescription {
	all := s.Rows.FieldDescriptions()
	return all[:len(all)-s.keys]
}

func (s selected) RawValues() [][]byte {
	all := s.Rows.RawValues()
	return all[:len(all)-s.keys]
}

func (s selected) Values() ([]any, error) {
	all, err := s.Rows.Values()
	return all[:max(0, len(all)-s.keys)], err
}

func (s selected) Scan(dest ...any) error {
	if len(dest) == 1 {
		if own, ok := dest[0].(pgx.RowScanner); ok {
			return own.ScanRow(s)
		}
	}
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
