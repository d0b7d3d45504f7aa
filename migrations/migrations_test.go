package migrations_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/migrations"
)

// objects lists what a schema holds, as the catalog sees it.
func objects(t *testing.T, pool *pgxpool.Pool, schema string) []string {
	t.Helper()
	rows, err := pool.Query(context.Background(), `
		SELECT 'relation ' || relname FROM pg_class WHERE relnamespace = $1::regnamespace
		UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = $1::regnamespace
		UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE c.relnamespace = $1::regnamespace AND NOT tgisinternal
		ORDER BY 1`, pgx.Identifier{schema}.Sanitize())
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestUpIsIdempotentAndDownTakesItBack(t *testing.T) {
	t.Parallel()

	for _, schema := range []migrations.Schema{{}, {Name: "odd \"name", River: "river jobs"}, {Name: "tm", River: "public"}} {
		t.Run(schema.Name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			pool := testdb.Pool(t, testdb.URL(t))
			if err := migrations.Check(ctx, pool, schema); !errors.Is(err, migrations.ErrPending) {
				t.Errorf("an empty database: %v", err)
			}
			applied, err := migrations.Up(ctx, pool, schema, nil)
			if err != nil || len(applied) == 0 {
				t.Fatalf("%d steps, %v", len(applied), err)
			}
			if err := migrations.Check(ctx, pool, schema); err != nil {
				t.Error(err)
			}
			full := schema.Defaults()
			before := append(objects(t, pool, full.Name), objects(t, pool, full.River)...)
			if again, err := migrations.Up(ctx, pool, schema, nil); err != nil || len(again) != 0 {
				t.Errorf("second time: %d steps, %v", len(again), err)
			}
			undone, err := migrations.Down(ctx, pool, schema, 1000)
			if err != nil || len(undone) != len(applied) {
				t.Fatalf("down: %d steps, %v", len(undone), err)
			}
			for _, name := range append(objects(t, pool, full.Name), objects(t, pool, full.River)...) {
				if name == "trigger tidemill_1_fence" || name == "relation run" {
					t.Errorf("left behind: %s", name)
				}
			}
			if _, err := migrations.Up(ctx, pool, schema, nil); err != nil {
				t.Fatal(err)
			}
			after := append(objects(t, pool, full.Name), objects(t, pool, full.River)...)
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("up, down, up: %s", diff)
			}
		})
	}
}

func TestTenAtOnce(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	url := testdb.URL(t)
	var wait sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 10 {
		wait.Go(func() {
			pool, err := pgxpool.New(ctx, url)
			if err != nil {
				t.Error(err)
				return
			}
			defer pool.Close()
			applied, err := migrations.Up(ctx, pool, migrations.Schema{}, nil)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			total += len(applied)
		})
	}
	wait.Wait()
	pool := testdb.Pool(t, url)
	status, err := migrations.Get(ctx, pool, migrations.Schema{})
	if err != nil || !status.Current() || total != len(status.Steps) {
		t.Errorf("%d steps were applied by ten, %d exist; %+v, %v", total, len(status.Steps), status, err)
	}
}

// Counters change with every chunk; if that wrote to indexes, the ledger would be what slows an import.
func TestProgressIsHOT(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	pool := testdb.Pool(t, testdb.URL(t))
	if _, err := migrations.Up(ctx, pool, migrations.Schema{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `INSERT INTO tidemill.run (id, job, kind, trigger, identity, status) VALUES (1, 'j', 'k', 'go', '\x01', 'running')`); err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	const updates = 200
	for i := range updates {
		if _, err := conn.Exec(ctx, `UPDATE tidemill.run SET seq = $1::bigint, cursor = jsonb_build_object('offset', $1::bigint), counters = '{"read": 1}',
			done = $1::bigint, rate = 1.5, failures = 0, updated_at = clock_timestamp() WHERE id = 1`, i); err != nil {
			t.Fatal(err)
		}
	}
	var total, hot int
	const stats = `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = 'tidemill' AND relname = 'run'`
	if _, err := conn.Exec(ctx, `SELECT pg_stat_force_next_flush()`); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(ctx, stats).Scan(&total, &hot); err != nil {
		t.Fatal(err)
	}
	if total != updates || hot < updates*9/10 {
		t.Errorf("%d of %d updates were HOT", hot, total)
	}
}

func TestSchemaSQL(t *testing.T) {
	t.Parallel()

	got := migrations.Schema{Name: `a"b`}.SQL("SELECT 1 FROM {tidemill}.run, {river}.river_job")
	if want := `SELECT 1 FROM "a""b".run, "a""b".river_job`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
