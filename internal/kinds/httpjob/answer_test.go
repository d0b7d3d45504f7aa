package httpjob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/httpjob"
	"github.com/tidemill/tidemill/workers/kind"
)

// httpAnswer answers with the status, headers as pairs, and a body.
func httpAnswer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestHTTPStatus(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	const (
		retryable = rivertype.JobStateRetryable
		discarded = rivertype.JobStateDiscarded
	)
	date := func(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
	theirs := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC) // their clock is wrong
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		state  rivertype.JobState
		delay  time.Duration
		want   string // after the name of the request
	}{
		{"gone", httpAnswer(410, "x", "Retry-After", "60"), discarded, 0, ": the endpoint says gone (410)"},
		{"server error", httpAnswer(500, "<h1>Oops</h1>\n\n<p>a  b\x00\x1b[31mc</p>\n"), retryable, httpDelay, ": 500 Internal Server Error: <h1>Oops</h1> <p>a b [31mc</p>"},
		{"long error", httpAnswer(502, strings.Repeat("é", 300)), retryable, httpDelay, ": 502 Bad Gateway: " + strings.Repeat("é", 200) + "…"},
		{"not text", httpAnswer(500, "a\xff\xfeb"), retryable, httpDelay, ": 500 Internal Server Error: a\uFFFDb"},
		{"unknown status", httpAnswer(599, ""), retryable, httpDelay, ": 599"},
		{"not found", httpAnswer(404, "no such route"), retryable, httpDelay, ": 404 Not Found: no such route"},
		{"unauthorized", httpAnswer(401, ""), retryable, httpDelay, ": 401 Unauthorized"},
		{"not modified", httpAnswer(304, ""), retryable, httpDelay, ": 304 Not Modified"},
		{"redirect to nowhere", httpAnswer(307, ""), retryable, httpDelay, ": 307 Temporary Redirect"},
		{"seconds", httpAnswer(429, "slow", "Retry-After", "90"), retryable, 90 * time.Second, ": 429 Too Many Requests: slow"},
		{"date", httpAnswer(503, "", "Retry-After", date(theirs.Add(5*time.Minute)), "Date", date(theirs)), retryable, 5 * time.Minute, ": 503 Service Unavailable"},
		{"date in the past", httpAnswer(503, "", "Retry-After", date(theirs), "Date", date(theirs)), retryable, httpDelay, ": 503 Service Unavailable"},
		{"longer than the longest delay", httpAnswer(429, "", "Retry-After", "86400"), retryable, time.Hour, ": 429 Too Many Requests"},
		{"not a time", httpAnswer(429, "", "Retry-After", "soon"), retryable, httpDelay, ": 429 Too Many Requests"},
		{"where it means something else", httpAnswer(500, "", "Retry-After", "90"), retryable, httpDelay, ": 500 Internal Server Error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, _ := serve(t, tt.answer)
			row := b.attempt(t, server.URL+"/a%2Fb?token=secret", nil)
			if diff := cmp.Diff("POST "+server.URL+"/a%2Fb"+tt.want, lastError(row)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if row.State != tt.state {
				t.Errorf("run is %s, want %s", row.State, tt.state)
			}
			delay := row.ScheduledAt.Sub(*row.AttemptedAt)
			if tt.delay > 0 && (delay < tt.delay || delay > tt.delay+time.Minute) {
				t.Errorf("the next attempt is due after %s, want %s", delay, tt.delay)
			}
			if status := output(t, row)["status"]; status == nil || !strings.Contains(tt.want, fmt.Sprint(status)) {
				t.Errorf("recorded status %v", status)
			}
		})
	}
}

