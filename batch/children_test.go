package batch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
)

type childBundle struct {
	pool   *pgxpool.Pool
	ledger *batch.Ledger
}

// setupChildren makes runs 1 and 2, which have enqueued so many children each and have ended; something follows them.
func setupChildren(t *testing.T, children int) *childBundle {
	t.Helper()
	pool := testdb.Pool(t, testengine.URL(t))
	b := &childBundle{pool: pool, ledger: batch.NewLedger(pool, migrations.Schema{}, nil)}
	b.exec(t, `INSERT INTO tidemill.job (name, kind, args, args_nested, queue, priority, max_attempts, is_unique, then_jobs)
		VALUES ('fan', 'fan', '{}', false, 'default', 1, 1, false, '{"always": [{"job": "fan"}]}')`)
	for parent := range 2 {
		b.exec(t, `INSERT INTO tidemill.run (id, job, kind, trigger, status, outcome, finished_at, children) VALUES ($1, 'fan', 'fan', 'go', 'succeeded', 'succeeded', now(), $2)`, parent+1, children)
		b.exec(t, `INSERT INTO tidemill.river_job (id, kind, args, max_attempts, metadata) SELECT 1000 + $1::int * 100000 + i, 'leaf', '{}', 1, $2 FROM generate_series(1, $3) i`,
			parent+1, batch.ChildMetadata(int64(parent+1), "leaf"), children)
	}
	return b
}

