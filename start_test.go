package tidemill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/tidemill/tidemill/batch"
)

// row is what River keeps of a start.
type row struct {
	State    string
	Queue    string
	Priority int
	Args     string
	Job      string
}

func rowOf(t *testing.T, app *App, id int64) (row, time.Time) {
	t.Helper()
	var r row
	var at time.Time
	err := app.Pool.QueryRow(t.Context(), `
		SELECT state::text, queue, priority, args::text, metadata->'tidemill'->>'job', scheduled_at FROM tidemill.river_job WHERE id = $1`,
		id).Scan(&r.State, &r.Queue, &r.Priority, &r.Args, &r.Job, &at)
	if err != nil {
		t.Fatal(err)
	}
	return r, at
}

func startWith(t *testing.T, app *App, job string, opts StartOpts) (started *batch.Started, err error) {
	t.Helper()
	err = pgx.BeginFunc(t.Context(), app.Pool, func(tx pgx.Tx) (err error) {
		started, err = app.StartWith(t.Context(), tx, job, opts)
		return err
	})
	return started, err
}

func waitStatus(t *testing.T, app *App, id int64, want batch.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reached := errors.New("reached")
	err := app.Ledger.Watch(ctx, id, 10*time.Millisecond, func(info *batch.Info) error {
		if info.Status == want {
			return reached
		}
		return nil
	})
	if !errors.Is(err, reached) {
		t.Fatalf("run %d did not become %s: %v", id, want, err)
	}
}

func TestStartWith(t *testing.T) {
	t.Parallel()

	app := setup(t, `
queues: {default: 1, other: 1}
jobs:
  plain: {kind: plain, priority: 3, args: {a: 1, b: 1}}
`)
	at := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	for _, tt := range []struct {
		name string
		opts StartOpts
		want row
		at   time.Time
	}{
		{"as the job says", StartOpts{}, row{"available", "default", 3, `{"a": 1, "b": 1}`, "plain"}, time.Time{}},
		{"at the call", StartOpts{Params: Params{"b": 2}, At: at, Priority: 2, Queue: "other"}, row{"scheduled", "other", 2, `{"a": 1, "b": 2}`, "plain"}, at},
	} {
		started, err := startWith(t, app, "plain", tt.opts)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		got, scheduled := rowOf(t, app, started.ID)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		due, waits, err := app.Ledger.Due(t.Context(), started.ID)
		if err != nil || waits == tt.at.IsZero() || !due.Equal(tt.at) {
			t.Errorf("%s: due %v, %v, %v; want %v", tt.name, due, waits, err, tt.at)
		}
		if waits && !scheduled.Equal(at) {
			t.Errorf("%s: scheduled at %v, want %v", tt.name, scheduled, at)
		}
		info, err := app.Ledger.Get(t.Context(), started.ID)
		if err != nil || info.Status != batch.Enqueued {
			t.Errorf("%s: %+v, %v", tt.name, info, err)
		}
	}

	for want, opts := range map[string]StartOpts{
		`job plain: queue "gone" is not in the configuration, which has default, other`: {Queue: "gone"},
		"priority must be between 1 and 4":                                              {Priority: 5},
		"more than 40 years ahead":                                                      {At: time.Now().AddDate(60, 0, 0)},
	} {
		if _, err := startWith(t, app, "plain", opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", opts, err, want)
		}
	}
}

// aheadClock is the clock of a machine that is an hour fast.
type aheadClock struct{}

func (aheadClock) Now() time.Time                { return time.Now().Add(time.Hour) }
func (c aheadClock) NowOrNil() *time.Time        { now := c.Now(); return &now }
func (aheadClock) StubNow(t time.Time) time.Time { return t }

