package httpjob_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/httpjob"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/internal/webhook"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

const httpDelay = 20 * time.Minute // before the second attempt, unless a run is to be fast

type httpBundle struct {
	*testengine.Engine

	mu   sync.Mutex
	jobs map[string]*config.Job
}

// setupHTTP starts a worker whose definitions the test adds.
func setupHTTP(t *testing.T) *httpBundle {
	t.Helper()
	return setupHTTPWith(t, nil)
}

func setupHTTPWith(t *testing.T, transport http.RoundTripper) *httpBundle {
	t.Helper()
	b := &httpBundle{jobs: map[string]*config.Job{}}
	policy := func(delay time.Duration) retry.Policy {
		return retry.Policy{Backoff: retry.Constant, Delay: delay, MaxDelay: time.Hour, Jitter: -1}
	}
	retries := retry.NewPlugin(retry.PluginOpts{
		Default: policy(httpDelay),
		Own: func(job *rivertype.JobRow) (retry.Policy, bool) {
			return policy(time.Millisecond), strings.Contains(string(job.Metadata), `"fast"`)
		},
	})
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	b.Engine = testengine.Start(t, "", func(w *river.Workers) {
		river.AddWorker(w, httpjob.NewWorker(&kind.Deps{
			Jobs: b.find, Location: tokyo, Logger: slog.New(slog.DiscardHandler), Version: "1.2.3",
		}, transport))
	}, func(c *river.Config) {
		c.Plugins = append(c.Plugins, retries)
		c.RetryPolicy = retries
	})
	return b
}

func (b *httpBundle) find(name string) (*config.Job, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	job, ok := b.jobs[name]
	return job, ok
}

// insert starts a run of a job with that URL; change may change its definition, its arguments and how it is inserted.
func (b *httpBundle) insert(t *testing.T, url string, change func(*config.Job, *httpjob.Args, *river.InsertOpts)) int64 {
	t.Helper()
	def := &config.Job{Name: t.Name(), Kind: "http", Spec: &httpjob.Config{
		URL: url, Method: http.MethodPost, Timeout: 30 * time.Second, MaxResponse: 1 << 10,
	}}
	args := httpjob.Args{Args: kind.Args{Job: t.Name()}}
	opts := &river.InsertOpts{MaxAttempts: 5}
	if change != nil {
		change(def, &args, opts)
	}
	b.mu.Lock()
	b.jobs[def.Name] = def
	b.mu.Unlock()
	inserted, err := b.Client.Insert(context.Background(), args, opts)
	if err != nil {
		t.Fatal(err)
	}
	return inserted.Job.ID
}

// wait returns the run when it is in one of the states.
func (b *httpBundle) wait(t *testing.T, id int64, states ...rivertype.JobState) *rivertype.JobRow {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		row, err := b.Client.JobGet(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range states {
			if row.State == state {
				return row
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("run %d is %s after %d attempts, wanted %v", id, row.State, row.Attempt, states)
		}
	}
}

// attempt is what one attempt came to.
func (b *httpBundle) attempt(t *testing.T, url string, change func(*config.Job, *httpjob.Args, *river.InsertOpts)) *rivertype.JobRow {
	t.Helper()
	return b.wait(t, b.insert(t, url, change),
		rivertype.JobStateCompleted, rivertype.JobStateRetryable, rivertype.JobStateDiscarded, rivertype.JobStateCancelled)
}

// lastError is the error of the last attempt, "" if there was none.
func lastError(row *rivertype.JobRow) string {
	if len(row.Errors) == 0 {
		return ""
	}
	return row.Errors[len(row.Errors)-1].Error
}

// output is what the last attempt recorded, without its duration.
func output(t *testing.T, row *rivertype.JobRow) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(row.Output(), &out); err != nil {
		t.Fatalf("%s: %v", row.Output(), err)
	}
	if ms, ok := out["duration_ms"].(float64); !ok || ms < 0 || ms > 60_000 {
		t.Errorf("duration_ms is %v", out["duration_ms"])
	}
	delete(out, "duration_ms")
	return out
}

// received is what a server saw of a request.
type received struct {
	Method, Path string
	Header       http.Header
	Body         string
	Close        bool
}

// serve starts a server that passes on what it receives before it answers.
func serve(t *testing.T, answer http.HandlerFunc) (*httptest.Server, <-chan received) {
	t.Helper()
	requests := make(chan received, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the request: %v", err)
		}
		requests <- received{r.Method, r.URL.Path, r.Header, string(body), r.Close}
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return server, requests
}

