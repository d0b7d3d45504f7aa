package batch_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/retry"
)

type aheadArgs struct{}

func (aheadArgs) Kind() string { return "ahead" }

type aheadWorker struct {
	river.WorkerDefaults[aheadArgs]
	batch.Chunked
	do func(ctx context.Context, run *batch.Run) error
}

func (w *aheadWorker) Work(ctx context.Context, job *river.Job[aheadArgs]) error {
	return w.Attempt(ctx, job.JobRow, batch.AttemptOpts{}, w.do)
}

// runAhead runs do as a job, with a pool for its chunks alone, and returns the ended run. The table t has the key n.
func runAhead(t *testing.T, direct, through string, do func(ctx context.Context, run *batch.Run) error) (*batch.Info, *pgxpool.Pool) {
	t.Helper()
	ctx := context.Background()
	pool := testdb.Pool(t, direct)
	if _, err := pool.Exec(ctx, `CREATE TABLE public.t (n int PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	chunks, err := pgxpool.New(ctx, through)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chunks.Close)
	engine := batch.New(batch.Opts{Pool: chunks, Logger: slog.New(slog.DiscardHandler)})
	workers := river.NewWorkers()
	river.AddWorker(workers, &aheadWorker{do: do})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Logger: slog.New(slog.DiscardHandler), Plugins: []rivertype.Plugin{engine}, Schema: migrations.DefaultSchema,
		Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 1}}, Workers: workers,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.StopAndCancel(ctx); err != nil {
			t.Error(err)
		}
	})
	e := &testengine.Engine{Pool: pool, Client: client, Ledger: batch.NewLedger(pool, migrations.Schema{}, client)}
	started, err := e.Ledger.Start(ctx, aheadArgs{}, batch.StartOpts{})
	if err != nil {
		t.Fatal(err)
	}
	return e.WaitStatus(t, started.ID, batch.Succeeded, batch.Failed, batch.Retrying, batch.Cancelled), pool
}

func insert(n int) func(ctx context.Context, tx pgx.Tx) error {
	return func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO public.t VALUES ($1)`, n)
		return err
	}
}

func one(context.Context, pgx.Tx) (batch.Step, error) {
	return batch.Step{Counters: batch.Counters{Read: 1, Processed: 1}}, nil
}

// whole inserts n and counts it.
func whole(n int) func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
	return func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
		if err := insert(n)(ctx, tx); err != nil {
			return batch.Step{}, err
		}
		return one(ctx, tx)
	}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// The chunk in front needs a row that the one after it has written already.
func TestAheadGivesWay(t *testing.T) {
	t.Parallel()
	url := testengine.URL(t)
	info, _ := runAhead(t, url, url, func(ctx context.Context, run *batch.Run) error {
		ahead, err := run.Ahead(ctx, insert(1))
		if err != nil {
			return err
		}
		turn, waited := make(chan struct{}), make(chan bool, 1)
		go func() { waited <- ahead.Await(ctx, turn) }()
		if err := run.Chunk(ctx, whole(1)); err != nil {
			return err
		}
		close(turn)
		if <-waited {
			return errors.New("it did not give way")
		}
		return run.ChunkAhead(ctx, nil, one, whole(2))
	})
	if info.Status != batch.Succeeded || info.Counters.Processed != 2 {
		t.Errorf("%s: %v, %+v", info.Status, failure(info), info.Counters)
	}
}

// Whatever becomes of the first try, a chunk is written once.
func TestAheadFallsBack(t *testing.T) {
	t.Parallel()
	url := testengine.URL(t)
	info, pool := runAhead(t, url, url, func(ctx context.Context, run *batch.Run) error {
		for n, rest := range []func(context.Context, pgx.Tx) (batch.Step, error){
			one,
			func(context.Context, pgx.Tx) (batch.Step, error) { return batch.Step{}, errors.New("not now") },
			func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
				_, err := tx.Exec(ctx, `SELECT 1 / 0`)
				return batch.Step{}, err
			},
			func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
				_ = tx.Conn().Close(ctx)
				return one(ctx, tx)
			},
		} {
			ahead, err := run.Ahead(ctx, insert(n))
			if err != nil {
				return err
			}
			if !ahead.Await(ctx, closed()) {
				return errors.New("no turn")
			}
			if err := run.ChunkAhead(ctx, ahead, rest, whole(n)); err != nil {
				return err
			}
		}
		return nil
	})
	if info.Status != batch.Succeeded || info.Counters.Processed != 4 {
		t.Errorf("%s: %v, %+v", info.Status, failure(info), info.Counters)
	}
	if n := count(t, pool); n != 4 {
		t.Errorf("%d rows", n)
	}
}

func failure(info *batch.Info) string {
	if info.Error == nil {
		return ""
	}
	return *info.Error
}

