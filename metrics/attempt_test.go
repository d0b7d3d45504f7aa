package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/migrations"
)

// probeArgs tells the worker how to end.
type probeArgs struct {
	End string `json:"end" river:"unique"`
}

func (probeArgs) Kind() string { return "probe" }

type probeWorker struct {
	river.WorkerDefaults[probeArgs]
	started chan int64 // receives the id of each job that waits for its context to end
	starts  atomic.Int64
}

func (*probeWorker) NextRetry(*river.Job[probeArgs]) time.Time { return time.Now().Add(time.Hour) }

func (*probeWorker) Timeout(job *river.Job[probeArgs]) time.Duration {
	if job.Args.End == "timeout" {
		return 10 * time.Millisecond
	}
	return time.Minute
}

func (w *probeWorker) Work(ctx context.Context, job *river.Job[probeArgs]) error {
	w.starts.Add(1)
	boom := errors.New("boom")
	switch job.Args.End {
	case "ok":
		return nil
	case "error", "last":
		return boom
	case "lowered":
		job.MaxAttempts = job.Attempt
		return boom
	case "raised":
		job.MaxAttempts = job.Attempt + 1
		return boom
	case "panic", "last panic":
		panic(boom)
	case "cancel":
		return fmt.Errorf("wrapped: %w", river.JobCancel(boom))
	case "snooze":
		return fmt.Errorf("wrapped: %w", river.JobSnooze(time.Hour))
	case "snooze 0":
		if string(job.Metadata) == "{}" {
			return river.JobSnooze(0)
		}
		return nil
	case "timeout":
		<-ctx.Done()
		return ctx.Err()
	}

	w.started <- job.ID
	<-ctx.Done()
	switch job.Args.End {
	case "remote snooze":
		return river.JobSnooze(time.Hour)
	case "remote ok":
		return nil
	case "stop error":
		return boom
	case "stop snooze":
		return river.JobSnooze(0)
	default: // remote, stop
		return fmt.Errorf("wrapped: %w", ctx.Err())
	}
}

type riverBundle struct {
	*bundle
	client *river.Client[pgx.Tx]
	worker *probeWorker
	ended  <-chan *river.Event
}

var everyEnd = []river.EventKind{river.EventKindJobCancelled, river.EventKindJobCompleted, river.EventKindJobFailed,
	river.EventKindJobInterrupted, river.EventKindJobSnoozed}

func setupRiver(t *testing.T, opts Opts) *riverBundle {
	t.Helper()
	if opts.Queues == nil {
		opts.Queues = map[string]int{river.QueueDefault: 20}
	}
	b := &riverBundle{bundle: setup(t, opts), worker: &probeWorker{started: make(chan int64, 10)}}
	workers := river.NewWorkers()
	river.AddWorker(workers, b.worker)
	queues := map[string]river.QueueConfig{}
	for name, n := range opts.Queues {
		queues[name] = river.QueueConfig{MaxWorkers: n}
	}
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		FetchCooldown:     time.Millisecond,
		FetchPollInterval: 10 * time.Millisecond,
		Logger:            slog.New(slog.DiscardHandler),
		Plugins:           []rivertype.Plugin{b.metrics},
		Queues:            queues,
		Schema:            migrations.DefaultSchema,
		Workers:           workers,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.client = client
	ended, cancel := client.Subscribe(everyEnd...)
	t.Cleanup(cancel)
	b.ended = ended
	return b
}

func (b *riverBundle) start(t *testing.T) {
	t.Helper()
	if err := b.client.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.stop(t) })
}

func (b *riverBundle) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.client.StopAndCancel(ctx); err != nil {
		t.Errorf("stop the client: %v", err)
	}
}

func (b *riverBundle) insert(t *testing.T, end string, opts *river.InsertOpts) int64 {
	t.Helper()
	res, err := b.client.Insert(t.Context(), probeArgs{End: end}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return res.Job.ID
}

// waitEnd waits until River has recorded the end of an attempt of the job.
func (b *riverBundle) waitEnd(t *testing.T, id int64) *rivertype.JobRow {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case event := <-b.ended:
			if event.Job.ID == id {
				return event.Job
			}
		case <-deadline:
			t.Fatalf("job %d did not end", id)
		}
	}
}

