package batch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/retry"
)

type scoreArgs struct {
	Min int `json:"min"`
}

func (scoreArgs) Kind() string { return "score" }

type user struct {
	ID   int64
	Name string
}

type eachBundle struct {
	*testengine.Engine
	do atomic.Pointer[func(ctx context.Context, tx pgx.Tx, c *batch.Chunk[user]) error]
}

var fastRetry = retry.Policy{MaxAttempts: 3, Backoff: retry.Constant, Delay: 10 * time.Millisecond}

// setup starts a client whose job doubles the score of each user in chunks of ten; a test may replace what it does.
func setup(t *testing.T, users int) *eachBundle {
	t.Helper()
	b := &eachBundle{}
	double := func(ctx context.Context, tx pgx.Tx, c *batch.Chunk[user]) error {
		ids := make([]int64, len(c.Rows))
		for i, row := range c.Rows {
			ids[i] = row.ID
		}
		_, err := tx.Exec(ctx, `UPDATE public.users SET score = score * 2 WHERE id = ANY($1)`, ids)
		return err
	}
	b.do.Store(&double)
	b.Engine = testengine.Start(t, "", func(workers *river.Workers) {
		river.AddWorker(workers, batch.Each(batch.EachOpts[scoreArgs, user]{
			Query:   `SELECT id, name FROM public.users WHERE id >= @min`,
			Params:  func(a scoreArgs) pgx.NamedArgs { return pgx.NamedArgs{"min": a.Min} },
			OrderBy: []string{"id"},
			Size:    10,
			Count:   true,
			Do: func(ctx context.Context, tx pgx.Tx, c *batch.Chunk[user]) error {
				return (*b.do.Load())(ctx, tx, c)
			},
			Attempt: batch.AttemptOpts{Retry: fastRetry},
		}))
	})
	b.exec(t, `CREATE TABLE public.users (id bigint PRIMARY KEY, name text NOT NULL, score bigint NOT NULL DEFAULT 1)`)
	b.exec(t, fmt.Sprintf(`INSERT INTO public.users (id, name) SELECT i, 'user ' || i FROM generate_series(1, %d) i`, users))
	return b
}

func (b *eachBundle) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := b.Pool.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

func (b *eachBundle) start(t *testing.T) int64 {
	t.Helper()
	started, err := b.Ledger.Start(context.Background(), scoreArgs{Min: 1}, batch.StartOpts{Job: "double"})
	if err != nil {
		t.Fatal(err)
	}
	return started.ID
}

