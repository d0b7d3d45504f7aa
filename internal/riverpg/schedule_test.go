package riverpg_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/tidemill/tidemill/internal/riverpg"
)

// What the leader makes due, and what it discards for its unique key, is what River would; of the jobs it reads no values.
func TestScheduleAsRiverDoes(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setupTable(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	for i := range 500 {
		// The index refuses most of the rows that could meet; what is left are the conflicts that can be.
		b.do(t, fmt.Sprintf(`INSERT INTO tidemill.river_job (args, kind, priority, scheduled_at, state, unique_key, unique_states)
			VALUES (jsonb_build_object('i', %d, 'x', repeat('x', 1000)), 'a', %d, now() + interval '%d s', %s, %s, %s) ON CONFLICT DO NOTHING`, i, 1+random.IntN(4),
			random.IntN(20)-15, pick("'scheduled'", "'retryable'", "'retryable'", "'available'", "'running'"),
			pick("NULL", fmt.Sprintf("'%d'", random.IntN(60))), pick("B'11110101'", "B'10000001'", "B'00000001'", "B'00000000'", "NULL")))
	}
	type outcome struct {
		State, Metadata string
		Finalized       *time.Time
	}
	look := func(q interface {
		Query(context.Context, string, ...any) (pgx.Rows, error)
	}) map[int64]outcome {
		rows, err := q.Query(ctx, `SELECT id, state::text, metadata::text, finalized_at FROM tidemill.river_job`)
		if err != nil {
			t.Fatal(err)
		}
		all := map[int64]outcome{}
		var id int64
		var o outcome
		_, err = pgx.ForEachRow(rows, []any{&id, &o.State, &o.Metadata, &o.Finalized}, func() error { all[id] = o; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	now := time.Now().Add(2 * time.Second).Truncate(time.Microsecond)
	for _, most := range []int{1, 50, 10_000} {
		params := &riverdriver.JobScheduleParams{Max: most, Now: &now, Schema: "tidemill"}
		tx, err := b.pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := riverpgxv5.New(b.pool).UnwrapExecutor(tx).JobSchedule(ctx, params)
		if err != nil {
			t.Fatal(err)
		}
		want := look(tx)
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		execTx, err := b.exec.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := execTx.JobSchedule(ctx, params)
		if err != nil {
			t.Fatal(err)
		}
		got := look(riverpg.New(riverpg.Opts{Pool: b.pool}).UnwrapTx(execTx))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%d: River and we (+):\n%.4000s", most, diff)
		}
		type result struct {
			Queue     string
			At        time.Time
			Discarded bool
		}
		results := func(all []*riverdriver.JobScheduleResult) map[int64]result {
			m := map[int64]result{}
			for _, r := range all {
				m[r.Job.ID] = result{r.Job.Queue, r.Job.ScheduledAt, r.ConflictDiscarded}
			}
			return m
		}
		if diff := cmp.Diff(results(theirs), results(ours)); diff != "" {
			t.Fatalf("%d: results:\n%.4000s", most, diff)
		}
		for _, r := range ours {
			if r.Job.EncodedArgs != nil {
				t.Fatalf("the arguments of job %d were read", r.Job.ID)
			}
		}
		if err := execTx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