func (b *riverBundle) waitStarted(t *testing.T) int64 {
	t.Helper()
	select {
	case id := <-b.worker.started:
		return id
	case <-time.After(patience):
		t.Fatal("the job did not start")
		return 0
	}
}

func attemptsOf(kind, job string, ends map[outcome]float64) samples {
	want := samples{}
	for end, n := range ends {
		want[fmt.Sprintf(`job_attempts_total{job=%q,kind=%q,outcome=%q,queue="default"}`, job, kind, end)] = n
	}
	return want
}

func TestOutcomes(t *testing.T) {
	t.Parallel()

	last := &river.InsertOpts{MaxAttempts: 1}
	tests := []struct {
		end       string
		opts      *river.InsertOpts
		whileBusy func(t *testing.T, b *riverBundle, id int64)
		want      outcome
		state     rivertype.JobState
	}{
		{end: "ok", want: outcomeOK, state: rivertype.JobStateCompleted},
		{end: "error", want: outcomeError, state: rivertype.JobStateRetryable},
		{end: "last", opts: last, want: outcomeDiscarded, state: rivertype.JobStateDiscarded},
		{end: "lowered", want: outcomeDiscarded, state: rivertype.JobStateDiscarded},
		{end: "raised", opts: last, want: outcomeError, state: rivertype.JobStateRetryable},
		{end: "panic", want: outcomePanic, state: rivertype.JobStateRetryable},
		{end: "last panic", opts: last, want: outcomeDiscarded, state: rivertype.JobStateDiscarded},
		{end: "cancel", want: outcomeCancelled, state: rivertype.JobStateCancelled},
		{end: "snooze", want: outcomeSnoozed, state: rivertype.JobStateScheduled},
		{end: "timeout", want: outcomeError, state: rivertype.JobStateRetryable},
		{end: "remote", whileBusy: cancelJob, want: outcomeCancelled, state: rivertype.JobStateCancelled},
		{end: "remote snooze", whileBusy: cancelJob, want: outcomeCancelled, state: rivertype.JobStateCancelled},
		{end: "remote ok", whileBusy: cancelJob, want: outcomeOK, state: rivertype.JobStateCompleted},
		{end: "stop", whileBusy: stopClient, want: outcomeInterrupted, state: rivertype.JobStateAvailable},
		{end: "stop error", whileBusy: stopClient, want: outcomeError, state: rivertype.JobStateRetryable},
		{end: "stop snooze", whileBusy: stopClient, want: outcomeSnoozed, state: rivertype.JobStateAvailable},
	}
	for _, tt := range tests {
		t.Run(tt.end, func(t *testing.T) {
			t.Parallel()
			b := setupRiver(t, Opts{})
			b.start(t)

			id := b.insert(t, tt.end, tt.opts)
			if tt.whileBusy != nil {
				b.waitStarted(t)
				if got := gather(t, b.reg, "worker_slots_busy")[`worker_slots_busy{queue="default"}`]; got != 1 {
					t.Errorf("%v slots busy, want 1", got)
				}
				tt.whileBusy(t, b, id)
			}
			if job := b.waitEnd(t, id); job.State != tt.state {
				t.Errorf("River's row is %s, want %s", job.State, tt.state)
			}

			got := gather(t, b.reg, "job_attempts_total", "job_duration_seconds", "job_queue_wait_seconds", "worker_slots_busy").positive()
			// What is available at once may be taken again by a fetch that is under way while the client stops.
			starts := b.worker.starts.Load()
			if starts != 1 && tt.state != rivertype.JobStateAvailable {
				t.Errorf("started %d times", starts)
			}
			want := attemptsOf("probe", "", map[outcome]float64{tt.want: float64(starts)})
			want[`job_duration_seconds{job="",kind="probe",queue="default"}`] = float64(starts)
			want[`job_queue_wait_seconds{queue="default"}`] = float64(starts)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func cancelJob(t *testing.T, b *riverBundle, id int64) {
	if _, err := b.client.JobCancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func stopClient(t *testing.T, b *riverBundle, _ int64) { b.stop(t) }

// A panic must reach River with the stack of the worker, not of the plugin.
func TestPanicKeepsItsTrace(t *testing.T) {
	t.Parallel()
	b := setupRiver(t, Opts{})
	b.start(t)

	job := b.waitEnd(t, b.insert(t, "panic", nil))
	if len(job.Errors) != 1 || job.Errors[0].Error != "boom" {
		t.Fatalf("errors %+v", job.Errors)
	}
	const frame = "probeWorker).Work"
	if trace := job.Errors[0].Trace; !strings.Contains(trace, frame) {
		t.Errorf("no %s in the trace:\n%s", frame, trace)
	}
}

func TestSnoozeZeroThenOK(t *testing.T) {
	t.Parallel()
	b := setupRiver(t, Opts{})
	b.start(t)

	id := b.insert(t, "snooze 0", nil)
	for b.waitEnd(t, id).State != rivertype.JobStateCompleted {
	}
	want := attemptsOf("probe", "", map[outcome]float64{outcomeSnoozed: 1, outcomeOK: 1})
	if diff := cmp.Diff(want, gather(t, b.reg, "job_attempts_total").positive()); diff != "" {
		t.Error(diff)
	}
}

// The first attempt brings all outcomes, so that the first failure is an increase from 0.
func TestOutcomesBeginAtZero(t *testing.T) {
	t.Parallel()
	b := setupRiver(t, Opts{})
	b.start(t)

	b.waitEnd(t, b.insert(t, "ok", nil))
	want := attemptsOf("probe", "", map[outcome]float64{outcomeOK: 1, outcomeError: 0, outcomePanic: 0, outcomeDiscarded: 0,
		outcomeCancelled: 0, outcomeSnoozed: 0, outcomeInterrupted: 0})
	if diff := cmp.Diff(want, gather(t, b.reg, "job_attempts_total")); diff != "" {
		t.Error(diff)
	}
}

func TestJobLabel(t *testing.T) {
	t.Parallel()
	b := setupRiver(t, Opts{Kinds: []string{"not probe"}})
	b.start(t)

	b.waitEnd(t, b.insert(t, "ok", &river.InsertOpts{Metadata: []byte(`{"tidemill": {"job": "import-users"}}`)}))
	want := attemptsOf("other", "import-users", map[outcome]float64{outcomeOK: 1})
	if diff := cmp.Diff(want, gather(t, b.reg, "job_attempts_total").positive()); diff != "" {
		t.Error(diff)
	}
}

// What package batch writes into the metadata of a run's job is what JobName reads.
func TestJobNameOfARun(t *testing.T) {
	t.Parallel()
	b := setupRiver(t, Opts{})

	ledger := batch.NewLedger(b.pool, migrations.Schema{}, b.client)
	started, err := ledger.Start(t.Context(), probeArgs{End: "ok"}, batch.StartOpts{Job: "import-users"})
	if err != nil {
		t.Fatal(err)
	}
	job, err := b.client.JobGet(t.Context(), started.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := JobName(job); got != "import-users" {
		t.Errorf("job name %q in %s", got, job.Metadata)
	}
}

func FuzzJobName(f *testing.F) {
	for _, seed := range []string{`{"tidemill": {"job": "a"}}`, `{"tidemill": {"job": 1}}`, `{"tidemill": "a"}`, `{"tidemill": [{"job": "a"}]}`, `{}`, ``, `{`} {
		f.Add([]byte(seed))
	}
	_, m := newMetrics(f, Opts{})
	f.Fuzz(func(t *testing.T, metadata []byte) {
		job := &rivertype.JobRow{Attempt: 1, MaxAttempts: 2, Kind: "probe", Queue: "default", Metadata: metadata}
		if err := m.Work(context.Background(), job, func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

func TestInserted(t *testing.T) {
	t.Parallel()
	b := setupRiver(t, Opts{})

	ctx := t.Context()
	b.insert(t, "ok", nil)
	unique := &river.InsertOpts{Queue: "low", UniqueOpts: river.UniqueOpts{ByArgs: true}}
	b.insert(t, "ok", unique)
	b.insert(t, "ok", unique)
	b.insert(t, "error", unique)
	many := make([]river.InsertManyParams, 5)
	for i := range many {
		many[i].Args = probeArgs{End: "ok"}
	}
	if _, err := b.client.InsertMany(ctx, many); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.InsertManyFast(ctx, many); err != nil {
		t.Fatal(err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.client.InsertMany(done, many); err == nil {
		t.Fatal("an insert after its context ended succeeded")
	}

	want := samples{
		`jobs_inserted_total{kind="probe",queue="default"}`: 11,
		`jobs_inserted_total{kind="probe",queue="low"}`:     2,
	}
	if diff := cmp.Diff(want, gather(t, b.reg, "jobs_inserted_total")); diff != "" {
		t.Error(diff)
	}
}

func TestObserveChunk(t *testing.T) {
	t.Parallel()
	reg, m := newMetrics(t, Opts{})

	m.ObserveChunk("tidemill.import", "import-users", batch.Counters{Read: 21, Inserted: 1, Updated: 2, Unchanged: 3, Duplicate: 4, Rejected: 5, Filtered: 6})
	m.ObserveChunk("tidemill.import", "import-users", batch.Counters{Read: 1, Inserted: 1})
	m.ObserveChunk("rescore", "rescore", batch.Counters{Read: 7, Processed: 7})

	want := samples{
		`run_rows_total{job="import-users",kind="tidemill.import",result="read"}`:      22,
		`run_rows_total{job="import-users",kind="tidemill.import",result="inserted"}`:  2,
		`run_rows_total{job="import-users",kind="tidemill.import",result="updated"}`:   2,
		`run_rows_total{job="import-users",kind="tidemill.import",result="unchanged"}`: 3,
		`run_rows_total{job="import-users",kind="tidemill.import",result="duplicate"}`: 4,
		`run_rows_total{job="import-users",kind="tidemill.import",result="rejected"}`:  5,
		`run_rows_total{job="import-users",kind="tidemill.import",result="filtered"}`:  6,
		`run_rows_total{job="rescore",kind="rescore",result="read"}`:                   7,
		`run_rows_total{job="rescore",kind="rescore",result="processed"}`:              7,
	}
	all := gather(t, reg, "run_rows_total")
	if diff := cmp.Diff(want, all.positive()); diff != "" {
		t.Error(diff)
	}
	if len(all) != 18 {
		t.Errorf("%d series, want 9 for each of two jobs", len(all))
	}
}

func TestInitialSeries(t *testing.T) {
	t.Parallel()
	b := setupRiver(t, Opts{Queues: map[string]int{"critical": 10, "low": 5}, Version: "v1.2.3"})

	want := samples{
		`worker_slots{queue="critical"}`:               10,
		`worker_slots{queue="low"}`:                    5,
		`worker_slots_busy{queue="critical"}`:          0,
		`worker_slots_busy{queue="low"}`:               0,
		`job_queue_wait_seconds{queue="critical"}`:     0,
		`job_queue_wait_seconds{queue="low"}`:          0,
		`job_fetch_duration_seconds{queue="critical"}`: 0,
		`job_fetch_duration_seconds{queue="low"}`:      0,
	}
	if diff := cmp.Diff(want, gather(t, b.reg, "worker", "job_")); diff != "" {
		t.Error(diff)
	}

	b.start(t)
	const series = `job_fetch_duration_seconds{queue="low"}`
	eventually(t, "River fetched", func() bool { return gather(t, b.reg, "job_fetch")[series] > 0 })
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()

	if _, err := New(Opts{}); err == nil {
		t.Error("New without a Registerer succeeded")
	}
	reg, m := newMetrics(t, Opts{})
	if _, err := New(Opts{Registerer: reg, Interval: -1}); err == nil {
		t.Error("New with a negative interval succeeded")
	}
	before := len(gather(t, reg))
	if _, err := New(Opts{Registerer: reg}); err == nil {
		t.Error("a second New with the same Registerer succeeded")
	}
	if after := len(gather(t, reg)); after != before {
		t.Errorf("the second New left %d series, want %d", after, before)
	}
	if err := m.Report(t.Context(), nil); err == nil {
		t.Error("Report without a connection configuration succeeded")
	}
}
