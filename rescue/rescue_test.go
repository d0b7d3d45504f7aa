package rescue_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/rescue"
)

type waitArgs struct {
	N int `json:"n"`
}

func (waitArgs) Kind() string { return "wait" }

// waitWorker says when it begins and returns when it is told to, whatever becomes of its context: like a process that
// was frozen in the middle.
type waitWorker struct {
	river.WorkerDefaults[waitArgs]
	began   chan int
	release chan struct{}
	done    atomic.Int64
}

func (w *waitWorker) Work(_ context.Context, job *river.Job[waitArgs]) error {
	w.began <- job.Args.N
	<-w.release
	w.done.Add(1)
	return nil
}

// member is a process with a client of its own.
type member struct {
	process *rescue.Process
	client  *river.Client[pgx.Tx]
	worker  *waitWorker
	pool    *pgxpool.Pool
}

type bundle struct {
	url  string
	pool *pgxpool.Pool // of an application: its sessions say nothing about a process
}

func setup(t *testing.T) *bundle {
	t.Helper()
	url := testengine.URL(t)
	return &bundle{url: url, pool: testdb.Pool(t, url)}
}

// quick makes a death known in a fraction of a second.
func (b *bundle) quick(t *testing.T) rescue.Opts {
	t.Helper()
	config, err := pgx.ParseConfig(b.url)
	if err != nil {
		t.Fatal(err)
	}
	return rescue.Opts{
		Conn: config, Logger: slog.New(slog.DiscardHandler), Queues: map[string]int{"default": 5}, Version: "test",
		Beat: 50 * time.Millisecond, Sweep: 50 * time.Millisecond, DeadAfter: 600 * time.Millisecond, DeadAfterLostSession: 300 * time.Millisecond,
	}
}

// join starts a client under a new process id. Whether it beats is up to the test.
func (b *bundle) join(t *testing.T, opts rescue.Opts) *member {
	t.Helper()
	worker := &waitWorker{began: make(chan int, 100), release: make(chan struct{})}
	m := b.joinWith(t, opts, func(workers *river.Workers) { river.AddWorker(workers, worker) })
	m.worker = worker
	return m
}

// joinWith is join with other workers, and another configuration of the client.
func (b *bundle) joinWith(t *testing.T, opts rescue.Opts, register func(*river.Workers), configure ...func(*river.Config)) *member {
	t.Helper()
	ctx := context.Background()
	process, err := rescue.Register(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgxpool.ParseConfig(b.url)
	if err != nil {
		t.Fatal(err)
	}
	process.Tag(config.ConnConfig)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{process: process, pool: pool}
	workers := river.NewWorkers()
	register(workers)
	riverConfig := &river.Config{
		FetchCooldown: time.Millisecond, FetchPollInterval: 20 * time.Millisecond, ID: process.ID(),
		Logger: slog.New(slog.DiscardHandler), Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 5}},
		Plugins: []rivertype.Plugin{process}, Schema: migrations.DefaultSchema, Workers: workers, RescueStuckJobsAfter: 24 * time.Hour,
	}
	for _, change := range configure {
		change(riverConfig)
	}
	if m.client, err = river.NewClient(riverpgxv5.New(pool), riverConfig); err != nil {
		t.Fatal(err)
	}
	if err := m.client.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = m.client.StopAndCancel(ctx) // a fenced client cannot finish its jobs and runs into the bound
		closed := make(chan struct{})
		go func() { pool.Close(); close(closed) }()
		select {
		case <-closed:
		case <-ctx.Done():
		}
	})
	return m
}

// beat runs the process's loop until the test ends, or returns its end through the channel.
func (m *member) beat(t *testing.T) chan error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.process.Run(ctx) }()
	t.Cleanup(cancel)
	return ended
}