func TestHTTPBody(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	const (
		limit = 16
		json  = "application/json"
	)
	type out = map[string]any
	for _, tt := range []struct {
		name, contentType, body string
		want                    out
	}{
		{"text", "text/plain", "done", out{"body": "done"}},
		{"text that is full", "text/plain", "0123456789abcdef", out{"body": "0123456789abcdef"}},
		{"text that is cut", "text/plain", "0123456789abcdefg", out{"body": "0123456789abcdef", "truncated": true}},
		{"cut in a character", "text/plain", "0123456789abcd€", out{"body": "0123456789abcd", "truncated": true}},
		{"cut after a character", "text/plain", "0123456789abc€x", out{"body": "0123456789abc€", "truncated": true}},
		{"JSON", json, `{"a":[1,null]}`, out{"body": out{"a": []any{1., nil}}}},
		{"JSON of a kind", "application/problem+json", `"x"`, out{"body": "x"}},
		{"JSON that is false", json, `false`, out{"body": false}},
		{"JSON that is not said to be", "text/plain", `{"a":1}`, out{"body": `{"a":1}`}},
		{"JSON that is cut", json, `{"a":"0123456789abcdef"}`, out{"body": `{"a":"0123456789`, "truncated": true}},
		{"JSON that is none", json, `{"a":`, out{"body": `{"a":`}},
		{"JSON twice", json, `{} {}`, out{"body": `{} {}`}},
		{"JSON with NUL", json, `"\u0000"`, out{"body": `"\u0000"`}},
		{"JSON with NUL in a key", json, `{"\u0000":1}`, out{"body": `{"\u0000":1}`}},
		{"JSON with half a character", json, `"\ud800"`, out{"body": "\uFFFD"}},
		{"JSON with a huge number", json, `[1e999999]`, out{"body": `[1e999999]`}},
		{"JSON with a tiny number", json, `[1E-999999]`, out{"body": `[1E-999999]`}},
		{"JSON with a number beyond numbers", json, `1e99999999999`, out{"body": `1e99999999999`}},
		{"not UTF-8", "text/plain; charset=shift_jis", "\x83\x65\x83\x58", out{"note": "4 bytes that are not UTF-8 text"}},
		{"NUL", "text/plain", "a\x00b", out{"note": "3 bytes that are not UTF-8 text"}},
		{"not UTF-8, cut", "image/png", strings.Repeat("\x89", 20), out{"note": "16 bytes that are not UTF-8 text", "truncated": true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, _ := serve(t, httpAnswer(200, tt.body, "Content-Type", tt.contentType))
			row := b.attempt(t, server.URL, func(def *config.Job, _ *httpjob.Args, _ *river.InsertOpts) {
				def.Spec.(*httpjob.Config).MaxResponse = limit
			})
			if row.State != rivertype.JobStateCompleted {
				t.Fatalf("run is %s: %s", row.State, lastError(row))
			}
			tt.want["attempt"], tt.want["status"] = 1., 200.
			if diff := cmp.Diff(tt.want, output(t, row)); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}

	t.Run("nothing is kept", func(t *testing.T) {
		t.Parallel()
		server, _ := serve(t, httpAnswer(500, "the reason"))
		row := b.attempt(t, server.URL, func(def *config.Job, _ *httpjob.Args, _ *river.InsertOpts) {
			def.Spec.(*httpjob.Config).MaxResponse = 0
		})
		if diff := cmp.Diff(out{"attempt": 1., "status": 500., "truncated": true}, output(t, row)); diff != "" || !strings.HasSuffix(lastError(row), "the reason") {
			t.Errorf("%s: output (-want +got):\n%s", lastError(row), diff)
		}
	})

	t.Run("deep", func(t *testing.T) {
		t.Parallel()
		body := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
		server, _ := serve(t, httpAnswer(200, body, "Content-Type", json))
		row := b.attempt(t, server.URL, func(def *config.Job, _ *httpjob.Args, _ *river.InsertOpts) {
			def.Spec.(*httpjob.Config).MaxResponse = math.MaxInt32
		})
		if got := output(t, row)["body"]; got != body {
			t.Errorf("kept %.20v…", got)
		}
	})
}

// What is not read is not sent: a job cannot be made to download what nobody keeps.
func TestHTTPEndlessBody(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	var sent atomic.Int64
	stopped := make(chan struct{})
	server, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(stopped)
		block := make([]byte, 64<<10)
		for sent.Load() < 100<<20 {
			n, err := w.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	row := b.attempt(t, server.URL, nil)
	<-stopped
	// The sockets' buffers hold a few MB.
	if row.State != rivertype.JobStateCompleted || sent.Load() > 20<<20 {
		t.Errorf("run is %s after %d MB", row.State, sent.Load()>>20)
	}
}

func TestHTTPConnectionIsUsedAgain(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(httpAnswer(200, strings.Repeat("x", 50_000), "Content-Length", "50000")) // more than is kept
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	for range 3 {
		if row := b.attempt(t, server.URL, nil); row.State != rivertype.JobStateCompleted {
			t.Fatalf("run is %s: %s", row.State, lastError(row))
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for 3 requests", n)
	}
}

func TestHTTPBrokenAnswers(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	// hijack answers with text as it is, and then ends the connection as end says.
	hijack := func(text string, end func(net.Conn)) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, text)
			end(conn)
		}
	}
	reset := func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }
	closed := func(net.Conn) {}
	hang := func(conn net.Conn) { conn.Read(make([]byte, 1)) } // until the other side has gone
	const limit = 300 * time.Millisecond

	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		state  rivertype.JobState
		want   string // in the error
		out    map[string]any
	}{
		{"reset", hijack("", reset), rivertype.JobStateRetryable, "connection reset by peer", nil},
		{"closed", hijack("", closed), rivertype.JobStateRetryable, "EOF", nil},
		{"no HTTP", hijack("SSH-2.0-\x00\r\n\r\n", closed), rivertype.JobStateRetryable, "malformed HTTP response", nil},
		{"bad header", hijack("HTTP/1.1 200 OK\r\nno\x00colon\r\n\r\n", closed), rivertype.JobStateRetryable, "malformed MIME header", nil},
		{"huge header", httpAnswer(200, "", "X-Long", strings.Repeat("x", 100_000)), rivertype.JobStateRetryable, "headers exceeded 65536 bytes", nil},
		{"breaks off", hijack("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", closed), rivertype.JobStateRetryable, ": answers 200 OK, but breaks off: unexpected EOF", map[string]any{"body": "abc", "truncated": true}},
		{"failure breaks off", hijack("HTTP/1.1 500 OK\r\nContent-Length: 10\r\n\r\nabc", closed), rivertype.JobStateRetryable, ": 500 Internal Server Error: abc", map[string]any{"body": "abc", "truncated": true, "note": "the answer broke off"}},
		{"hangs", hijack("", hang), rivertype.JobStateRetryable, ": no answer within 300ms", nil},
		{"hangs within the header", hijack("HTTP/1.1 200 OK\r\nA: b", hang), rivertype.JobStateRetryable, ": no answer within 300ms", nil},
		{"success hangs", hijack("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", hang), rivertype.JobStateCompleted, "", map[string]any{"body": "abc", "truncated": true, "note": "the answer's body did not end within 300ms"}},
		{"failure hangs", hijack("HTTP/1.1 500 OK\r\nContent-Length: 10\r\n\r\nabc", hang), rivertype.JobStateRetryable, ": 500 Internal Server Error: abc", map[string]any{"body": "abc", "truncated": true, "note": "the answer's body did not end within 300ms"}},
		{"drips", func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for r.Context().Err() == nil {
				w.Write([]byte{'.'})
				http.NewResponseController(w).Flush()
				<-tick.C
			}
		}, rivertype.JobStateCompleted, "", nil},
		{"hangs after what is kept", hijack("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n"+strings.Repeat("x", 1500), hang), rivertype.JobStateCompleted, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, _ := serve(t, tt.answer)
			row := b.attempt(t, server.URL, func(def *config.Job, _ *httpjob.Args, _ *river.InsertOpts) {
				if strings.Contains(tt.name, "hangs") || tt.name == "drips" {
					def.Spec.(*httpjob.Config).Timeout = limit
				}
			})
			if row.State != tt.state || !strings.Contains(lastError(row), tt.want) || tt.want == "" && lastError(row) != "" {
				t.Errorf("run is %s: %q, want %s: %q", row.State, lastError(row), tt.state, tt.want)
			}
			got := output(t, row)
			delete(got, "attempt")
			delete(got, "status")
			if diff := cmp.Diff(tt.out, got); tt.out != nil && diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if tt.name == "drips" && (got["note"] != "the answer's body did not end within 300ms" || !strings.HasPrefix(fmt.Sprint(got["body"]), "..")) {
				t.Errorf("recorded %v", got)
			}
		})
	}
}

