package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
)

// A walk reads no more than its part of the table, whatever the order of its index is called.
func TestWalksFollowIndexesWithAnyOrderOfNulls(t *testing.T) {
	t.Parallel()
	for _, index := range []string{"(a, b)", "(a DESC, b DESC)", "(a DESC NULLS LAST, b DESC NULLS LAST)", "(a NULLS FIRST, b NULLS FIRST)"} {
		t.Run(index, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			pool := testdb.Pool(t, testengine.URL(t))
			_, err := pool.Exec(ctx, `CREATE TABLE public.many (a int NOT NULL, b int NOT NULL, filler text);
				INSERT INTO public.many SELECT i / 100, i % 100, repeat('x', 200) FROM generate_series(0, 29999) i;
				CREATE UNIQUE INDEX ON public.many `+index+`; ANALYZE public.many`)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Parse("test.yaml", []byte(`{storage: {url: "file:///unused"}, jobs: {
				child: {kind: http, url: "http://127.0.0.1:1/"},
				walk: {kind: each, query: "SELECT a, b FROM public.many", order_by: [a, b], enqueue: {job: child}},
				dump: {kind: export, table: public.many, columns: [filler], order_by: [a, b], consistency: keyset}}}`), nil)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := pool.Acquire(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			plan, err := planExport(ctx, conn.Conn(), cfg.Jobs["dump"].Export, nil)
			if err != nil {
				t.Fatal(err)
			}
			query := strings.TrimSuffix(strings.TrimPrefix(plan.copySQL(1000, plan.walk.Where(keyLiteral, keyset.Span{After: []string{"3", "3"}})), "COPY ("), ") TO STDOUT")
			if steps := explained(t, conn.Conn(), query); strings.Contains(steps, "Sort") {
				t.Errorf("an export sorts the table for each part:\n%s", steps)
			}

			walk := &eachWalk{rows: eachRows, def: cfg.Jobs["walk"].Each, child: EachChild{Job: "child", Kind: "child", Args: json.RawMessage("{}"), Queue: "default", Priority: 1, MaxAttempts: 1}}
			walk.schema = migrations.Schema{}.Defaults()
			jobs := func(name string) (*config.Job, bool) { job, ok := cfg.Jobs[name]; return job, ok }
			if err := walk.prepare(ctx, pool, nil, jobs); err != nil {
				t.Fatal(err)
			}
			err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				part, err := walk.enqueue(ctx, tx, eachCursor{Span: keyset.Span{After: []string{"3", "3"}, Until: []string{"299", "99"}}})
				if err != nil {
					return err
				}
				if got := fmt.Sprint(part.Rows, part.Last); got != "5000 [53 3]" {
					t.Errorf("a chunk of %s", got)
				}
				if read, err := rowsRead(ctx, tx, "many"); err != nil || read > 0 {
					t.Errorf("a chunk reads %d rows without the index, %v", read, err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func explained(t *testing.T, conn *pgx.Conn, query string) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "EXPLAIN "+query)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
