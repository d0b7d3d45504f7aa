package tidemill

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/rescue"
)

type stayArgs struct{}

func (stayArgs) Kind() string { return "stay" }

// stayWorker stays until it is told to go.
type stayWorker struct {
	river.WorkerDefaults[stayArgs]
	began, leave chan struct{}
}

func (w *stayWorker) Work(context.Context, *river.Job[stayArgs]) error {
	w.began <- struct{}{}
	<-w.leave
	return nil
}

// addressLog finds the address of the listener in the log.
type addressLog struct {
	once  sync.Once
	found chan string
}

func (l *addressLog) Write(line []byte) (int, error) {
	var entry struct{ Msg, Address string }
	if json.Unmarshal(line, &entry) == nil && entry.Address != "" {
		l.once.Do(func() { l.found <- entry.Address })
	}
	return len(line), nil
}

// What a worker does reaches its metrics: ticks, pools, that it drains; and the session that reports ends with the worker.
func TestWorkerIsWatched(t *testing.T) {
	t.Parallel()
	app := setup(t, `
drain_timeout: 30s
jobs:
  stay: {kind: stay, schedule: {every: 365d, catch_up_window: 365d}}
`)
	log := &addressLog{found: make(chan string, 1)}
	app.logger = slog.New(slog.NewJSONHandler(log, nil))
	app.Config.Metrics.Listen = "127.0.0.1:0"
	worker := &stayWorker{began: make(chan struct{}), leave: make(chan struct{})}
	river.AddWorker(app.Workers, worker)
	if _, err := app.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Pool.Exec(t.Context(), `UPDATE tidemill.schedule SET next_tick_at = next_tick_at - interval '365 days'`); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, nil) }()
	<-worker.began
	metrics := "http://" + <-log.found + "/metrics"

	waitShown(t, metrics, `tidemill_schedule_ticks_total{outcome="caught_up",schedule="stay"} 1`)
	waitShown(t, metrics, `tidemill_schedule_failures_total{schedule="stay"} 0`)
	waitShown(t, metrics, `tidemill_schedule_lateness_seconds_count 1`)
	waitShown(t, metrics, `tidemill_pool_connections_max{pool="work"} 43`)
	waitShown(t, metrics, `tidemill_pool_connections{pool="app",state="idle"}`)
	waitShown(t, metrics, `tidemill_metrics_reporter 1`)
	waitShown(t, metrics, `tidemill_process_draining 0`)
	session := must(ask[string](t, app, `SELECT a.application_name FROM tidemill.leader l JOIN pg_stat_activity a USING (pid) WHERE l.name = 'metrics'`))
	if want := rescue.SessionName(app.processID()); session != want {
		t.Errorf("the session that reports is named %q, want %q", session, want)
	}
	stop()
	waitShown(t, metrics, `tidemill_process_draining 1`)
	close(worker.leave)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// waitShown waits until the page has that text.
func waitShown(t *testing.T, url, want string) {
	t.Helper()
	page := ""
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(page, want); hold(t.Context(), 20*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not show %s:\n%s", url, want, page)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		page = string(body)
	}
}
