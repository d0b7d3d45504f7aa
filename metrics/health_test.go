package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/migrations"
)

func probe(t *testing.T, h http.Handler, method, path string) (int, Readiness) {
	t.Helper()
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	req.RemoteAddr = "127.0.0.1:54321"
	h.ServeHTTP(rec, req)
	var answer Readiness
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%s: %v", rec.Body, err)
		}
	}
	return rec.Code, answer
}

func TestReadyz(t *testing.T) {
	t.Parallel()

	good := func(context.Context) error { return nil }
	bad := func(context.Context) error { return errors.New("no rows left") }
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	deaf := func(context.Context) error { <-release; return nil }
	tests := map[string]struct {
		prepare func(h *Health)
		status  int
		want    Readiness
	}{
		"no checks": {func(*Health) {}, 200, Readiness{Status: "ok", Checks: map[string]string{}}},
		"all good": {
			func(h *Health) { h.Add("a", good); h.Add("b", good) },
			200, Readiness{Status: "ok", Checks: map[string]string{"a": "ok", "b": "ok"}},
		},
		"two bad": {
			func(h *Health) { h.Add("a", bad); h.Add("b", good); h.Add("c", bad) },
			503, Readiness{Status: "unready", Reason: "not fit: a, c", Checks: map[string]string{"a": "no rows left", "b": "ok", "c": "no rows left"}},
		},
		"replaced": {
			func(h *Health) { h.Add("a", bad); h.Add("a", good) },
			200, Readiness{Status: "ok", Checks: map[string]string{"a": "ok"}},
		},
		"panics": {
			func(h *Health) { h.Add("a", func(context.Context) error { panic("boom") }) },
			503, Readiness{Status: "unready", Reason: "not fit: a", Checks: map[string]string{"a": "the check panicked: boom"}},
		},
		"does not answer": {
			func(h *Health) { h.Add("a", deaf); h.Add("b", good) },
			503, Readiness{Status: "unready", Reason: "not fit: a", Checks: map[string]string{"a": "no answer within 2s", "b": "ok"}},
		},
		"draining": {
			func(h *Health) { h.Add("a", good); h.Drain() },
			503, Readiness{Status: "unready", Reason: "draining", Checks: map[string]string{}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			health := &Health{}
			tt.prepare(health)
			h := Handler(prometheus.NewRegistry(), health)
			status, got := probe(t, h, "GET", "/readyz")
			if diff := cmp.Diff(tt.want, got); diff != "" || status != tt.status {
				t.Errorf("status %d, want %d\n%s", status, tt.status, diff)
			}
			if status, got := probe(t, h, "GET", "/livez"); status != 200 || got.Status != "ok" {
				t.Errorf("/livez: %d %+v", status, got)
			}
		})
	}
}

func TestReadinessOfAWorker(t *testing.T) {
	t.Parallel()

	url := testdb.URL(t)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	started := make(chan struct{})
	health := &Health{}
	health.Add("migrations", CheckMigrations(pool, migrations.Schema{}))
	health.Add("client", CheckStarted(started))
	health.Add("database", CheckDatabase(pool))
	h := Handler(prometheus.NewRegistry(), health)
	expect := func(status int, want map[string]string) {
		t.Helper()
		got, answer := probe(t, h, "GET", "/readyz")
		if diff := cmp.Diff(want, answer.Checks); diff != "" || got != status {
			t.Errorf("status %d, want %d\n%s", got, status, diff)
		}
	}

	expect(503, map[string]string{"migrations": "the database lacks migrations: River's 1 to 8, 001_tables, 002_triggers, 003_start, 004_schedules, 005_children", "client": "not started yet", "database": "ok"})
	if _, err := migrations.Up(t.Context(), pool, migrations.Schema{}, nil); err != nil {
		t.Fatal(err)
	}
	expect(503, map[string]string{"migrations": "ok", "client": "not started yet", "database": "ok"})
	close(started)
	expect(200, map[string]string{"migrations": "ok", "client": "ok", "database": "ok"})

	pool.Close()
	if status, answer := probe(t, h, "GET", "/readyz"); status != 503 || answer.Reason != "not fit: migrations, database" {
		t.Errorf("without a database: %d %+v", status, answer)
	}
	if status, _ := probe(t, h, "GET", "/livez"); status != 200 {
		t.Errorf("/livez without a database: %d", status)
	}
	health.Drain()
	expect(503, map[string]string{})
}