func (b *bundle) insert(t *testing.T, n int) int64 {
	t.Helper()
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{Schema: migrations.DefaultSchema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	job, err := client.Insert(context.Background(), waitArgs{N: n}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return job.Job.ID
}

// job is what River knows of one.
type job struct {
	State   string
	Attempt int
	Errors  int
	Owner   string
}

func (b *bundle) job(t *testing.T, id int64) job {
	t.Helper()
	var j job
	err := b.pool.QueryRow(context.Background(), `
		SELECT state, attempt, coalesce(array_length(errors, 1), 0), attempted_by[array_upper(attempted_by, 1)]
		  FROM tidemill.river_job WHERE id = $1`, id).Scan(&j.State, &j.Attempt, &j.Errors, &j.Owner)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func (b *bundle) waitState(t *testing.T, id int64, want string) job {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		j := b.job(t, id)
		if j.State == want {
			return j
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("job %d is %+v, want %s", id, j, want)
		}
	}
}

func TestFencedProcessWritesNothing(t *testing.T) {
	t.Parallel()

	b := setup(t)
	frozen := b.join(t, b.quick(t)) // never beats, and keeps its lock: frozen, not killed
	id := b.insert(t, 1)
	<-frozen.worker.began
	if j := b.job(t, id); j.Owner != frozen.process.ID() {
		t.Fatalf("%+v", j)
	}

	opts, dead := b.quick(t), make(chan string, 10)
	opts.OnFenced = func(id string) { dead <- id }
	other := b.join(t, opts)
	other.beat(t)
	if n := <-other.worker.began; n != 1 {
		t.Fatalf("job %d", n)
	}
	if id := <-dead; id != frozen.process.ID() || len(dead) > 0 {
		t.Errorf("told that %s is dead, and of %d more", id, len(dead))
	}
	j := b.job(t, id)
	if j.State != "running" || j.Owner != other.process.ID() || j.Attempt != 1 || j.Errors != 0 {
		t.Errorf("after the rescue: %+v", j)
	}

	// It thaws: its worker returns success, but the job is another's. Its fetch loop never stopped asking.
	close(frozen.worker.release)
	if err := frozen.process.Run(context.Background()); !errors.Is(err, rescue.ErrFenced) {
		t.Errorf("a fenced process beats: %v", err)
	}
	next := b.insert(t, 2)
	if n := <-other.worker.began; n != 2 {
		t.Fatalf("job %d", n)
	}
	if j := b.job(t, id); j.State != "running" || j.Owner != other.process.ID() {
		t.Errorf("after the thaw: %+v", j)
	}
	close(other.worker.release)
	b.waitState(t, id, "completed")
	b.waitState(t, next, "completed")
	if got := frozen.worker.done.Load(); got != 1 {
		t.Errorf("the frozen worker returned %d times", got)
	}
	select {
	case n := <-frozen.worker.began:
		t.Errorf("the fenced client fetched job %d", n)
	default:
	}

	// And directly: no update of river_job passes through its sessions. A sweep may end a session before it is used.
	for {
		_, err := frozen.pool.Exec(context.Background(), `UPDATE tidemill.river_job SET priority = 2`)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "TM001" {
			break
		}
		if err == nil {
			t.Fatal("an update by a fenced session passed")
		}
	}
}

func TestKilledProcessLosesItsLock(t *testing.T) {
	t.Parallel()

	b := setup(t)
	opts := b.quick(t)
	opts.DeadAfter = time.Hour // so that only the lost lock can tell
	killed := b.join(t, opts)
	id := b.insert(t, 1)
	<-killed.worker.began

	other := b.join(t, opts)
	other.beat(t)
	// What the server does for a client that is killed.
	if _, err := b.pool.Exec(context.Background(), `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND a.application_name = 'tidemill:' || $1`, killed.process.ID()); err != nil {
		t.Fatal(err)
	}
	if n := <-other.worker.began; n != 1 {
		t.Fatalf("job %d", n)
	}
	if j := b.job(t, id); j.Owner != other.process.ID() || j.Attempt != 1 {
		t.Errorf("%+v", j)
	}
	close(killed.worker.release)
	close(other.worker.release)
	b.waitState(t, id, "completed")
}

func TestBeatingProcessStaysAlive(t *testing.T) {
	t.Parallel()

	b := setup(t)
	first, second := b.join(t, b.quick(t)), b.join(t, b.quick(t))
	ended := []chan error{first.beat(t), second.beat(t)}
	id := b.insert(t, 1)
	var owner *member
	select {
	case <-first.worker.began:
		owner = first
	case <-second.worker.began:
		owner = second
	}
	// Far longer than DeadAfter, measured in what the other has seen: at least 40 sweeps and beats.
	var from time.Time
	if err := b.pool.QueryRow(context.Background(), `SELECT clock_timestamp()`).Scan(&from); err != nil {
		t.Fatal(err)
	}
	for {
		var lived bool
		err := b.pool.QueryRow(context.Background(), `SELECT bool_and(beat_at > $1::timestamptz + interval '2 seconds') FROM tidemill.process`, from).Scan(&lived)
		if err != nil {
			t.Fatal(err)
		}
		if lived {
			break
		}
		select {
		case err := <-ended[0]:
			t.Fatalf("first: %v", err)
		case err := <-ended[1]:
			t.Fatalf("second: %v", err)
		default:
		}
	}
	if j := b.job(t, id); j.State != "running" || j.Owner != owner.process.ID() {
		t.Errorf("%+v", j)
	}
	close(first.worker.release)
	close(second.worker.release)
	b.waitState(t, id, "completed")
}

func TestRescueEndsACancelledJob(t *testing.T) {
	t.Parallel()

	b := setup(t)
	frozen := b.join(t, b.quick(t))
	id := b.insert(t, 1)
	<-frozen.worker.began
	if _, err := frozen.client.JobCancel(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	other := b.join(t, b.quick(t))
	other.beat(t)
	b.waitState(t, id, "cancelled")
	close(frozen.worker.release)
}

func TestForeignJobsAreLeftAlone(t *testing.T) {
	t.Parallel()

	b := setup(t)
	id := b.insert(t, 1)
	if _, err := b.pool.Exec(context.Background(), `UPDATE tidemill.river_job SET state = 'running', attempt = 1, attempted_at = now(),
		attempted_by = '{a-plain-river-client}' WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	frozen := b.join(t, b.quick(t))
	mine := b.insert(t, 2)
	<-frozen.worker.began
	other := b.join(t, b.quick(t))
	other.beat(t)
	<-other.worker.began // the frozen process's job was moved, so a sweep has run
	if j := b.job(t, id); j.State != "running" || j.Owner != "a-plain-river-client" {
		t.Errorf("%+v", j)
	}
	close(frozen.worker.release)
	close(other.worker.release)
	b.waitState(t, mine, "completed")
}

func TestCloseGivesJobsBack(t *testing.T) {
	t.Parallel()

	b := setup(t)
	m := b.join(t, b.quick(t))
	id := b.insert(t, 1)
	<-m.worker.began
	if err := m.process.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if j := b.job(t, id); j.State != "available" || j.Attempt != 0 {
		t.Errorf("%+v", j)
	}
	infos, err := rescue.List(context.Background(), b.pool, migrations.Schema{})
	if err != nil || len(infos) != 0 {
		t.Errorf("%d processes, %v", len(infos), err)
	}
	close(m.worker.release)
}

// A fetch whose answer was lost: the row says that the job runs here, and it does not.
func TestOrphanOfALiveProcess(t *testing.T) {
	t.Parallel()

	b := setup(t)
	opts := b.quick(t)
	opts.OrphanAfter = 600 * time.Millisecond
	m := b.join(t, opts)
	m.beat(t)
	lost := b.insert(t, 3)
	<-m.worker.began
	close(m.worker.release)
	b.waitState(t, lost, "completed")
	// It is made to look fetched once more, by an attempt that nobody here knows of.
	if _, err := b.pool.Exec(context.Background(), `UPDATE tidemill.river_job SET state = 'running', finalized_at = NULL, attempt = 2, attempted_at = now()
		WHERE id = $1`, lost); err != nil {
		t.Fatal(err)
	}
	if n := <-m.worker.began; n != 3 {
		t.Errorf("job %d came back", n)
	}
	if j := b.waitState(t, lost, "completed"); j.Attempt != 2 {
		t.Errorf("%+v: the lost fetch cost an attempt", j)
	}
}