func (b *childBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := b.pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func (b *childBundle) fold(t *testing.T) int {
	t.Helper()
	ended, err := b.ledger.CountChildren(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

func (b *childBundle) children(t *testing.T, id int64) batch.Children {
	t.Helper()
	info, err := b.ledger.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if info.Children == nil {
		t.Fatalf("run %d has no children", id)
	}
	return *info.Children
}

const (
	finishJob = `UPDATE tidemill.river_job SET state = $2, finalized_at = now() WHERE id = $1`
	retryJob  = `UPDATE tidemill.river_job SET state = 'available', finalized_at = NULL WHERE id = $1`
)

func TestChildrenAreCounted(t *testing.T) {
	t.Parallel()
	b := setupChildren(t, 6)
	const first = 101001
	steps := []struct {
		name  string
		sql   string
		id    int64
		state any
		want  batch.Children
		ended int
	}{
		{"completed", finishJob, first, "completed", batch.Children{Total: 6, Done: 1, Waiting: 5}, 0},
		{"discarded", finishJob, first + 1, "discarded", batch.Children{Total: 6, Done: 1, Failed: 1, Waiting: 4}, 0},
		{"cancelled", finishJob, first + 2, "cancelled", batch.Children{Total: 6, Done: 1, Failed: 2, Waiting: 3}, 0},
		{"running is waiting", `UPDATE tidemill.river_job SET state = 'running' WHERE id = $1`, first + 3, nil, batch.Children{Total: 6, Done: 1, Failed: 2, Waiting: 3}, 0},
		{"deleted before its end", `DELETE FROM tidemill.river_job WHERE id = $1`, first + 3, nil, batch.Children{Total: 6, Done: 1, Failed: 3, Waiting: 2}, 0},
		{"deleted after its end", `DELETE FROM tidemill.river_job WHERE id = $1`, first, nil, batch.Children{Total: 6, Done: 1, Failed: 3, Waiting: 2}, 0},
		{"retried", retryJob, first + 1, nil, batch.Children{Total: 6, Done: 1, Failed: 2, Waiting: 3}, 0},
		{"and completed", finishJob, first + 1, "completed", batch.Children{Total: 6, Done: 2, Failed: 2, Waiting: 2}, 0},
		{"last but one", finishJob, first + 4, "completed", batch.Children{Total: 6, Done: 3, Failed: 2, Waiting: 1}, 0},
		{"last", finishJob, first + 5, "completed", batch.Children{Total: 6, Done: 4, Failed: 2, Settled: true}, 1},
		{"retried after that", retryJob, first + 2, nil, batch.Children{Total: 6, Done: 4, Failed: 1, Waiting: 1, Settled: true}, 0},
		{"and completed again", finishJob, first + 2, "completed", batch.Children{Total: 6, Done: 5, Failed: 1, Settled: true}, 0},
	}
	for _, step := range steps { // one after the other
		args := []any{step.id}
		if step.state != nil {
			args = append(args, step.state)
		}
		b.exec(t, step.sql, args...)
		if ended := b.fold(t); ended != step.ended {
			t.Errorf("%s: %d runs have ended, want %d", step.name, ended, step.ended)
		}
		if diff := cmp.Diff(step.want, b.children(t, 1)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	if diff := cmp.Diff(batch.Children{Total: 6, Waiting: 6}, b.children(t, 2)); diff != "" {
		t.Errorf("the other run (-want +got):\n%s", diff)
	}
	// What somebody else's metadata say must not stop River's batches, nor does the end of a run that the ledger has forgotten.
	b.exec(t, `INSERT INTO tidemill.river_job (id, kind, args, max_attempts, metadata) SELECT i, 'odd', '{}', 1, m::jsonb FROM (VALUES
		(1, '{"tidemill": {"parent": "x"}}'), (2, '{"tidemill": {"parent": 1e300}}'), (3, '{"tidemill": {"parent": null}}'), (4, '{"tidemill": {"parent": 77}}'),
		(5, '{"tidemill": []}'), (6, '{"tidemill": "parent"}')) v (i, m)`)
	b.exec(t, `UPDATE tidemill.river_job SET state = 'completed', finalized_at = now() WHERE kind = 'odd' AND id <> 5`)
	b.exec(t, `DELETE FROM tidemill.river_job WHERE kind = 'odd'`)
	b.fold(t)
	var left int
	if err := b.pool.QueryRow(context.Background(), `SELECT count(*) FROM tidemill.child_delta`).Scan(&left); err != nil || left > 0 {
		t.Errorf("%d deltas are left, %v", left, err)
	}
}

// Many fold at once while children end, are retried and deleted: nothing is counted twice or lost, and each run ends once.
func TestManyCountChildren(t *testing.T) {
	t.Parallel()
	const children = 400
	b := setupChildren(t, children)
	var working, folding sync.WaitGroup
	stop := make(chan struct{})
	var mu sync.Mutex
	ended, deleted := 0, [2]int64{}
	for range 4 {
		folding.Go(func() {
			for {
				n, err := b.ledger.CountChildren(context.Background())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				ended += n
				mu.Unlock()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for worker := range 4 {
		working.Go(func() {
			for i := worker; i < 2*children; i += 4 {
				parent := i % 2
				id := int64(101001 + parent*100000 + i/2)
				states := []string{"completed", "discarded", "cancelled"}
				sql, args := finishJob, []any{id, states[rand.IntN(3)]}
				for range rand.IntN(3) {
					for _, step := range []func() error{
						func() error { _, err := b.pool.Exec(context.Background(), sql, args...); return err },
						func() error { _, err := b.pool.Exec(context.Background(), retryJob, id); return err },
					} {
						if err := step(); err != nil {
							t.Error(err)
						}
					}
				}
				if i%10 == 9 {
					sql, args = `DELETE FROM tidemill.river_job WHERE id = $1`, []any{id}
					mu.Lock()
					deleted[parent]++
					mu.Unlock()
				}
				if _, err := b.pool.Exec(context.Background(), sql, args...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
	close(stop)
	folding.Wait()
	ended += b.fold(t)
	for parent := range 2 {
		var done, failed int64
		err := b.pool.QueryRow(context.Background(), `SELECT count(*) FILTER (WHERE state = 'completed'), count(*) FILTER (WHERE state <> 'completed')
			FROM tidemill.river_job WHERE metadata->'tidemill'->'parent' = to_jsonb($1::int)`, parent+1).Scan(&done, &failed)
		if err != nil {
			t.Fatal(err)
		}
		want := batch.Children{Total: children, Done: done, Failed: failed + deleted[parent], Settled: true}
		if diff := cmp.Diff(want, b.children(t, int64(parent+1))); diff != "" {
			t.Errorf("run %d (-children +counts):\n%s", parent+1, diff)
		}
	}
	var events int
	if err := b.pool.QueryRow(context.Background(), `SELECT count(*) FROM tidemill.event`).Scan(&events); err != nil {
		t.Fatal(err)
	}
	if ended != 2 || events != 2 {
		t.Errorf("two runs have ended %d times, and there are %d events", ended, events)
	}
}

// A caller's open transaction may hold a parent's row; the others are counted meanwhile.
func TestAHeldParentHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := setupChildren(t, 1)
	tx, err := b.pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(context.Background(), `UPDATE tidemill.run SET updated_at = now() WHERE id = 1`); err != nil {
		t.Fatal(err)
	}
	for _, id := range []int64{101001, 201001} {
		b.exec(t, finishJob, id, "completed")
	}
	if ended := b.fold(t); ended != 1 || !b.children(t, 2).Settled || b.children(t, 1).Done != 0 {
		t.Errorf("%d ended: %+v and %+v", ended, b.children(t, 1), b.children(t, 2))
	}
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	if ended := b.fold(t); ended != 1 || !b.children(t, 1).Settled {
		t.Errorf("%d ended: %+v", ended, b.children(t, 1))
	}
}

// Counting writes to no index.
func TestCountingIsHOT(t *testing.T) {
	t.Parallel()
	const children = 100
	b := setupChildren(t, children)
	conn, err := b.pool.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range children {
		exec(finishJob, 101001+i, "completed")
		exec(`SELECT tidemill.fold_children()`)
	}
	exec(`SELECT pg_stat_force_next_flush()`)
	var all, hot int
	err = conn.QueryRow(context.Background(), `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = 'tidemill' AND relname = 'run'`).Scan(&all, &hot)
	if err != nil || all < children || hot < all*9/10 {
		t.Errorf("%d of %d updates were HOT, %v", hot, all, err)
	}
}

// A child that works in chunks gets a run of its own, and is counted by its parent all the same.
func TestAChunkedChildIsBoth(t *testing.T) {
	t.Parallel()
	b := setup(t, 25)
	ctx := context.Background()
	_, err := b.Pool.Exec(ctx, `INSERT INTO tidemill.run (id, job, kind, trigger, status, outcome, finished_at, children) VALUES (0, 'fan', 'fan', 'go', 'succeeded', 'succeeded', now(), 1)`)
	if err != nil {
		t.Fatal(err)
	}
	inserted, err := b.Client.Insert(ctx, scoreArgs{}, &river.InsertOpts{Metadata: batch.ChildMetadata(0, "double")})
	if err != nil {
		t.Fatal(err)
	}
	b.waitAdopted(t, inserted.Job.ID)
	b.WaitStatus(t, inserted.Job.ID, batch.Succeeded)
	if _, err := b.Ledger.CountChildren(ctx); err != nil {
		t.Fatal(err)
	}
	parent, err := b.Ledger.Get(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&batch.Children{Total: 1, Done: 1, Settled: true}, parent.Children); diff != "" {
		t.Error(diff)
	}
	if got := b.scores(t)[2]; got != 25 {
		t.Errorf("%d rows", got)
	}
}

func ExampleChildMetadata() {
	fmt.Println(string(batch.ChildMetadata(4711, "user-webhook")))
	// Output: {"tidemill":{"job":"user-webhook","parent":4711}}
}
