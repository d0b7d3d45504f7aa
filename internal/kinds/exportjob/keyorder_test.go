package exportjob

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
)

// A walk reads no more than its part of the table, whatever the order of its index is called.
func TestExportsFollowIndexesWithAnyOrderOfNulls(t *testing.T) {
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
				dump: {kind: export, table: public.many, columns: [filler], order_by: [a, b], consistency: keyset}}}`), &config.Opts{Kinds: []config.Kind{configKind()}})
			if err != nil {
				t.Fatal(err)
			}
			conn, err := pool.Acquire(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			plan, err := planExport(ctx, conn.Conn(), cfg.Jobs["dump"].Spec.(*Config), nil)
			if err != nil {
				t.Fatal(err)
			}
			query := strings.TrimSuffix(strings.TrimPrefix(plan.copySQL(1000, plan.walk.Where(keyLiteral, keyset.Span{After: []string{"3", "3"}})), "COPY ("), ") TO STDOUT")
			if steps := explained(t, conn.Conn(), query); strings.Contains(steps, "Sort") {
				t.Errorf("an export sorts the table for each part:\n%s", steps)
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