func TestFastClockDelaysNothing(t *testing.T) {
	t.Parallel()

	app := setup(t, "")
	client, err := river.NewClient(riverpgxv5.New(app.Pool), &river.Config{
		Logger: slog.New(slog.DiscardHandler), Schema: app.schema.River, Test: river.TestConfig{Time: aheadClock{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	inserted, err := client.Insert(t.Context(), plainArgs{}, nil)
	if err != nil || time.Until(inserted.Job.ScheduledAt) < 30*time.Minute {
		t.Fatalf("the clock of this test is not fast: %+v, %v", inserted, err)
	}
	ledger := batch.NewLedger(app.Pool, app.schema, client)
	started, err := ledger.Start(t.Context(), plainArgs{}, batch.StartOpts{})
	if err != nil {
		t.Fatal(err)
	}
	var due bool
	err = app.Pool.QueryRow(t.Context(), `SELECT state = 'available' AND scheduled_at <= now() FROM tidemill.river_job WHERE id = $1`, started.ID).Scan(&due)
	if err != nil || !due {
		t.Errorf("due at once: %v, %v", due, err)
	}
}

func TestUniqueJobHasOneLiveRun(t *testing.T) {
	t.Parallel()

	app := setup(t, `
jobs:
  alone: {kind: plain, unique: true, retry: {backoff: constant, delay: 30m}}
  also:  {kind: plain, unique: true}
`)
	ctx := t.Context()
	const starters = 20
	var mu sync.Mutex
	ids, fresh := map[int64]int{}, 0
	var wait sync.WaitGroup
	for range starters {
		wait.Go(func() {
			started, err := app.Start(ctx, "alone", nil)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[started.ID]++
			if !started.Existing {
				fresh++
			}
		})
	}
	wait.Wait()
	if len(ids) != 1 || fresh != 1 {
		t.Fatalf("%d starts made %d runs; runs returned: %v", starters, fresh, ids)
	}
	var id int64
	for id = range ids {
	}
	var jobs int
	if err := app.Pool.QueryRow(ctx, "SELECT count(*) FROM tidemill.river_job").Scan(&jobs); err != nil || jobs != 1 {
		t.Errorf("%d jobs, %v", jobs, err)
	}

	// live returns the run that a start answers with, which must be the one that is live already.
	live := func(status batch.Status) {
		t.Helper()
		again, err := app.Start(ctx, "alone", Params{"other": true})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&batch.Started{ID: id, Existing: true, Status: status}, again); diff != "" {
			t.Errorf("while the run is %s (-want +got):\n%s", status, diff)
		}
	}
	if other, err := app.Start(ctx, "also", nil); err != nil || other.Existing {
		t.Errorf("another job: %+v, %v", other, err)
	}
	if err := app.Ledger.Pause(ctx, id); err != nil {
		t.Fatal(err)
	}
	live(batch.Paused)
	if err := app.Ledger.Resume(ctx, id); err != nil {
		t.Fatal(err)
	}
	river.AddWorker(app.Workers, &plainWorker{})
	work(t, app)
	waitStatus(t, app, id, batch.Retrying)
	live(batch.Retrying)

	if err := app.Ledger.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	next, err := startWith(t, app, "alone", StartOpts{At: time.Now().Add(time.Hour)})
	if err != nil || next.Existing {
		t.Fatalf("after the run has ended: %+v, %v", next, err)
	}
	// The old one may not come back beside the new one, whichever way.
	var refused *batch.StateError
	if _, err := app.Ledger.Retry(ctx, id, batch.RetryOpts{}); !errors.As(err, &refused) {
		t.Errorf("retry of the old run: %v", err)
	}
	var other *batch.LiveError
	if _, err := app.Ledger.Retry(ctx, id, batch.RetryOpts{FromStart: true}); !errors.As(err, &other) || other.ID != next.ID {
		t.Errorf("retry of the old run from the start: %v", err)
	}
	if err := app.Ledger.Cancel(ctx, next.ID); err != nil {
		t.Fatal(err)
	}
	retried, err := app.Ledger.Retry(ctx, id, batch.RetryOpts{FromStart: true})
	if err != nil {
		t.Fatal(err)
	}
	id = retried
	waitStatus(t, app, id, batch.Retrying)
	live(batch.Retrying)
}

func TestUniqueStartThatIsRolledBackLeavesNothing(t *testing.T) {
	t.Parallel()

	app := setup(t, "jobs: {alone: {kind: plain, unique: true}}")
	tx, err := app.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, err := app.StartTx(t.Context(), tx, "alone", nil)
	if err != nil {
		t.Fatal(err)
	}
	same, err := app.StartTx(t.Context(), tx, "alone", nil)
	if err != nil || !same.Existing || same.ID != first.ID {
		t.Errorf("in the same transaction: %+v, %v", same, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, err := app.Start(t.Context(), "alone", nil)
	if err != nil || second.Existing {
		t.Errorf("after the rollback: %+v, %v", second, err)
	}
}

func TestUniqueImportRefusesAnotherFile(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	app := setup(t, fmt.Sprintf(`
storage: {url: "file://%s"}
jobs:
  load: {kind: import, table: people, unique: true}
  free: {kind: import, table: others}
`, dir))
	ctx := t.Context()
	load := func(job, content string, opts ImportOpts) (*batch.Started, error) {
		return app.ImportFile(ctx, job, "people.csv", strings.NewReader(content), opts)
	}
	type answer struct {
		started *batch.Started
		err     error
	}
	answers := make([]answer, 20)
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() {
			started, err := load("load", fmt.Sprintf("id\n%d\n", i), ImportOpts{})
			answers[i] = answer{started, err}
		})
	}
	wait.Wait()
	winner, content := int64(0), ""
	for i, a := range answers {
		if a.err == nil {
			if winner != 0 || a.started.Existing {
				t.Errorf("a second file was taken: %+v, beside run %d", a.started, winner)
			}
			winner, content = a.started.ID, fmt.Sprintf("id\n%d\n", i)
		}
	}
	for _, a := range answers {
		var live *batch.LiveError
		if a.err != nil && (!errors.As(a.err, &live) || live.ID != winner || live.Job != "load") {
			t.Errorf("%v; want run %d to be live", a.err, winner)
		}
	}
	for name, opts := range map[string]ImportOpts{"the same file": {}, "by force": {Force: true}} {
		same, err := load("load", content, opts)
		if err != nil || !same.Existing || same.ID != winner {
			t.Errorf("%s: %+v, %v; want run %d", name, same, err, winner)
		}
	}
	if free, err := load("free", "id\n1\n", ImportOpts{}); err != nil || free.Existing {
		t.Errorf("another job: %+v, %v", free, err)
	}
	if err := app.Ledger.Pause(ctx, winner); err != nil {
		t.Fatal(err)
	}
	_, err := load("load", "id\nother\n", ImportOpts{})
	if want := fmt.Sprintf("job load is unique and run %d is live", winner); err == nil || err.Error() != want {
		t.Errorf("while the run is paused: %v, want %s", err, want)
	}
	if stored := contents(t, dir); len(stored) != 2 {
		t.Errorf("%d files are stored, want those of the two runs: %q", len(stored), stored)
	}
	if err := app.Ledger.Cancel(ctx, winner); err != nil {
		t.Fatal(err)
	}
	next, err := load("load", "id\nother\n", ImportOpts{})
	if err != nil || next.Existing {
		t.Errorf("after the run has ended: %+v, %v", next, err)
	}
}

// contents lists the files below dir.
func contents(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestStartKeepsParams(t *testing.T) {
	t.Parallel()

	app := setup(t, "jobs: {plain: {kind: plain}}")
	for want, params := range map[string]Params{"{}": nil, `{"day": "monday"}`: {"day": "monday"}} {
		started, err := app.Start(t.Context(), "plain", params)
		if err != nil {
			t.Fatal(err)
		}
		info, err := app.Ledger.Get(t.Context(), started.ID)
		if err != nil || !bytes.Equal(info.Params, []byte(want)) {
			t.Errorf("params %s, %v; want %s", info.Params, err, want)
		}
	}
}
