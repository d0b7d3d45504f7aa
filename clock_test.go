package tidemill

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidemill/tidemill/metrics"
)

// The skew is logged once when it begins and once when it ends, not with each beat, and not when it wavers around the limit.
func TestSkewIsToldOnce(t *testing.T) {
	t.Parallel()
	m, err := metrics.New(metrics.Opts{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	w := &skewWatch{logger: slog.New(slog.NewJSONHandler(&log, nil)), metrics: m}
	for _, seen := range []struct{ skew, unsure time.Duration }{
		{4 * time.Second, 0}, {-4 * time.Second, 0},
		{6 * time.Second, 2 * time.Second}, // may be less than 5 s
		{5100 * time.Millisecond, 0}, {4900 * time.Millisecond, 0}, {5100 * time.Millisecond, 0},
		{time.Millisecond, 0}, {0, 0},
		{-time.Hour, time.Second}, {-time.Hour, 0}, {-2 * time.Second, 0},
	} {
		w.see(t.Context(), seen.skew, seen.unsure)
	}
	type entry struct {
		Level, Msg string
		Seconds    float64
	}
	var got []entry
	for line := range strings.Lines(log.String()) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	agrees := "this machine's clock agrees with the database's again"
	differs := func(how string) string {
		return "this machine's clock is " + how + " the database's; jobs go by the database's, but set it right, for example with chrony"
	}
	want := []entry{
		{"WARN", differs("ahead of"), 5.1}, {"INFO", agrees, 0.001},
		{"WARN", differs("behind"), 3600}, {"INFO", agrees, 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// skewLog counts what is said about clocks, and finds the address of the metrics.
type skewLog struct {
	addressLog
	mu    sync.Mutex
	warns int
}

func (l *skewLog) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(`"level":"WARN","msg":"this machine's clock is `)) {
		l.mu.Lock()
		l.warns++
		l.mu.Unlock()
	}
	return l.addressLog.Write(line)
}

func (l *skewLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.warns
}

// A worker on a machine whose clock is wrong says so in its log and its metrics, and shows the state of the cluster by the
// database's clock, in which its times are.
func TestWorkerTellsSkew(t *testing.T) {
	t.Parallel()
	log := &skewLog{addressLog: addressLog{found: make(chan string, 1)}}
	b := setupSkewed(t, -2*time.Hour, slog.NewJSONHandler(log, nil))
	url := "http://" + <-log.found + "/metrics"
	waitShown(t, url, "tidemill_metrics_refresh_timestamp_seconds ")

	skew, refreshed := shown(t, url, "tidemill_clock_skew_seconds"), shown(t, url, "tidemill_metrics_refresh_timestamp_seconds")
	if skew < 7199 || skew > 7201 {
		t.Errorf("the skew is shown as %v s, want 7200", skew)
	}
	if behind := float64(time.Now().Unix()) - refreshed; behind < 7195 || behind > 7230 {
		t.Errorf("the state of the cluster is shown as of %v s before this machine's time, want the 7200 that the database is behind", behind)
	}
	// A tick that is due now is on time, whatever the clock of who fires it.
	if _, err := b.app.Pool.Exec(t.Context(), `UPDATE tidemill.schedule SET next_tick_at = clock_timestamp() WHERE name = 'tick'`); err != nil {
		t.Fatal(err)
	}
	waitShown(t, url, `tidemill_schedule_ticks_total{outcome="enqueued",schedule="tick"} 1`)
	if late := shown(t, url, "tidemill_schedule_lateness_seconds_sum"); late > 30 {
		t.Errorf("a tick that was on time is shown as %v s late", late)
	}
	beats(t, b.app, 3)
	if n := log.count(); n != 1 {
		t.Errorf("%d warnings after some beats, want 1", n)
	}
	b.stop()
	if err := <-b.ended; err != nil {
		t.Error(err)
	}
}

// beats waits until the worker has beaten so often.
func beats(t *testing.T, app *App, n int) {
	t.Helper()
	var last time.Time
	deadline := time.After(time.Minute)
	for n > 0 {
		var beat time.Time
		if err := app.Pool.QueryRow(t.Context(), `SELECT max(beat_at) FROM tidemill.process`).Scan(&beat); err != nil {
			t.Fatal(err)
		}
		if beat.After(last) {
			last = beat
			n--
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatal("the worker does not beat")
		}
	}
}

// shown is the value of the first series of that name.
func shown(t *testing.T, url, name string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	t.Fatalf("%s does not show %s", url, name)
	return 0
}
