package eachjob

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/internal/kinds/httpjob"
	"github.com/tidemill/tidemill/workers/kind"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/internal/testkind"
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
				walk: {kind: each, query: "SELECT a, b FROM public.many", order_by: [a, b], enqueue: {job: child}}}}`), &config.Opts{Kinds: []config.Kind{configKind(), httpjob.Kind().Kind}})
			if err != nil {
				t.Fatal(err)
			}
			conn, err := pool.Acquire(ctx) // the session that made the table has counts of its own
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			walk := &eachWalk{rows: eachRows, def: cfg.Jobs["walk"].Spec.(*Config), child: kind.Child{Job: "child", Kind: "child", Args: json.RawMessage("{}"), Queue: "default", Priority: 1, MaxAttempts: 1}}
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
				if read, err := testkind.RowsRead(ctx, tx, "many"); err != nil || read > 0 {
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
