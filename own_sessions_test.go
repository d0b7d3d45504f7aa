package tidemill

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/rescue"
)

// A worker that has nothing to do has two sessions of its own beside its pools: one that beats, and one on
// which it watches the others, fires schedules, starts what follows runs, reports, and leads.
func TestAnIdleWorkerHasFewSessions(t *testing.T) {
	t.Parallel()
	const most = 2
	app := setup(t, `
jobs:
  stay: {kind: stay, schedule: {every: 365d, catch_up_window: 365d}}
`)
	log := &addressLog{found: make(chan string, 1)}
	app.logger = slog.New(slog.NewJSONHandler(log, nil))
	app.Config.Metrics.Listen = "127.0.0.1:0"
	app.Config.Database.Notify = false // River's listener has a session, too
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
	<-worker.began // a tick was fired
	close(worker.leave)
	page := "http://" + <-log.found + "/metrics"
	waitShown(t, page, `tidemill_metrics_reporter 1`)

	// The pools open and close connections meanwhile, and only what they have before and after was there when it was counted. For a
	// moment there may be more, on a machine that is slow just then.
	found, few := "", 0
	for deadline := time.Now().Add(20 * time.Second); few < 10; hold(t.Context(), 20*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("more than %d sessions of its own: %s", most, found)
		}
		before := pooled(t, page)
		all := must(ask[int](t, app, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`, rescue.SessionName(app.processID())))
		if pooled(t, page) != before {
			continue
		}
		own := all - before
		found = fmt.Sprintf("%d (%d in all, %d in pools)", own, all, before)
		if few++; own > most {
			few = 0
		}
	}
	t.Log("sessions of its own:", found)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// pooled is how many connections the pools have by the page of metrics.
func pooled(t *testing.T, page string) (n int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`(?m)^tidemill_pool_connections\{.*\} (\d+)$`).FindAllSubmatch(body, -1) {
		count, err := strconv.Atoi(string(found[1]))
		if err != nil {
			t.Fatal(err)
		}
		n += count
	}
	return n
}
