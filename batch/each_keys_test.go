package batch_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/internal/testkeys"
	"github.com/tidemill/tidemill/retry"
)

// Whatever the keys, each row is done once, or the run fails with an error that names the key.
func TestEachOfRandomKeys(t *testing.T) {
	t.Parallel()

	type args struct{ scoreArgs }
	type row struct {
		ID int
		K0 any `db:"K 0"`
		K1 any `db:"K 1"`
		K2 any `db:"K 2"`
	}
	testkeys.Random(t, 24, false, func(t *testing.T, r *rand.Rand, table *testkeys.Table) {
		size := 1 + r.IntN(5)
		url := testengine.URL(t)
		pool := testdb.Pool(t, url)
		if _, err := pool.Exec(t.Context(), testkeys.Types); err != nil {
			t.Fatal(err)
		}
		table.Create(t, pool)
		var ids []int
		e := testengine.Start(t, url, func(workers *river.Workers) {
			river.AddWorker(workers, batch.Each(batch.EachOpts[args, row]{
				Query: "SELECT * FROM public.walked WHERE id >= @min", OrderBy: table.Order, Size: size,
				Params: func(a args) pgx.NamedArgs { return pgx.NamedArgs{"min": a.Min} },
				Do: func(_ context.Context, _ pgx.Tx, c *batch.Chunk[row]) error {
					for _, row := range c.Rows {
						ids = append(ids, row.ID)
					}
					return nil
				},
				Attempt: batch.AttemptOpts{Retry: retry.Policy{MaxAttempts: 1}},
			}))
		})
		started, err := e.Ledger.Start(context.Background(), args{}, batch.StartOpts{})
		if err != nil {
			t.Fatal(err)
		}
		info := e.WaitStatus(t, started.ID, batch.Succeeded, batch.Failed)
		failed := ""
		if info.Error != nil {
			failed = *info.Error
		}
		table.Check(t, e.Pool, ids, failed)
	})
}

// The name of a type is not always all of it, nor is a value of the driver all of the server's.
func TestEachOfKeysThatAreMoreThanTheySeem(t *testing.T) {
	t.Parallel()

	type args struct{ scoreArgs }
	type row struct{ V any }
	for _, values := range []string{
		"('ab'::char(2)), ('abc'::char(3)), ('b')", "(B'001'), (B'011'), (B'101')",
		"('12345678901234567890'::jsonb), ('12345678901234567891'), ('12345678901234567892')",
		"(ROW(1, NULL)::public.pair), (ROW(NULL, NULL)::public.pair), (ROW(2, 'a')::public.pair)",
	} {
		t.Run(values, func(t *testing.T) {
			t.Parallel()
			rows := 0
			url := testengine.URL(t)
			if _, err := testdb.Pool(t, url).Exec(t.Context(), testkeys.Types); err != nil {
				t.Fatal(err)
			}
			e := testengine.Start(t, url, func(workers *river.Workers) {
				river.AddWorker(workers, batch.Each(batch.EachOpts[args, row]{
					Query: "SELECT v FROM (VALUES " + values + ") t (v)", OrderBy: []string{"v"}, Size: 1,
					Do: func(_ context.Context, _ pgx.Tx, c *batch.Chunk[row]) error {
						if rows += len(c.Rows); rows > 10 {
							return retry.Permanent(errors.New("it has no end"))
						}
						return nil
					},
				}))
			})
			started, err := e.Ledger.Start(context.Background(), args{}, batch.StartOpts{})
			if err != nil {
				t.Fatal(err)
			}
			if info := e.WaitStatus(t, started.ID, batch.Succeeded, batch.Failed); info.Status != batch.Succeeded || rows != 3 {
				t.Errorf("%s after %d rows: %s", info.Status, rows, pointed(info.Error))
			}
		})
	}
}

// A role may have floats lose digits as texts. From such a key the walk would read the same row forever, or leave out the next one.
func TestEachOfKeysWhoseTextIsAnotherKey(t *testing.T) {
	t.Parallel()

	type args struct{ scoreArgs }
	for _, values := range []string{"(0.1::float8 + 0.2), (1)", "(0.1::float8 + 0.7), (0.8)", "(0.1), (0.1::float8 + 0.2)"} {
		rows := 0
		e := testengine.Start(t, testengine.URL(t)+"&extra_float_digits=0", func(workers *river.Workers) {
			river.AddWorker(workers, batch.Each(batch.EachOpts[args, float64]{
				Query: "SELECT v FROM (VALUES " + values + ") t (v)", OrderBy: []string{"v"}, Size: 1,
				Do: func(_ context.Context, _ pgx.Tx, c *batch.Chunk[float64]) error {
					rows += len(c.Rows)
					return nil
				},
			}))
		})
		started, err := e.Ledger.Start(context.Background(), args{}, batch.StartOpts{})
		if err != nil {
			t.Fatal(err)
		}
		info := e.WaitStatus(t, started.ID, batch.Succeeded, batch.Failed)
		if info.Status != batch.Failed || !strings.Contains(*info.Error, "order_by (v)") || rows > 1 {
			t.Errorf("%s: %s after %d rows: %s", values, info.Status, rows, pointed(info.Error))
		}
	}
}
