package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthcheckAnswers(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	say := func(path string, code int, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		})
	}
	say("/worker", 503, `{"status": "unready", "reason": "not fit: database", "checks": {}}`)
	say("/server", 503, "not ready\nat all\n")
	say("/long", 500, strings.Repeat("ü", 5000))
	say("/empty", 204, "")
	mux.Handle("/moved", http.RedirectHandler("/readyz", http.StatusFound))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	for _, c := range []struct {
		path, want string
		code       int
	}{
		{"", "ready\n", 0},
		{"/", "ready\n", 0},
		{"/worker", "503 Service Unavailable: not fit: database\n", 1},
		{"/server", "503 Service Unavailable: not ready\n", 1},
		{"/long", "500 Internal Server Error: " + strings.Repeat("ü", 200) + "…\n", 1},
		{"/empty", "204 No Content\n", 1},
		{"/moved", "302 Found: <a href=\"/readyz\">Found</a>.\n", 1},
		{"/gone", "404 Not Found: 404 page not found\n", 1},
	} {
		code, out := healthcheckOutput(t, "--url", server.URL+c.path)
		if code != c.code || !strings.HasSuffix(out, c.want) {
			t.Errorf("%q: exit code %d, output %q; want %d, …%q", c.path, code, out, c.code, c.want)
		}
	}
}

func TestHealthcheckHidesPasswords(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]int{"http://me:hunter2@127.0.0.1:1/x": 1, "me:hunter2@127.0.0.1": 2, "ftp://me:hunter2@127.0.0.1": 2} {
		if code, out := healthcheckOutput(t, "--url", url); code != want || strings.Contains(out, "hunter2") {
			t.Errorf("%s: exit code %d, want %d; output %s", url, code, want, out)
		}
	}
}

func healthcheckOutput(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var buffer bytes.Buffer
	m := Main{Args: append([]string{"healthcheck"}, args...), Stdin: strings.NewReader(""), Stdout: &buffer, Stderr: &buffer}
	code = m.Run(t.Context())
	return code, buffer.String()
}

func TestDialable(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1", "127.0.0.1": "127.0.0.1", "10.1.2.3": "10.1.2.3", "worker.internal": "worker.internal",
	} {
		if got := dialable(host); got != want {
			t.Errorf("%q is reached at %q, want %q", host, got, want)
		}
	}
}