func TestHTTPRequest(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	const oldSecret, newSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "another secret that is raw"
	answerJSON := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		fmt.Fprint(w, `{"queued": 12345678901234567890, "ok": true}`)
	}
	due := time.Date(2026, 11, 21, 9, 0, 0, 0, time.FixedZone("", 9*60*60))

	t.Run("signed", func(t *testing.T) {
		t.Parallel()
		server, requests := serve(t, answerJSON)
		row := b.attempt(t, server.URL+"/jobs/user?token=secret", func(def *config.Job, args *httpjob.Args, _ *river.InsertOpts) {
			def.Spec.(*httpjob.Config).Secrets = []string{oldSecret, newSecret}
			def.Spec.(*httpjob.Config).Headers = map[string]string{"Authorization": "Bearer x", "User-Agent": "Mine"}
			def.Params = []config.Param{{Name: "day", Type: config.DateParam, Default: json.RawMessage(`"scheduled_for"`)}, {Name: "id", Type: config.IntegerParam}}
			args.Params = json.RawMessage(`{"id": 9007199254740993}`)
			args.ScheduledFor = &due
		})
		got := <-requests
		id := got.Header.Get("Webhook-Id")
		if diff := cmp.Diff(rivertype.JobStateCompleted, row.State); diff != "" {
			t.Fatalf("%s %s", diff, lastError(row))
		}
		want := fmt.Sprintf(`{"id":"%s","run":"%d","job":"%s","params":{"day":"2026-11-21","id":9007199254740993},"attempt":1,"scheduled_for":"2026-11-21T09:00:00+09:00"}`, id, row.ID, t.Name())
		if diff := cmp.Diff(want, got.Body); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
		for name, want := range map[string]string{
			"Authorization": "Bearer x", "Content-Type": "application/json", "Tidemill-Attempt": "1", "User-Agent": "Mine",
		} {
			if got.Header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
			}
		}
		for _, text := range []string{oldSecret, newSecret} {
			secrets, err := webhook.ParseSecrets([]string{text})
			if err == nil {
				err = webhook.Verify(secrets, got.Header, []byte(got.Body), time.Now())
			}
			if err != nil {
				t.Error(err)
			}
		}
		if got.Method != http.MethodPost || got.Path != "/jobs/user" {
			t.Errorf("got %s %s", got.Method, got.Path)
		}
		wantOutput := map[string]any{"attempt": 1., "status": 200., "body": map[string]any{"queued": 12345678901234567890., "ok": true}}
		if diff := cmp.Diff(wantOutput, output(t, row)); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
		if !strings.Contains(string(row.Output()), "12345678901234567890") {
			t.Errorf("digits are lost: %s", row.Output())
		}
	})

	t.Run("unsigned", func(t *testing.T) {
		t.Parallel()
		server, requests := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		row := b.attempt(t, server.URL, nil)
		got := <-requests
		if diff := cmp.Diff([]string{"Tidemill/1.2.3", "", ""}, []string{got.Header.Get("User-Agent"), got.Header.Get("Webhook-Timestamp"), got.Header.Get("Webhook-Signature")}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		var body struct {
			Params       *map[string]any
			ScheduledFor string `json:"scheduled_for"`
		}
		if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
			t.Fatal(err)
		}
		if body.Params == nil || len(*body.Params) != 0 {
			t.Errorf("params are not an empty object: %s", got.Body)
		}
		at, err := time.Parse(time.RFC3339, body.ScheduledFor)
		if err != nil || !strings.HasSuffix(body.ScheduledFor, "+09:00") || !at.Equal(row.CreatedAt.Truncate(time.Second)) {
			t.Errorf("scheduled_for is %s, want %s in Tokyo", body.ScheduledFor, row.CreatedAt)
		}
		if diff := cmp.Diff(map[string]any{"attempt": 1., "status": 204.}, output(t, row)); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})

	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			server, requests := serve(t, answerJSON)
			b.attempt(t, server.URL, func(def *config.Job, args *httpjob.Args, _ *river.InsertOpts) {
				def.Spec.(*httpjob.Config).Method = method
				def.Spec.(*httpjob.Config).Headers = map[string]string{"Authorization": "Bearer cron"}
				args.Params = json.RawMessage(`{"not": "sent"}`)
			})
			got := <-requests
			header := http.Header{
				"Accept-Encoding": {"gzip"}, "Authorization": {"Bearer cron"}, "Tidemill-Attempt": {"1"},
				"User-Agent": {"Tidemill/1.2.3"}, "Webhook-Id": got.Header["Webhook-Id"],
			}
			if id := got.Header.Get("Webhook-Id"); !uuid.MatchString(id) {
				t.Errorf("the id is %q", id)
			}
			if diff := cmp.Diff(received{Method: method, Path: "/", Header: header}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}

	for _, method := range []string{http.MethodPut, http.MethodPatch} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			server, requests := serve(t, answerJSON)
			b.attempt(t, server.URL, func(def *config.Job, _ *httpjob.Args, _ *river.InsertOpts) {
				def.Spec.(*httpjob.Config).Method = method
			})
			if got := <-requests; got.Method != method || got.Body == "" {
				t.Errorf("got %s with body %q", got.Method, got.Body)
			}
		})
	}

	t.Run("params that the job does not have", func(t *testing.T) {
		t.Parallel()
		server, requests := serve(t, answerJSON)
		row := b.attempt(t, server.URL, func(def *config.Job, args *httpjob.Args, _ *river.InsertOpts) {
			def.Params = []config.Param{{Name: "day", Type: config.DateParam, Default: json.RawMessage(`"scheduled_for"`)}}
			args.Params = json.RawMessage(`{"dya": "2026-01-01"}`)
		})
		if row.State != rivertype.JobStateDiscarded || !strings.Contains(lastError(row), `param "dya"`) || len(requests) != 0 {
			t.Errorf("run is %s (%s) after %d requests", row.State, lastError(row), len(requests))
		}
	})
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// A program that is down for a while gets the same id each time, in a body and a signature of that attempt.
func TestHTTPRetriesUntilItSucceeds(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	var calls int
	server, requests := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls < 4 { // one after the other
			http.Error(w, "down", http.StatusInternalServerError)
		}
	})
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	id := b.insert(t, server.URL, func(def *config.Job, _ *httpjob.Args, opts *river.InsertOpts) {
		def.Spec.(*httpjob.Config).Secrets = []string{secret}
		opts.Metadata = []byte(`{"fast": true}`)
	})
	row := b.wait(t, id, rivertype.JobStateCompleted, rivertype.JobStateDiscarded)
	secrets, err := webhook.ParseSecrets([]string{secret})
	if err != nil {
		t.Fatal(err)
	}
	if row.State != rivertype.JobStateCompleted || row.Attempt != 4 || len(row.Errors) != 3 || len(requests) != 4 {
		t.Fatalf("run is %s at attempt %d with %d errors after %d requests", row.State, row.Attempt, len(row.Errors), len(requests))
	}
	var first string
	for attempt := range 4 {
		got := <-requests
		var body struct {
			ID, Run string
			Attempt int
		}
		if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
			t.Fatal(err)
		}
		if attempt == 0 {
			first = body.ID
		}
		if !uuid.MatchString(first) {
			t.Errorf("the id is %q", first)
		}
		want := []any{first, first, fmt.Sprint(id), attempt + 1, fmt.Sprint(attempt + 1)}
		if diff := cmp.Diff(want, []any{body.ID, got.Header.Get("Webhook-Id"), body.Run, body.Attempt, got.Header.Get("Tidemill-Attempt")}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := webhook.Verify(secrets, got.Header, []byte(got.Body), time.Now()); err != nil {
			t.Error(err)
		}
	}
}

func TestHTTPNoServer(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	listener.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.Config.ErrorLog = secure.Config.ErrorLog
	old.StartTLS()
	t.Cleanup(old.Close)

	for _, tt := range []struct{ name, url, want string }{
		{"refused", url, "connection refused"},
		{"unknown certificate", secure.URL, "certificate signed by unknown authority"},
		{"old TLS", old.URL, "protocol version"},
		{"no TLS", strings.Replace(secure.URL, "https:", "http:", 1), "400 Bad Request: Client sent an HTTP request to an HTTPS server."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			row := b.attempt(t, tt.url+"/path?token=secret", nil)
			if row.State != rivertype.JobStateRetryable || !strings.Contains(lastError(row), tt.want) || !strings.HasPrefix(lastError(row), "POST "+tt.url) {
				t.Errorf("run is %s: %s", row.State, lastError(row))
			}
			if strings.Contains(lastError(row), "token") {
				t.Errorf("shows the query: %s", lastError(row))
			}
			if out := output(t, row); out["attempt"] != 1. {
				t.Errorf("recorded %v", out)
			}
		})
	}
}