type brokenTransport struct{}

func (brokenTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("got a\x00b\n\xff")
}

// A transport of the user's may quote what it has received; the database knows no NUL.
func TestHTTPErrorThatCannotBeStored(t *testing.T) {
	t.Parallel()
	b := setupHTTPWith(t, brokenTransport{})
	row := b.attempt(t, "http://example.invalid/a", nil)
	if diff := cmp.Diff("POST http://example.invalid/a: got a b \uFFFD", lastError(row)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

// A worker that is asked to stop gives the attempt back: nobody has failed.
func TestHTTPShutdown(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	server, requests := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	id := b.insert(t, server.URL, nil)
	<-requests
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := b.Client.StopAndCancel(ctx); err != nil {
		t.Fatal(err)
	}
	row, err := b.Client.JobGet(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if row.State != rivertype.JobStateAvailable || row.Attempt != 0 || len(row.Errors) != 0 {
		t.Errorf("run is %s, attempt %d, %q", row.State, row.Attempt, lastError(row))
	}
}

func TestHTTPCancel(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	gone := make(chan struct{})
	server, requests := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(gone) })
	id := b.insert(t, server.URL, nil)
	<-requests
	if _, err := b.Client.JobCancel(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	<-gone
	b.wait(t, id, rivertype.JobStateCancelled)
}

func TestHTTPTimeoutOfRiverIsTheLonger(t *testing.T) {
	t.Parallel()
	def := &config.Job{Name: "a", Kind: "http", Spec: &httpjob.Config{Timeout: time.Hour}}
	w := httpjob.NewWorker(&kind.Deps{Jobs: func(name string) (*config.Job, bool) { return def, name == "a" }}, nil)
	job := &river.Job[httpjob.Args]{JobRow: &rivertype.JobRow{}, Args: httpjob.Args{Args: kind.Args{Job: "a"}}}
	if got := w.Timeout(job); got <= time.Hour {
		t.Errorf("got %s", got)
	}
	// Whoever fetches a job that it does not know leaves it to others, however old it is.
	job.Args.Job, job.CreatedAt = "b", time.Now().Add(-time.Hour)
	var unknown *kind.UnknownJobError
	var snooze *rivertype.JobSnoozeError
	if err := w.Work(context.Background(), job); !errors.As(err, &unknown) || unknown.Job != "b" || !errors.As(err, &snooze) {
		t.Errorf("unknown job: got %v", err)
	}
}
