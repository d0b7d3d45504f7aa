package batch_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testengine"
)

// agree checks that River's row has the state that the run's status says.
func (b *eachBundle) agree(t *testing.T, id int64, want string) {
	t.Helper()
	var state string
	if err := b.Pool.QueryRow(context.Background(), `SELECT state FROM tidemill.river_job WHERE id = $1`, id).Scan(&state); err != nil {
		t.Fatal(err)
	}
	if state != want {
		t.Errorf("river_job %d is %s, want %s", id, state, want)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t, 100)
	reached, release := b.block(35)
	id := b.start(t)
	<-reached
	if err := b.Ledger.Pause(ctx, id); err != nil {
		t.Fatal(err)
	}
	b.WaitStatus(t, id, batch.Pausing)
	close(release)
	info := b.WaitStatus(t, id, batch.Paused)
	if info.Done != 40 {
		t.Errorf("paused at %d, want the end of the chunk", info.Done)
	}
	b.agree(t, id, "scheduled")

	if err := b.Ledger.Pause(ctx, id); err != nil {
		t.Errorf("pausing a paused run: %v", err)
	}
	if err := b.Ledger.Resume(ctx, id); err != nil {
		t.Fatal(err)
	}
	b.WaitStatus(t, id, batch.Succeeded)
	if diff := cmp.Diff(map[int64]int64{2: 100}, b.scores(t)); diff != "" {
		t.Error(diff)
	}
	var asked *batch.StateError
	if err := b.Ledger.Resume(ctx, id); !errors.As(err, &asked) {
		t.Errorf("resume of a finished run: %v", err)
	}
}