func TestHandlerRefuses(t *testing.T) {
	t.Parallel()

	h := Handler(prometheus.NewRegistry(), nil)
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/", 404}, {"POST", "/metrics", 405}, {"POST", "/readyz", 405}, {"DELETE", "/livez", 405},
		{"HEAD", "/livez", 200}, {"GET", "/readyz", 200}, {"GET", "/metrics", 200},
	} {
		if got, _ := probe(t, h, tt.method, tt.path); got != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, got, tt.want)
		}
	}
}

func TestServe(t *testing.T) {
	t.Parallel()

	reg, _ := newMetrics(t, Opts{Queues: map[string]int{"default": 20}})
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	health := &Health{}
	health.Add("slow", func(context.Context) error { close(entered); <-leave; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, ln, Handler(reg, health)) }()

	status, body := get(t, "http://"+ln.Addr().String()+"/metrics")
	if status != 200 || !strings.Contains(body, `tidemill_worker_slots{queue="default"} 20`) {
		t.Errorf("/metrics: %d %s", status, body)
	}

	// A request that is under way when the server is asked to stop gets its answer.
	type answer struct {
		status int
		body   string
	}
	answered := make(chan answer, 1)
	go func() {
		status, body := get(t, "http://"+ln.Addr().String()+"/readyz")
		answered <- answer{status, body}
	}()
	<-entered
	cancel()
	close(leave)
	if got := <-answered; got.status != 200 {
		t.Errorf("the last answer is %+v", got)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	// Its port may be another's by now.
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("still listening after the end: %v", err)
	}
}

func TestServeOnClosedListener(t *testing.T) {
	t.Parallel()

	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := Serve(t.Context(), ln, http.NotFoundHandler()); err == nil {
		t.Error("Serve on a closed listener succeeded")
	}
}

// get may be called from any goroutine.
func get(t *testing.T, url string) (int, string) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// Strangers learn which checks fail, and the log why; whoever asks on this machine is told.
func TestReadyzForStrangers(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name, from, header string
		told               bool
	}{
		{"this machine", "127.0.0.1:54321", "", true},
		{"this machine by IPv6", "[::1]:54321", "", true},
		{"this machine by a mapped address", "[::ffff:127.0.0.1]:54321", "", true},
		{"another", "10.1.2.3:54321", "", false},
		{"another by a proxy here", "127.0.0.1:54321", "X-Forwarded-For", false},
		{"nobody knows", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			health := &Health{Logger: slog.New(slog.NewTextHandler(&log, nil))}
			health.Add("database", func(context.Context) error { return errors.New("user=ada at db7.internal: refused") })
			health.Add("client", func(context.Context) error { return nil })
			h := Handler(prometheus.NewRegistry(), health)
			for range 3 {
				rec := httptest.NewRecorder()
				req := httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil)
				req.RemoteAddr = tt.from
				if tt.header != "" {
					req.Header.Set(tt.header, "10.1.2.3")
				}
				h.ServeHTTP(rec, req)
				body := rec.Body.String()
				if rec.Code != http.StatusServiceUnavailable || strings.Contains(body, "db7") != tt.told || strings.Contains(body, `"database":"failed"`) == tt.told ||
					!strings.Contains(body, `"client":"ok"`) {
					t.Errorf("%d %s", rec.Code, body)
				}
			}
			if got := strings.Count(log.String(), "db7.internal"); got != 1 {
				t.Errorf("the log says why %d times, want once: %s", got, log.String())
			}
		})
	}
}
