package keyset_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testkeys"
	"github.com/tidemill/tidemill/retry"
)

// Whatever the keys, a walk has every row once and in order, or fails with an error that names the key.
func TestRandomKeysLoseNoRow(t *testing.T) {
	t.Parallel()
	// So small a table is never read by its index otherwise.
	pool := testdb.Pool(t, testdb.URL(t)+"&enable_seqscan=off&enable_sort=off&jit=off")
	exec(t, pool, testkeys.Types)
	testkeys.Random(t, 200, true, func(t *testing.T, r *rand.Rand, table *testkeys.Table) {
		table.Create(t, pool)
		w := &keyset.Walk{Query: `SELECT * FROM public.walked WHERE id >= $1::int -- all;` + "\n;", Args: []any{0}, Mode: pgx.QueryExecModeDescribeExec}
		for i, name := range table.Order {
			w.Columns = append(w.Columns, keyset.Column{Name: name, Desc: table.Desc[i]})
		}
		for name, read := range readers() {
			ids, err := walk(t.Context(), pool, w, read, 1+r.IntN(4))
			table.Check(t, pool, ids, message(err))
			if err != nil && !retry.IsPermanent(err) {
				t.Errorf("%v is taken for one that another try may be without", err)
			}
			if t.Failed() {
				t.Fatal("by ", name)
			}
		}
	})
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// walk reads all rows in pages of that size and returns their ids: by Page or by Rows.
func walk(ctx context.Context, db *pgxpool.Pool, w *keyset.Walk, read reader, size int) ([]int, error) {
	if err := w.Prepare(ctx, db, size); err != nil {
		return nil, err
	}
	var span keyset.Span
	var err error
	if span.Until, err = w.Last(ctx, db); err != nil || span.Until == nil {
		return nil, err
	}
	var all []int
	for {
		ids, last, err := read(ctx, db, w, span, size)
		if err != nil {
			return nil, err
		}
		all = slices.Concat(all, ids[:min(size, len(ids))])
		if len(ids) <= size {
			return all, nil
		}
		if len(all) > 1000 {
			return all, errors.New("the walk has no end")
		}
		span.After = last
	}
}

// reader reads a page, and one row more, and returns the key of the last row but that one.
type reader func(ctx context.Context, db *pgxpool.Pool, w *keyset.Walk, span keyset.Span, size int) (ids []int, last []string, err error)

func readers() map[string]reader { return map[string]reader{"Page": byPage, "Rows": byRows} }

func byPage(ctx context.Context, db *pgxpool.Pool, w *keyset.Walk, span keyset.Span, size int) (ids []int, last []string, err error) {
	args := w.NewArgs()
	rows, err := db.Query(ctx, w.Page("r.id", args, span, size), args.All()...)
	if err != nil {
		return nil, nil, err
	}
	var id, wrong int
	var key []*string
	_, err = pgx.ForEachRow(rows, []any{&id, &key, &wrong}, func() error {
		ids = append(ids, id)
		if wrong == 0 {
			for _, text := range key {
				last = append(last, *text)
			}
		}
		return w.Wrong(wrong)
	})
	if err != nil || len(ids) <= size {
		return ids, last, err
	}
	return ids, last, w.CheckNull(ctx, db, last)
}

func byRows(ctx context.Context, db *pgxpool.Pool, w *keyset.Walk, span keyset.Span, size int) (ids []int, last []string, err error) {
	args := w.NewArgs()
	rows, err := db.Query(ctx, w.Rows(args, span, size+1), args.All()...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	previous := span.After
	for rows.Next() {
		n := len(rows.FieldDescriptions())
		texts := make([]*string, len(w.Columns))
		dest := make([]any, n)
		for i := range texts {
			dest[n-len(texts)+i] = &texts[i]
		}
		var id int
		dest[slices.IndexFunc(rows.FieldDescriptions(), func(f pgconn.FieldDescription) bool { return f.Name == "id" })] = &id
		if err := rows.Scan(dest...); err != nil {
			return nil, nil, err
		}
		key := make([]string, len(texts))
		for i, text := range texts {
			if text == nil {
				return nil, nil, w.Wrong(i + 1)
			}
			key[i] = *text
		}
		switch {
		case slices.Equal(previous, key) && len(ids) == 0:
			return nil, nil, w.NotKept()
		case slices.Equal(previous, key):
			return nil, nil, w.NotUnique()
		}
		if ids = append(ids, id); len(ids) == size {
			last = key
		}
		previous = key
	}
	if err := rows.Err(); err != nil || len(ids) <= size {
		return ids, last, err
	}
	rows.Close()
	return ids, last, w.CheckEnd(ctx, db, last)
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