// scores returns how many users have each score.
func (b *eachBundle) scores(t *testing.T) map[int64]int64 {
	t.Helper()
	rows, err := b.Pool.Query(context.Background(), `SELECT score, count(*) FROM public.users GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[int64]int64{}
	var score, n int64
	if _, err := pgx.ForEachRow(rows, []any{&score, &n}, func() error { got[score] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

// block makes the job wait at the chunk that holds the given id, until the returned function is called once per wait.
func (b *eachBundle) block(at int64) (reached chan struct{}, release chan struct{}) {
	reached, release = make(chan struct{}, 100), make(chan struct{})
	inner := *b.do.Load()
	do := func(ctx context.Context, tx pgx.Tx, c *batch.Chunk[user]) error {
		for _, row := range c.Rows {
			if row.ID == at {
				reached <- struct{}{}
				select {
				case <-release:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return inner(ctx, tx, c)
	}
	b.do.Store(&do)
	return reached, release
}

func TestEachWalksEveryRowOnce(t *testing.T) {
	t.Parallel()

	for _, n := range []int{0, 1, 9, 10, 11, 95} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b := setup(t, n)
			info := b.WaitStatus(t, b.start(t), batch.Succeeded, batch.Failed)
			if info.Status != batch.Succeeded {
				t.Fatalf("%s: %s", info.Status, *info.Error)
			}
			want := map[int64]int64{}
			if n > 0 {
				want[2] = int64(n)
			}
			if diff := cmp.Diff(want, b.scores(t)); diff != "" {
				t.Error(diff)
			}
			if info.Counters.Processed != int64(n) || info.Done != int64(n) {
				t.Errorf("counters %+v, done %d", info.Counters, info.Done)
			}
			if n > 0 && (info.Total == nil || *info.Total != int64(n)) {
				t.Errorf("total %v", info.Total)
			}
		})
	}
}

func TestEachOfPlainRiverInsert(t *testing.T) {
	t.Parallel()

	b := setup(t, 25)
	job, err := b.Client.Insert(context.Background(), scoreArgs{Min: 6}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.waitAdopted(t, job.Job.ID)
	info := b.WaitStatus(t, job.Job.ID, batch.Succeeded)
	if info.Job != "score" || info.Trigger != "river" || info.Counters.Processed != 20 {
		t.Errorf("%+v", info)
	}
	if diff := cmp.Diff(map[int64]int64{1: 5, 2: 20}, b.scores(t)); diff != "" {
		t.Error(diff)
	}
}

// waitAdopted waits for the ledger row that the first attempt of a plain River job makes.
func (b *eachBundle) waitAdopted(t *testing.T, id int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		_, err := b.Ledger.Get(ctx, id)
		if err == nil {
			return
		}
		if !errors.Is(err, batch.ErrNoRun) {
			t.Fatal(err)
		}
	}
}

func TestEachResumesBehindTheLastCommit(t *testing.T) {
	t.Parallel()

	b := setup(t, 100)
	inner := *b.do.Load()
	var failures atomic.Int64
	do := func(ctx context.Context, tx pgx.Tx, c *batch.Chunk[user]) error {
		if err := inner(ctx, tx, c); err != nil {
			return err
		}
		// Every second chunk fails twice after it wrote; without progress a third failure would end the run.
		if c.No%2 == 1 && failures.Add(1)%3 != 0 {
			return errors.New("boom")
		}
		return nil
	}
	b.do.Store(&do)
	info := b.WaitStatus(t, b.start(t), batch.Succeeded, batch.Failed)
	if info.Status != batch.Succeeded {
		t.Fatalf("%s: %s", info.Status, *info.Error)
	}
	if diff := cmp.Diff(map[int64]int64{2: 100}, b.scores(t)); diff != "" {
		t.Error(diff)
	}
}

func TestEachGivesUpWithoutProgress(t *testing.T) {
	t.Parallel()

	b := setup(t, 30)
	var calls atomic.Int64
	do := func(_ context.Context, _ pgx.Tx, c *batch.Chunk[user]) error {
		if c.No == 1 {
			calls.Add(1)
			return errors.New("never works")
		}
		return nil
	}
	b.do.Store(&do)
	id := b.start(t)
	info := b.WaitStatus(t, id, batch.Failed)
	if calls.Load() != 3 || *info.Error != "never works" || info.Done != 10 {
		t.Errorf("%d calls, error %q, done %d", calls.Load(), *info.Error, info.Done)
	}
	b.agree(t, id, "discarded")

	// A person fixes it and retries: it resumes where it stopped.
	fixed := func(context.Context, pgx.Tx, *batch.Chunk[user]) error { calls.Add(1); return nil }
	calls.Store(0)
	b.do.Store(&fixed)
	if again, err := b.Ledger.Retry(context.Background(), id, batch.RetryOpts{}); err != nil || again != id {
		t.Fatalf("retry: %d, %v", again, err)
	}
	info = b.WaitStatus(t, id, batch.Succeeded)
	if calls.Load() != 2 || info.Done != 30 || info.Error != nil {
		t.Errorf("%d calls, done %d, error %v", calls.Load(), info.Done, info.Error)
	}
}

func TestEachPermanentErrorAndPanic(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name  string
		do    func() error
		want  string
		calls int64
	}{
		{"permanent", func() error { return retry.Permanent(errors.New("no such account")) }, "no such account", 1},
		{"panic", func() error { panic("index out of range") }, "panic: index out of range", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 5)
			var calls atomic.Int64
			do := func(context.Context, pgx.Tx, *batch.Chunk[user]) error { calls.Add(1); return tt.do() }
			b.do.Store(&do)
			info := b.WaitStatus(t, b.start(t), batch.Failed)
			if *info.Error != tt.want || calls.Load() != tt.calls {
				t.Errorf("error %q after %d calls", *info.Error, calls.Load())
			}
		})
	}
}

// A key that repeats, or has a NULL, fails the run wherever the ends of chunks are: rows could be passed over.
func TestEachRefusesKeysThatLoseRows(t *testing.T) {
	t.Parallel()

	type args struct{ scoreArgs }
	type row struct{ A, B *int }
	tests := []struct {
		name, values string
		orderBy      []string
		want         string // empty: nothing is wrong
	}{
		{"a repeated key", "(1, 1), (2, 1), (2, 1), (3, 1)", []string{"a", "b"}, "not unique"},
		{"a repeated key of one column", "(1, 1), (2, 1), (2, 2), (3, 1)", []string{"a"}, "not unique"},
		{"NULL in the only column", "(1, 1), (NULL, 2), (3, 1)", []string{"a"}, "column a is NULL"},
		{"NULL in the second column, of the first key", "(1, NULL), (2, 1), (3, 1), (4, 1)", []string{"a", "b"}, "column b is NULL"},
		{"NULL in the second column, in the middle", "(1, 1), (2, 1), (2, 2), (2, NULL), (3, 1), (4, 1)", []string{"a", "b"}, "column b is NULL"},
		{"NULL in the second column, of the last key", "(1, 1), (2, 1), (3, 1), (3, NULL)", []string{"a", "b"}, "column b is NULL"},
		{"NULL in the first column", "(1, 1), (NULL, 1), (3, 1)", []string{"a", "b"}, "column a is NULL"},
		{"all well", "(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)", []string{"a", "b"}, ""},
	}
	for _, tt := range tests {
		for size := 1; size <= 6; size++ {
			t.Run(fmt.Sprintf("%s, chunks of %d", tt.name, size), func(t *testing.T) {
				t.Parallel()
				rows := 0
				e := testengine.Start(t, "", func(workers *river.Workers) {
					river.AddWorker(workers, batch.Each(batch.EachOpts[args, row]{
						Query: "SELECT a, b FROM (VALUES " + tt.values + ") t (a, b)", OrderBy: tt.orderBy, Size: size,
						Do: func(_ context.Context, _ pgx.Tx, c *batch.Chunk[row]) error {
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
				switch {
				case tt.want == "" && (info.Status != batch.Succeeded || rows != strings.Count(tt.values, "(")):
					t.Errorf("%s after %d rows: %s", info.Status, rows, pointed(info.Error))
				case tt.want != "" && (info.Error == nil || !strings.Contains(*info.Error, tt.want)):
					t.Errorf("%s after %d rows: %s, want %q", info.Status, rows, pointed(info.Error), tt.want)
				}
			})
		}
	}
}

func TestEachCompositeKeysOfAllKinds(t *testing.T) {
	t.Parallel()

	type args struct{ scoreArgs }
	type row struct {
		At   time.Time
		Name string
		N    float64
	}
	var seen []string
	e := testengine.Start(t, "", func(workers *river.Workers) {
		river.AddWorker(workers, batch.Each(batch.EachOpts[args, row]{
			Query: `SELECT timestamptz '2026-01-01 00:00:00.123456+09' + i / 3 * interval '1 day' AS at,
				chr(97 + i % 3) || '日本 ''"' AS name, (i % 2)::numeric / 3 AS n FROM generate_series(0, 20) i`,
			OrderBy: []string{"at", "name", "n"},
			Size:    4,
			Do: func(_ context.Context, _ pgx.Tx, c *batch.Chunk[row]) error {
				for _, r := range c.Rows {
					seen = append(seen, r.At.UTC().Format("0102")+r.Name[:1])
				}
				return nil
			},
		}))
	})
	started, err := e.Ledger.Start(context.Background(), args{}, batch.StartOpts{})
	if err != nil {
		t.Fatal(err)
	}
	e.WaitStatus(t, started.ID, batch.Succeeded)
	var want []string
	for i := range 21 {
		want = append(want, time.Date(2025, 12, 31+i/3, 0, 0, 0, 0, time.UTC).Format("0102")+string(rune('a'+i%3)))
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

// Keys that are equal in different forms lose no row, wherever the ends of chunks are: the run has all of them, or fails.
func TestEachOfKeysEqualInOtherForms(t *testing.T) {
	t.Parallel()

	type args struct{ scoreArgs }
	for _, values := range []string{
		"(1.0), (1.00), (2)", "('0'::float8), ('-0'::float8), ('1'::float8)", "('1 day'::interval), ('24 hours'::interval), ('2 days'::interval)",
		"('a'), ('b'), ('c')",
	} {
		for size := 1; size <= 3; size++ {
			t.Run(fmt.Sprintf("%s, chunks of %d", values, size), func(t *testing.T) {
				t.Parallel()
				rows := 0
				type row struct{ V any }
				e := testengine.Start(t, "", func(workers *river.Workers) {
					river.AddWorker(workers, batch.Each(batch.EachOpts[args, row]{
						Query: "SELECT v FROM (VALUES " + values + ") t (v)", OrderBy: []string{"v"}, Size: size,
						Do: func(_ context.Context, _ pgx.Tx, c *batch.Chunk[row]) error {
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
				refused := info.Status == batch.Failed && strings.Contains(*info.Error, "not unique") && !strings.Contains(values, "'a'")
				if !refused && (info.Status != batch.Succeeded || rows != 3) {
					t.Errorf("%s after %d rows: %s", info.Status, rows, pointed(info.Error))
				}
			})
		}
	}
}

// A connection that is lost while a chunk is read is an error like any other, to be tried again: a statement without an answer
// has no columns.
func TestEachSurvivesLostConnections(t *testing.T) {
	t.Parallel()

	type args struct{ scoreArgs }
	for evaluation := 2; evaluation <= 5; evaluation++ {
		t.Run(fmt.Sprint(evaluation), func(t *testing.T) {
			t.Parallel()
			rows := 0
			e := testengine.Start(t, "", func(workers *river.Workers) {
				river.AddWorker(workers, batch.Each(batch.EachOpts[args, int]{
					Query: `SELECT v FROM generate_series(1, 6) v
						WHERE CASE WHEN v = 3 AND nextval('public.once') = ` + fmt.Sprint(evaluation) + ` THEN pg_terminate_backend(pg_backend_pid()) ELSE true END`,
					OrderBy: []string{"v"}, Size: 1,
					Do: func(_ context.Context, _ pgx.Tx, c *batch.Chunk[int]) error {
						rows += len(c.Rows)
						return nil
					},
				}))
			})
			if _, err := e.Pool.Exec(t.Context(), `CREATE SEQUENCE public.once`); err != nil {
				t.Fatal(err)
			}
			started, err := e.Ledger.Start(context.Background(), args{}, batch.StartOpts{})
			if err != nil {
				t.Fatal(err)
			}
			if info := e.WaitStatus(t, started.ID, batch.Succeeded, batch.Failed); info.Status != batch.Succeeded || rows < 6 {
				t.Errorf("%s after %d rows: %s", info.Status, rows, pointed(info.Error))
			}
		})
	}
}

func pointed(text *string) string {
	if text == nil {
		return "no error"
	}
	return *text
}
