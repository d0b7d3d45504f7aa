package eachjob

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/tidemill/tidemill/internal/kinds/httpjob"
	"github.com/tidemill/tidemill/workers/kind"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/internal/testkeys"
)

// Whatever the keys, each row becomes one child, or the run fails with an error that names the key.
func TestEachOfRandomKeys(t *testing.T) {
	t.Parallel()
	url := testengine.URL(t)
	pool := testdb.Pool(t, url)
	if _, err := pool.Exec(t.Context(), testkeys.Types); err != nil {
		t.Fatal(err)
	}
	var cfg atomic.Pointer[config.Config]
	worker := NewWorker(&kind.Deps{
		Config: &config.Config{},
		Jobs:   func(name string) (*config.Job, bool) { job, ok := cfg.Load().Jobs[name]; return job, ok },
		Child: func(name string) (kind.Child, error) {
			return kind.Child{Job: name, Kind: name, Args: json.RawMessage("{}"), Queue: "default", Priority: 1, MaxAttempts: 1}, nil
		},
		Pool: pool,
	})
	e := testengine.Start(t, url, func(workers *river.Workers) { river.AddWorker(workers, worker) },
		func(c *river.Config) { c.FetchOnlyKnownKinds = true })
	testkeys.Random(t, 40, false, func(t *testing.T, r *rand.Rand, table *testkeys.Table) {
		table.Create(t, pool)
		order, err := json.Marshal(table.Order)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := config.Parse("test.yaml", fmt.Appendf(nil, `{jobs: {child: {kind: http, url: "http://127.0.0.1:1/"},
			walk: {kind: each, retry: {max_attempts: 1}, query: SELECT * FROM public.walked, order_by: %s, batch: %d, enqueue: {job: child}}}}`, order, 1+r.IntN(2)), &config.Opts{Kinds: []config.Kind{configKind(), httpjob.Kind().Kind}})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Store(parsed)
		worker.rows = 1 + r.IntN(4)
		started, err := e.Ledger.Start(t.Context(), Args{Args: kind.Args{Job: "walk"}}, batch.StartOpts{Job: "walk"})
		if err != nil {
			t.Fatal(err)
		}
		info := e.WaitStatus(t, started.ID, batch.Succeeded, batch.Failed)
		rows, err := pool.Query(t.Context(), `WITH made AS (DELETE FROM tidemill.river_job WHERE kind = 'child' RETURNING id, args)
			SELECT (r->>'id')::int FROM made, jsonb_array_elements(coalesce(args->'rows', jsonb_build_array(args))) WITH ORDINALITY x (r, n) ORDER BY made.id, n`)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			t.Fatal(err)
		}
		failed := ""
		if info.Error != nil {
			failed = *info.Error
		}
		table.Check(t, pool, ids, failed)
	})
}
