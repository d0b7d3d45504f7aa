package keyset_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
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
	testkeys.Random(t, 300, true, func(t *testing.T, r *rand.Rand, table *testkeys.Table) {
		table.Create(t, pool)
		w := &keyset.Walk{Query: `SELECT * FROM public.walked WHERE id >= $1::int -- all;` + "\n;", Args: []any{0}, Mode: pgx.QueryExecModeDescribeExec}
		for i, name := range table.Order {
			w.Columns = append(w.Columns, keyset.Column{Name: name, Desc: table.Desc[i]})
		}
		ids, err := walk(t.Context(), pool, w, 1+r.IntN(4))
		table.Check(t, pool, ids, message(err))
		if err != nil && !retry.IsPermanent(err) {
			t.Errorf("%v is taken for one that another try may be without", err)
		}
	})
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// walk reads all rows in pages of that size and returns their ids.
func walk(ctx context.Context, db *pgxpool.Pool, w *keyset.Walk, size int) ([]int, error) {
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
		if len(all) > 1000 {
			return all, errors.New("the walk has no end")
		}
		args := w.NewArgs()
		rows, err := db.Query(ctx, w.Page("r.id", args, span, size), args.All()...)
		if err != nil {
			return nil, err
		}
		var ids []int
		var id, wrong int
		var key, last []*string
		_, err = pgx.ForEachRow(rows, []any{&id, &key, &wrong}, func() error {
			if ids = append(ids, id); len(ids) <= size {
				last = key
			}
			return w.Wrong(wrong)
		})
		if err != nil {
			return nil, err
		}
		all = slices.Concat(all, ids[:min(size, len(ids))])
		if len(ids) <= size {
			return all, nil
		}
		span.After = make([]string, len(last))
		for i, text := range last {
			span.After[i] = *text
		}
		if err := w.CheckNull(ctx, db, span.After); err != nil {
			return nil, err
		}
	}
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
