package retry_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/retry"
)

// failArgs say how the job fails. The three kinds differ in what their worker says about retries.
type failArgs struct {
	How string `json:"how"`
}

func (a failArgs) fail() error {
	switch failed := errors.New("failed"); a.How {
	case "panic":
		panic("failed")
	case "asked":
		return retry.After(failed, 5*time.Minute)
	case "asked for long":
		return retry.After(failed, 100*time.Hour)
	case "permanent":
		return retry.Permanent(retry.After(failed, time.Minute))
	case "snooze":
		return river.JobSnooze(2 * time.Hour)
	default:
		return failed
	}
}

type silentArgs struct{ failArgs }

func (silentArgs) Kind() string { return "silent" }

type silentWorker struct {
	river.WorkerDefaults[silentArgs]
}

func (*silentWorker) Work(_ context.Context, job *river.Job[silentArgs]) error {
	return job.Args.fail()
}

type politeArgs struct{ failArgs }

func (politeArgs) Kind() string { return "polite" }

type politeWorker struct {
	river.WorkerDefaults[politeArgs]
}

func (*politeWorker) Work(_ context.Context, job *river.Job[politeArgs]) error {
	return job.Args.fail()
}
func (*politeWorker) NextRetry(job *river.Job[politeArgs]) time.Time {
	return always(20 * time.Minute).Next(job.JobRow)
}

type stubbornArgs struct{ failArgs }

func (stubbornArgs) Kind() string { return "stubborn" }

type stubbornWorker struct {
	river.WorkerDefaults[stubbornArgs]
}

func (*stubbornWorker) Work(_ context.Context, job *river.Job[stubbornArgs]) error {
	return job.Args.fail()
}
func (*stubbornWorker) NextRetry(*river.Job[stubbornArgs]) time.Time {
	return time.Now().Add(40 * time.Minute)
}

// brokenArgs is how somebody else sends args that the worker cannot decode.
type brokenArgs struct {
	How []string `json:"how"`
}

func (brokenArgs) Kind() string { return "polite" }

// always is a policy of one delay, long enough for River to leave the job alone until the test has looked.
func always(delay time.Duration) retry.Policy {
	return retry.Policy{Backoff: retry.Constant, Delay: delay, MaxDelay: time.Hour, Jitter: -1}
}

func TestPlugin(t *testing.T) {
	t.Parallel()

	pool := testdb.Pool(t, testengine.URL(t))
	retries := retry.NewPlugin(retry.PluginOpts{
		Default: always(30 * time.Minute),
		Own: func(job *rivertype.JobRow) (retry.Policy, bool) {
			return always(10 * time.Minute), strings.Contains(string(job.Metadata), `"own"`)
		},
	})
	workers := river.NewWorkers()
	river.AddWorker(workers, &silentWorker{})
	river.AddWorker(workers, &politeWorker{})
	river.AddWorker(workers, &stubbornWorker{})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown: time.Millisecond, FetchPollInterval: 20 * time.Millisecond,
		Logger:  slog.New(slog.DiscardHandler),
		Plugins: []rivertype.Plugin{retries}, RetryPolicy: retries,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		Schema: migrations.DefaultSchema, Workers: workers,
	})
	if err != nil {
		t.Fatal(err)
	}
	events, unsubscribe := client.Subscribe(river.EventKindJobFailed, river.EventKindJobSnoozed, river.EventKindJobCancelled)
	t.Cleanup(unsubscribe)
	if err := client.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.StopAndCancel(context.Background()); err != nil {
			t.Error(err)
		}
	})

	type want struct {
		name  string
		state rivertype.JobState
		delay time.Duration
	}
	const own = `{"own": true}`
	wanted := map[int64]want{}
	for _, tt := range []struct {
		name     string
		args     river.JobArgs
		metadata string
		state    rivertype.JobState
		delay    time.Duration
	}{
		{"nobody says anything: the default", silentArgs{}, "", rivertype.JobStateRetryable, 30 * time.Minute},
		{"the kind before the default", politeArgs{}, "", rivertype.JobStateRetryable, 20 * time.Minute},
		{"the job before the kind", politeArgs{}, own, rivertype.JobStateRetryable, 10 * time.Minute},
		{"the job before the default", silentArgs{}, own, rivertype.JobStateRetryable, 10 * time.Minute},
		{"a kind that reckons by itself before all", stubbornArgs{}, own, rivertype.JobStateRetryable, 40 * time.Minute},
		{"the server before the default", silentArgs{failArgs{"asked"}}, "", rivertype.JobStateRetryable, 5 * time.Minute},
		{"the server before the kind", politeArgs{failArgs{"asked"}}, "", rivertype.JobStateRetryable, 5 * time.Minute},
		{"the server before the job", politeArgs{failArgs{"asked"}}, own, rivertype.JobStateRetryable, 5 * time.Minute},
		{"the server up to the limit", politeArgs{failArgs{"asked for long"}}, own, rivertype.JobStateRetryable, time.Hour},
		{"a panic", politeArgs{failArgs{"panic"}}, own, rivertype.JobStateRetryable, 10 * time.Minute},
		{"args that cannot be read: the job", brokenArgs{}, own, rivertype.JobStateRetryable, 10 * time.Minute},
		{"permanent", politeArgs{failArgs{"permanent"}}, own, rivertype.JobStateDiscarded, 0},
		{"a snooze is none of our business", politeArgs{failArgs{"snooze"}}, own, rivertype.JobStateScheduled, 2 * time.Hour},
	} {
		opts := &river.InsertOpts{MaxAttempts: 5}
		if tt.metadata != "" {
			opts.Metadata = []byte(tt.metadata)
		}
		args := tt.args
		if broken, ok := args.(brokenArgs); ok {
			args = brokenArgs{How: append(broken.How, "a list")}
		}
		job, err := client.Insert(context.Background(), args, opts)
		if err != nil {
			t.Fatal(err)
		}
		wanted[job.Job.ID] = want{tt.name, tt.state, tt.delay}
	}

	timeout := time.After(time.Minute)
	for len(wanted) > 0 {
		select {
		case event := <-events:
			job := event.Job
			want := wanted[job.ID]
			delete(wanted, job.ID)
			if job.State != want.state {
				t.Errorf("%s: job is %s, want %s", want.name, job.State, want.state)
			}
			delay := job.ScheduledAt.Sub(*job.AttemptedAt)
			if want.delay > 0 && (delay < want.delay || delay > want.delay+4*time.Minute) {
				t.Errorf("%s: job is due %s after its attempt, want %s", want.name, delay, want.delay)
			}
			if strings.Contains(string(job.Metadata), "retry") {
				t.Errorf("%s: metadata in the database is %s", want.name, job.Metadata)
			}
		case <-timeout:
			t.Fatalf("jobs that nothing was heard of: %v", wanted)
		}
	}
}

