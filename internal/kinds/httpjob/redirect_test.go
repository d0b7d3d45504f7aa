package httpjob_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/httpjob"
)

func TestHTTPRedirects(t *testing.T) {
	t.Parallel()
	b := setupHTTP(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other server was asked: %s %s", r.Method, r.URL)
	}))
	t.Cleanup(elsewhere.Close)
	const final = "; give the final url in the job's definition"
	for _, tt := range []struct {
		name     string
		method   string
		status   int
		location string
		want     string // after the name of the request; "" if it arrives
	}{
		{"temporary", "POST", 307, "/end?x=1", ""},
		{"permanent", "PUT", 308, "end", ""},
		{"delete", "DELETE", 307, "/end", ""},
		{"get, found", "GET", 302, "/end", ""},
		{"get, moved", "GET", 301, "/end", ""},
		{"get, see other", "GET", 303, "/end", ""},
		{"found", "POST", 302, "/login?back=secret", ": answers 302 to /login, which would turn it into a GET" + final},
		{"see other", "PATCH", 303, "/end", ": answers 303 to /end, which would turn it into a GET" + final},
		{"moved", "DELETE", 301, "/end", ": answers 301 to /end, which would turn it into a GET" + final},
		{"another port", "POST", 307, elsewhere.URL + "/end?token=secret", ": answers 307 to " + elsewhere.URL + "/end, which is another scheme, host or port" + final},
		{"another host", "GET", 302, "//example.invalid/end?token=secret#x", ": answers 302 to http://example.invalid/end, which is another scheme, host or port" + final},
		{"another scheme", "POST", 307, "https://user:secret@127.0.0.1/end", ": answers 307 to https://127.0.0.1/end, which is another scheme, host or port" + final},
		{"no URL", "POST", 307, "http://[::1", ": answers 307 with a Location that is not a URL" + final},
		{"round and round", "POST", 307, "/start", ": answers with more than 5 redirects, the last to /start" + final},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, requests := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/end" {
					return
				}
				w.Header()["Location"] = []string{tt.location}
				w.WriteHeader(tt.status)
			})
			row := b.attempt(t, server.URL+"/start", func(def *config.Job, _ *httpjob.Args, _ *river.InsertOpts) {
				def.Spec.(*httpjob.Config).Method = tt.method
				def.Spec.(*httpjob.Config).Headers = map[string]string{"Authorization": "Bearer x"}
				def.Spec.(*httpjob.Config).Secrets = []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
			})
			if tt.want != "" {
				if diff := cmp.Diff(tt.method+" "+server.URL+"/start"+tt.want, lastError(row)); diff != "" || row.State != rivertype.JobStateRetryable {
					t.Errorf("run is %s; error (-want +got):\n%s", row.State, diff)
				}
				if status := output(t, row)["status"]; status != float64(tt.status) {
					t.Errorf("recorded status %v", status)
				}
				if strings.HasPrefix(tt.name, "round") && len(requests) != 6 {
					t.Errorf("%d requests", len(requests))
				}
				return
			}
			if row.State != rivertype.JobStateCompleted {
				t.Fatalf("run is %s: %s", row.State, lastError(row))
			}
			want, got := <-requests, <-requests
			want.Path = "/end"
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the second request differs (-first +second):\n%s", diff)
			}
		})
	}
}

func TestHTTPRedirectOutOfTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/plain", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	b := setupHTTPWith(t, server.Client().Transport) // which trusts it
	row := b.attempt(t, server.URL, nil)
	want := "POST " + server.URL + ": answers 307 to " + strings.Replace(server.URL, "https:", "http:", 1) + "/plain, which is not encrypted; give the final url in the job's definition"
	if diff := cmp.Diff(want, lastError(row)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}