func count(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	if err := pool.QueryRow(context.Background(), `SELECT count(*) FROM public.t`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Half of the pool is left to those whose turn it is.
func TestAheadLeavesConnections(t *testing.T) {
	t.Parallel()
	url := testengine.URL(t)
	var begun int
	info, pool := runAhead(t, url, url+"&pool_max_conns=6", func(ctx context.Context, run *batch.Run) error {
		begun = 0
		for {
			ahead, err := run.Ahead(ctx, insert(begun))
			if err != nil {
				break
			}
			defer ahead.Release(ctx)
			begun++
		}
		return run.Chunk(ctx, whole(100))
	})
	if info.Status != batch.Succeeded {
		t.Errorf("%s: %v", info.Status, failure(info))
	}
	if diff := cmp.Diff([]int{3, 1}, []int{begun, count(t, pool)}); diff != "" {
		t.Errorf("begun and rows: %s", diff)
	}
}

func TestAheadDiesInCommit(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"before", "after"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			direct := testengine.URL(t)
			var commits atomic.Int64
			proxy, through := newCutter(t, direct, func() string {
				if commits.Add(1)%5 != 0 {
					return ""
				}
				return how
			})
			const rows = 40
			info, pool := runAhead(t, direct, through, func(ctx context.Context, run *batch.Run) error {
				for n := range rows {
					ahead, err := run.Ahead(ctx, insert(n))
					if err != nil {
						return err
					}
					if !ahead.Await(ctx, closed()) {
						return errors.New("no turn")
					}
					if err := run.ChunkAhead(ctx, ahead, one, whole(n)); err != nil {
						return err
					}
				}
				return nil
			})
			if info.Status != batch.Succeeded || info.Counters.Processed != rows || count(t, pool) != rows {
				t.Errorf("%s: %v, %+v, %d rows", info.Status, failure(info), info.Counters, count(t, pool))
			}
			if proxy.cuts.Load() < 3 {
				t.Errorf("only %d commits were cut", proxy.cuts.Load())
			}
		})
	}
}

// A long chunk shows how far it is, and can be cancelled.
func TestProgressWithinAChunk(t *testing.T) {
	t.Parallel()
	url := testengine.URL(t)
	shown := make(chan struct{})
	var once atomic.Bool
	ctx := context.Background()
	pool := testdb.Pool(t, url)
	go func() {
		<-shown
		_, _ = pool.Exec(ctx, `INSERT INTO tidemill.run_intent (run, intent) SELECT id, 'cancel' FROM tidemill.run WHERE done = 7`)
	}()
	info, pool := runAhead(t, url, url, func(ctx context.Context, run *batch.Run) error {
		return run.Chunk(ctx, func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
			if err := insert(1)(ctx, tx); err != nil {
				return batch.Step{}, err
			}
			for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
				if err := run.Progress(ctx, 7); err != nil {
					return batch.Step{}, err
				}
				if once.CompareAndSwap(false, true) {
					close(shown)
				}
			}
			return one(ctx, tx)
		})
	})
	if n := count(t, pool); n != 0 || info.Status != batch.Cancelled {
		t.Errorf("%s: %d rows were committed", info.Status, n)
	}
}

// River stores the ends of several jobs at once, and no text of PostgreSQL takes a NUL.
func TestErrorsMayQuoteAnything(t *testing.T) {
	t.Parallel()
	url := testengine.URL(t)
	info, _ := runAhead(t, url, url, func(context.Context, *batch.Run) error {
		return retry.Permanent(errors.New("no field i\x00d in \xff"))
	})
	if got := failure(info); info.Status != batch.Failed || got != "no field id in \uFFFD" {
		t.Errorf("%s: %q", info.Status, got)
	}
}

// What a run keeps of a file may be anything, too.
func TestRunsMayKeepAnything(t *testing.T) {
	t.Parallel()
	url := testengine.URL(t)
	const text = "a\x00\\u0000\\\x00 \\"
	info, pool := runAhead(t, url, url, func(ctx context.Context, run *batch.Run) error {
		if err := run.Note(ctx, map[string]any{text: text}); err != nil {
			return err
		}
		return run.Chunk(ctx, func(context.Context, pgx.Tx) (batch.Step, error) {
			return batch.Step{Cursor: text, Finish: &batch.Finish{Result: []string{text}}}, nil
		})
	})
	if info.Status != batch.Succeeded {
		t.Fatalf("%s: %s", info.Status, failure(info))
	}
	var cursor, result, note string
	err := pool.QueryRow(t.Context(), `SELECT cursor #>> '{}', result->>0, metadata->>$2 FROM tidemill.run WHERE id = $1`,
		info.ID, strings.ReplaceAll(text, "\x00", "\uFFFD")).Scan(&cursor, &result, &note)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(text, "\x00", "\uFFFD")
	if cursor != want || result != want || note != want {
		t.Errorf("%q, %q and %q, want %q", cursor, result, note, want)
	}
}
