package chaos

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/migrations"
)

var (
	eachPeople = flag.Int("chaos.people", 12_000, "rows, and so children, under TestEach")
	eachFor    = flag.Duration("chaos.eachfor", 8*time.Second, "how long TestEach makes trouble")
	eachKill   = flag.Duration("chaos.eachkill", 3*time.Second, "how often TestEach kills a process")
)

// moodArgs is a job that fails one time in four.
type moodArgs struct {
	ID int64 `json:"id"`
}

func (moodArgs) Kind() string { return "mood" }

type moodWorker struct {
	river.WorkerDefaults[moodArgs]
}

func (*moodWorker) Work(ctx context.Context, _ *river.Job[moodArgs]) error {
	select {
	case <-time.After(time.Duration(rand.IntN(20)) * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	if rand.IntN(4) == 0 {
		return errors.New("not in the mood")
	}
	return nil
}

const eachConfig = jobConfig + `
jobs:
  child: {kind: mood, retry: {max_attempts: 2, backoff: constant, delay: 100ms}}
  walk:
    kind: each
    query: SELECT id FROM public.people
    order_by: [id]
    enqueue: {job: child}
    then: {success: [after], failure: [after]}
  after: {kind: step, args: {most: 0}}
`

// Four processes work the children of a run; while they do, children are retried, cancelled and deleted at random, and
// processes are killed, first of all the one that enqueues, between its insert and its commit. The parent's counts must be
// those of the children at the end, and what follows it must be started once.
//
//	go test ./internal/chaos -run TestEach -chaos.people 100000 -chaos.eachfor 60s -timeout 30m -v
func TestEach(t *testing.T) {
	t.Parallel()

	b := setupJobs(t)
	ctx := context.Background()
	if err := os.WriteFile(filepath.Join(b.dir, "tidemill.yaml"), []byte(eachConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	// The child of this row waits for a lock, with some thousand of its chunk inserted before it.
	gate, err := b.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gate.Rollback(ctx) }()
	for _, sql := range []string{
		`CREATE TABLE public.people (id bigint PRIMARY KEY)`,
		`CREATE FUNCTION public.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END $$`,
		`CREATE TRIGGER gate BEFORE INSERT ON tidemill.river_job FOR EACH ROW WHEN (NEW.args->'id' = '7000') EXECUTE FUNCTION public.gate()`,
	} {
		if _, err := b.pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.pool.Exec(ctx, `INSERT INTO public.people SELECT generate_series(1, $1)`, *eachPeople); err != nil {
		t.Fatal(err)
	}
	if _, err := gate.Exec(ctx, `SELECT pg_advisory_xact_lock(7)`); err != nil {
		t.Fatal(err)
	}
	var workers []*worker
	for range 4 {
		workers = append(workers, b.startWorker(t))
	}
	b.until(t, 1, 30*time.Second, `SELECT count(*)::int FROM tidemill.job WHERE name = 'walk'`)
	var parent int64
	if err := b.pool.QueryRow(ctx, `SELECT tidemill.start('walk')`).Scan(&parent); err != nil {
		t.Fatal(err)
	}
	b.until(t, 5000, 30*time.Second, `SELECT coalesce(children, 0)::int FROM tidemill.run WHERE id = $1`, parent)
	b.until(t, 1, 30*time.Second, `SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	b.killOwner(t, parent, workers)
	if err := gate.Rollback(ctx); err != nil {
		t.Fatal(err)
	}

	did := b.trouble(t, workers)
	const unfinished = `SELECT count(*)::int FROM tidemill.river_job WHERE finalized_at IS NULL`
	b.until(t, 0, 5*time.Minute, unfinished)
	b.until(t, 1, 30*time.Second, `SELECT count(*)::int FROM tidemill.run WHERE id = $1 AND children_settled AND children = children_done + children_failed`, parent)
	b.until(t, 0, 30*time.Second, `SELECT count(*)::int FROM tidemill.child_delta`)

	info, err := batch.NewLedger(b.pool, migrations.Schema{}, nil).Get(ctx, parent)
	if err != nil {
		t.Fatal(err)
	}
	done := b.count(t, `SELECT count(*)::int FROM tidemill.river_job WHERE kind = 'mood' AND state = 'completed'`)
	failed := b.count(t, `SELECT count(*)::int FROM tidemill.river_job WHERE kind = 'mood' AND state IN ('discarded', 'cancelled')`)
	different := b.count(t, `SELECT count(DISTINCT args->>'id')::int FROM tidemill.river_job WHERE kind = 'mood'`)
	const follows = `SELECT count(*)::int FROM tidemill.run WHERE trigger = 'then'`
	b.until(t, 1, time.Minute, follows) // it is started within a second, on a machine that has the time
	then := b.count(t, follows)
	t.Logf("%d rows: %d done, %d failed, %d deleted (%d that had not completed); %d retried, %d cancelled, %d processes killed",
		*eachPeople, done, failed, did.deleted, did.lost, did.retried, did.cancelled, did.killed)
	want := batch.Children{Total: int64(*eachPeople), Done: int64(done + did.gone), Failed: int64(failed + did.lost), Settled: true}
	if info.Children == nil || *info.Children != want {
		t.Errorf("the parent counts %+v, want %+v", info.Children, want)
	}
	if done+failed+did.deleted != *eachPeople || different != done+failed {
		t.Errorf("%d rows have %d children of %d rows, and %d were deleted", *eachPeople, done+failed, different, did.deleted)
	}
	if info.Done != int64(*eachPeople) || info.Status != batch.Succeeded || then != 1 {
		t.Errorf("%d rows done, run %s, %d runs follow it", info.Done, info.Status, then)
	}
}

// killOwner kills the process that runs the job, and starts another in its place.
func (b *jobBundle) killOwner(t *testing.T, id int64, workers []*worker) {
	t.Helper()
	pid := b.count(t, `SELECT p.pid FROM tidemill.river_job j JOIN tidemill.process p ON p.id = j.attempted_by[array_upper(j.attempted_by, 1)] WHERE j.id = $1`, id)
	for i, w := range workers {
		if w.cmd.Process.Pid == pid {
			b.replace(t, workers, i)
			return
		}
	}
	t.Fatalf("process %d runs job %d, and is none of ours", pid, id)
}

func (b *jobBundle) replace(t *testing.T, workers []*worker, i int) {
	t.Helper()
	if err := workers[i].cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = workers[i].cmd.Wait()
	workers[i] = b.startWorker(t)
}

// troubles are how many children what was done to. Of those deleted, gone had completed; lost had failed, or had not ended,
// which counts as failed.
type troubles struct{ retried, cancelled, deleted, gone, lost, killed int }

func (b *jobBundle) trouble(t *testing.T, workers []*worker) troubles {
	t.Helper()
	var all troubles
	began, killed := time.Now(), time.Now()
	change := func(sql string) int {
		tag, err := b.pool.Exec(context.Background(), sql, 1+rand.IntN(30))
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "40P01" {
			return 0
		}
		if err != nil {
			t.Fatal(err)
		}
		return int(tag.RowsAffected())
	}
	const some = ` WHERE id = ANY (ARRAY(SELECT id FROM tidemill.river_job WHERE kind = 'mood' AND `
	const random = ` ORDER BY random() LIMIT $1 FOR UPDATE SKIP LOCKED))`
	for time.Since(began) < *eachFor {
		all.retried += change(`UPDATE tidemill.river_job SET state = 'available', finalized_at = NULL, scheduled_at = now(), max_attempts = attempt + 1` +
			some + `state IN ('discarded', 'cancelled', 'completed')` + random)
		all.cancelled += change(`UPDATE tidemill.river_job SET state = 'cancelled', finalized_at = now()` + some + `state IN ('available', 'retryable', 'scheduled')` + random)
		rows, err := b.pool.Query(context.Background(), `DELETE FROM tidemill.river_job`+some+`true`+random+` RETURNING state::text`, 1+rand.IntN(10))
		if err != nil {
			t.Fatal(err)
		}
		var state string
		_, err = pgx.ForEachRow(rows, []any{&state}, func() error {
			all.deleted++
			if state == "completed" {
				all.gone++
			} else {
				all.lost++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(killed) > *eachKill {
			b.replace(t, workers, rand.IntN(len(workers)))
			all.killed, killed = all.killed+1, time.Now()
		}
		pause(20 * time.Millisecond)
	}
	return all
}