func TestNextWithoutPlugin(t *testing.T) {
	t.Parallel()

	p := always(20 * time.Minute)
	for _, metadata := range []string{"", "{}", "null", "[]", "{", `{"tidemill_retry": 1}`, `{"other": {"tidemill_retry": {"after": 1}}}`} {
		began := time.Now()
		at := p.Next(&rivertype.JobRow{Attempt: 1, Metadata: []byte(metadata)})
		if delay := at.Sub(began); delay < 20*time.Minute || delay > 21*time.Minute {
			t.Errorf("metadata %q: next attempt after %s, want 20m", metadata, delay)
		}
	}
}

// A row whose metadata cannot take a note still fails and is retried.
func TestPluginTakesAnyMetadata(t *testing.T) {
	t.Parallel()

	retries := retry.NewPlugin(retry.PluginOpts{Default: always(20 * time.Minute)})
	for _, metadata := range []string{"", "{}", "null", "[]", "{"} {
		job := &rivertype.JobRow{Attempt: 1, MaxAttempts: 3, Metadata: []byte(metadata)}
		asked := retry.After(errors.New("failed"), time.Minute)
		if err := retries.Work(t.Context(), job, func(context.Context) error { return asked }); !errors.Is(err, asked) {
			t.Errorf("metadata %q: Work returns %v", metadata, err)
		}
		if wait := time.Until(retries.NextRetry(job)); wait <= 0 || wait > 20*time.Minute {
			t.Errorf("metadata %q: next attempt in %s", metadata, wait)
		}
	}
}

// The note of one attempt is not left for the next.
func TestPluginForgets(t *testing.T) {
	t.Parallel()

	retries := retry.NewPlugin(retry.PluginOpts{Default: always(20 * time.Minute)})
	job := &rivertype.JobRow{Attempt: 1, MaxAttempts: 3, Metadata: []byte(`{"a": 1}`)}
	for _, tt := range []struct {
		err  error
		want time.Duration
	}{{retry.After(errBusy, time.Minute), time.Minute}, {errBusy, 20 * time.Minute}} {
		_ = retries.Work(t.Context(), job, func(context.Context) error { return tt.err })
		if wait := time.Until(retries.NextRetry(job)); wait > tt.want || wait < tt.want-10*time.Second {
			t.Errorf("next attempt in %s, want %s", wait, tt.want)
		}
	}
}

// All ways to the time of a retry go by the clock that the plugin is given: River's question to the plugin, and a worker's
// NextRetry, which has nothing but the row.
func TestPluginClock(t *testing.T) {
	t.Parallel()

	for _, ahead := range []time.Duration{time.Hour, -time.Hour, 0, 3 * time.Millisecond} {
		retries := retry.NewPlugin(retry.PluginOpts{
			Default: always(20 * time.Minute),
			Clock:   func() time.Time { return time.Now().Round(0).Add(ahead) },
		})
		job := &rivertype.JobRow{Attempt: 1, MaxAttempts: 3, Metadata: []byte("{}")}
		untouched := *job
		_ = retries.Work(t.Context(), job, func(context.Context) error { return errBusy })
		for name, at := range map[string]time.Time{
			"the worker's":            always(20 * time.Minute).Next(job),
			"the plugin's":            retries.NextRetry(job),
			"without an attempt":      retries.NextRetry(&untouched),
			"of metadata that is bad": retries.NextRetry(&rivertype.JobRow{Attempt: 1, Metadata: []byte("[]")}),
		} {
			if late := time.Until(at) - ahead - 20*time.Minute; late > 0 || late < -10*time.Second {
				t.Errorf("clock ahead by %s: %s is off by %s", ahead, name, late)
			}
		}
	}
}