func TestResumeTakesBackAPauseNotReached(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t, 100)
	reached, release := b.block(35)
	id := b.start(t)
	<-reached
	for _, step := range []func(context.Context, int64) error{b.Ledger.Pause, b.Ledger.Resume, b.Ledger.Pause, b.Ledger.Resume} {
		if err := step(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	b.WaitStatus(t, id, batch.Succeeded)
}

// The snooze of a pause may reach the database after the resume; the trigger turns it round.
func TestResumeBeforeTheSnoozeLands(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t, 2000)
	reached, release := b.block(1005)
	for range 20 {
		b.exec(t, `UPDATE public.users SET score = 1`)
		id := b.start(t)
		<-reached
		if err := b.Ledger.Pause(ctx, id); err != nil {
			t.Fatal(err)
		}
		release <- struct{}{}
		// River's completer flushes up to 250 ms later: the resume comes first in some rounds, last in others.
		if err := b.Ledger.Resume(ctx, id); err != nil {
			t.Fatal(err)
		}
		b.WaitStatus(t, id, batch.Succeeded)
		if diff := cmp.Diff(map[int64]int64{2: 2000}, b.scores(t)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestPauseOfAWaitingRun(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t, 10)
	if err := b.Client.QueuePause(ctx, "default", nil); err != nil {
		t.Fatal(err)
	}
	// The queue's pause must have reached the producer before the job is there.
	b.waitQueuePaused(t)
	id := b.start(t)
	if err := b.Ledger.Pause(ctx, id); err != nil {
		t.Fatal(err)
	}
	b.WaitStatus(t, id, batch.Paused)
	if err := b.Client.QueueResume(ctx, "default", nil); err != nil {
		t.Fatal(err)
	}
	b.agree(t, id, "scheduled")
	if err := b.Ledger.Resume(ctx, id); err != nil {
		t.Fatal(err)
	}
	b.WaitStatus(t, id, batch.Succeeded)
}

// A pause before its time does not make a run early.
func TestPauseKeepsTheDueTime(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t, 10)
	at := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	started, err := b.Ledger.Start(ctx, scoreArgs{}, batch.StartOpts{Insert: &river.InsertOpts{ScheduledAt: at}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func(context.Context, int64) error{b.Ledger.Pause, b.Ledger.Pause, b.Ledger.Resume, b.Ledger.Resume} {
		if err := step(ctx, started.ID); err != nil {
			t.Fatal(err)
		}
	}
	b.WaitStatus(t, started.ID, batch.Enqueued)
	b.agree(t, started.ID, "scheduled")
	due, waits, err := b.Ledger.Due(ctx, started.ID)
	if err != nil || !waits || !due.Equal(at) {
		t.Errorf("due %v (%v, %v), want %v", due, waits, err, at)
	}
	// A pause of one that is due already is no delay.
	if _, err := b.Pool.Exec(ctx, `UPDATE tidemill.river_job SET scheduled_at = now() + interval '200 milliseconds' WHERE id = $1`, started.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.Ledger.Pause(ctx, started.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Pool.Exec(ctx, `SELECT pg_sleep(0.3)`); err != nil {
		t.Fatal(err)
	}
	if err := b.Ledger.Resume(ctx, started.ID); err != nil {
		t.Fatal(err)
	}
	b.WaitStatus(t, started.ID, batch.Succeeded)
}

func (b *eachBundle) waitQueuePaused(t *testing.T) {
	t.Helper()
	queue, err := b.Client.QueueGet(context.Background(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if queue.PausedAt == nil {
		t.Fatal("queue is not paused")
	}
}

func TestCancelKeepsWhatIsCommitted(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t, 100)
	reached, release := b.block(35)
	id := b.start(t)
	<-reached
	if err := b.Ledger.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	info := b.WaitStatus(t, id, batch.Cancelled)
	close(release)
	if diff := cmp.Diff(map[int64]int64{1: 70, 2: 30}, b.scores(t)); diff != "" {
		t.Error(diff)
	}
	if info.Done != 30 {
		t.Errorf("done %d", info.Done)
	}
	b.agree(t, id, "cancelled")

	if _, err := b.Ledger.Retry(ctx, id, batch.RetryOpts{}); err != nil {
		t.Fatal(err)
	}
	b.WaitStatus(t, id, batch.Succeeded)
	if diff := cmp.Diff(map[int64]int64{2: 100}, b.scores(t)); diff != "" {
		t.Error(diff)
	}
}

func TestRetryWhenRiverForgotTheJob(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t, 100)
	reached, release := b.block(35)
	id := b.start(t)
	<-reached
	if err := b.Ledger.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	b.WaitStatus(t, id, batch.Cancelled)
	close(release)
	if _, err := b.Client.JobDelete(ctx, id); err != nil {
		t.Fatal(err)
	}
	again, err := b.Ledger.Retry(ctx, id, batch.RetryOpts{})
	if err != nil || again == id {
		t.Fatalf("retry: run %d, %v", again, err)
	}
	info := b.WaitStatus(t, again, batch.Succeeded)
	if info.RetryOf == nil || *info.RetryOf != id || info.Done != 100 {
		t.Errorf("%+v", info)
	}
	if diff := cmp.Diff(map[int64]int64{2: 100}, b.scores(t)); diff != "" {
		t.Error(diff)
	}
}

func TestDeletedJobEndsItsRun(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t, 20)
	id := b.start(t)
	info := b.WaitStatus(t, id, batch.Succeeded)
	if _, err := b.Client.JobDelete(ctx, id); err != nil {
		t.Fatal(err)
	}
	if again, _ := b.Ledger.Get(ctx, id); again.Status != info.Status {
		t.Errorf("a finished run became %s", again.Status)
	}

	reached, release := b.block(5)
	id = b.start(t)
	<-reached
	if err := b.Ledger.Pause(ctx, id); err != nil {
		t.Fatal(err)
	}
	close(release)
	b.WaitStatus(t, id, batch.Paused)
	if _, err := b.Client.JobDelete(ctx, id); err != nil {
		t.Fatal(err)
	}
	b.WaitStatus(t, id, batch.Cancelled)
}

func TestStartWithIdentity(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t, 20)
	reached, release := b.block(5)
	opts := batch.StartOpts{Job: "double", Identity: batch.Identity("double", "x"), Once: true}
	type answer struct {
		started *batch.Started
		err     error
	}
	answers := make(chan answer, 20)
	for range cap(answers) {
		go func() {
			started, err := b.Ledger.Start(ctx, scoreArgs{}, opts)
			answers <- answer{started, err}
		}()
	}
	ids := map[int64]int{}
	fresh := 0
	for range cap(answers) {
		a := <-answers
		if a.err != nil {
			t.Fatal(a.err)
		}
		ids[a.started.ID]++
		if !a.started.Existing {
			fresh++
		}
	}
	if len(ids) != 1 || fresh != 1 {
		t.Fatalf("%d runs, %d of them new", len(ids), fresh)
	}
	<-reached
	close(release)
	for id := range ids {
		b.WaitStatus(t, id, batch.Succeeded)
	}
	if a, err := b.Ledger.Start(ctx, scoreArgs{}, opts); err != nil || !a.Existing || a.Status != batch.Succeeded {
		t.Errorf("%+v, %v", a, err)
	}
	opts.Once = false
	if a, err := b.Ledger.Start(ctx, scoreArgs{}, opts); err != nil || a.Existing {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestStartTxIsTheCallers(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t, 1)
	var id int64
	rollback := errors.New("roll back")
	err := pgx.BeginFunc(ctx, b.Pool, func(tx pgx.Tx) error {
		started, err := b.Ledger.StartTx(ctx, tx, scoreArgs{}, batch.StartOpts{})
		if err != nil {
			return err
		}
		id = started.ID
		return rollback
	})
	if !errors.Is(err, rollback) {
		t.Fatal(err)
	}
	if _, err := b.Ledger.Get(ctx, id); !errors.Is(err, batch.ErrNoRun) {
		t.Errorf("run of a rolled-back transaction: %v", err)
	}
}

func TestDrainGivesTheRunBack(t *testing.T) {
	t.Parallel()

	b := setup(t, 100)
	reached, release := b.block(35)
	id := b.start(t)
	<-reached
	// The engine of this client stops taking chunks; another client of the same database continues.
	b.Engine.Engine.Drain()
	if err := b.Client.QueuePause(context.Background(), "default", nil); err != nil {
		t.Fatal(err)
	}
	close(release)
	info := b.WaitStatus(t, id, batch.Enqueued)
	if info.Done != 40 {
		t.Errorf("done %d", info.Done)
	}
	var attempt int
	if err := b.Pool.QueryRow(context.Background(), `SELECT attempt FROM tidemill.river_job WHERE id = $1`, id).Scan(&attempt); err != nil {
		t.Fatal(err)
	}
	if attempt != 0 {
		t.Errorf("attempt %d: the drain cost one", attempt)
	}
}

func TestStallIsAFailure(t *testing.T) {
	t.Parallel()

	type args struct{ scoreArgs }
	e := testengine.Start(t, "", func(workers *river.Workers) {
		river.AddWorker(workers, batch.Each(batch.EachOpts[args, int]{
			Query:   `SELECT 1 AS n`,
			OrderBy: []string{"n"},
			Do: func(ctx context.Context, tx pgx.Tx, _ *batch.Chunk[int]) error {
				_, err := tx.Exec(ctx, `SELECT pg_sleep(60)`)
				return err
			},
			Attempt: batch.AttemptOpts{Retry: fastRetry, Stall: 50 * time.Millisecond},
		}))
	})
	started, err := e.Ledger.Start(context.Background(), args{}, batch.StartOpts{})
	if err != nil {
		t.Fatal(err)
	}
	if info := e.WaitStatus(t, started.ID, batch.Failed); *info.Error != "no progress within the stall time of 50ms" {
		t.Error(*info.Error)
	}
}
