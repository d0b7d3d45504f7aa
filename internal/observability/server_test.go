package observability

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// scale is by how much the times of the rules are divided in the test with a real Prometheus.
const scale Scale = 180

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// server is a running Prometheus.
type server struct {
	address string
}

// startPrometheus starts a Prometheus that scrapes targets each second and has the rules, scaled.
func startPrometheus(t *testing.T, targets ...string) *server {
	t.Helper()
	path := program(t, "prometheus")
	rules, err := Rules(scale)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: tidemill
    static_configs: [{targets: [%q]}]
`, strings.Join(targets, `", "`))
	config = strings.ReplaceAll(config, `\"`, `"`)
	for name, text := range map[string]string{"prometheus.yaml": config, "rules.yaml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &server{address: freeAddress(t)}
	var log strings.Builder
	cmd := exec.Command(path, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+s.address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of prometheus:\n%s", log.String())
		}
	})
	until(t, 30*time.Second, "prometheus is ready", func() bool {
		response, err := http.Get("http://" + s.address + "/-/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return s
}

// sample is one series of the answer to a query.
type sample struct {
	Labels map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

func (s *server) query(ctx context.Context, expr string) ([]sample, error) {
	var answer struct {
		Error string
		Data  struct {
			Result []sample
		}
	}
	err := s.get(ctx, "/api/v1/query?query="+url.QueryEscape(expr), &answer)
	if err == nil && answer.Error != "" {
		err = fmt.Errorf("query %s: %s", expr, answer.Error)
	}
	return answer.Data.Result, err
}

// active is an alert as Prometheus sends it.
type active struct {
	Labels, Annotations map[string]string
	State               string
}

func (s *server) alerts(ctx context.Context) ([]active, error) {
	var answer struct{ Data struct{ Alerts []active } }
	err := s.get(ctx, "/api/v1/alerts", &answer)
	return answer.Data.Alerts, err
}

func (s *server) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// until waits for done, looking four times a second.
func until(t *testing.T, bound time.Duration, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not so within %s: %s", bound, what)
		}
	}
}
