package examples

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/testengine"
)

// A kind that a program brings is everywhere where ours are. The program is a module of its own, as a user's is.
func TestWaitKind(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "waitkind")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = "waitkind"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	url := testengine.URL(t)
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = "waitkind"
		cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "METRICS_LISTEN=127.0.0.1:0", "TIDEMILL_CONFIG=tidemill.yaml")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, tt := range []struct{ args, want string }{
		{"config apply", "jobs added or changed: nap"},
		{"config check", "tidemill.yaml: 1 job, no problem found"},
		{"config schema", `"description": "How long to wait."`},
		{"config reference", "## `jobs.JOB`: Kind `wait`"},
		{"config show nap", "seconds: 3"},
	} {
		if out, err := run(strings.Fields(tt.args)...); err != nil || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %v, without %q:\n%.2000s", tt.args, err, tt.want, out)
		}
	}

	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("jobs: {a: {kind: wait, seconds: 2, step: 5}, b: {kind: wait, secnds: 2}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run("config", "check", bad, "--offline")
	for _, want := range []string{"jobs.a.step: step 5 is longer than seconds 2 (make it smaller)", "jobs.b.secnds: unknown field (did you mean seconds?)", "jobs.b: seconds is missing"} {
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%v, without %q:\n%s", err, want, out)
		}
	}

	worker := exec.CommandContext(t.Context(), program, "worker")
	worker.Dir = "waitkind"
	worker.Env = append(os.Environ(), "DATABASE_URL="+url, "METRICS_LISTEN=127.0.0.1:0", "TIDEMILL_CONFIG=tidemill.yaml")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	worker.Stderr = log
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = worker.Process.Kill()
		_ = worker.Wait()
	})
	out, err = run("start", "nap", "--param", "whom=Ann", "--wait")
	for _, want := range []string{"succeeded", "3  processed", `"waited": 3`, `"whom": "Ann"`} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v, without %q:\n%s\n%s", err, want, out, logged(t, log))
		}
	}
	if got := scrape(t, log, `tidemill_run_rows_total{job="nap",kind="tidemill.wait",result="processed"} 3`); got != "" {
		t.Errorf("metrics: %s", got)
	}
	if out, err := run("demo", "--once", "--rows", "100"); err != nil || !strings.Contains(out, "job demo-wait") || !strings.Contains(out, `"whom": "you"`) {
		t.Errorf("demo: %v\n%s", err, out)
	}
}

func logged(t *testing.T, log *os.File) string {
	t.Helper()
	data, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// scrape waits for a line of the metrics whose address the log names; it returns what was there if it does not come.
func scrape(t *testing.T, log *os.File, want string) string {
	t.Helper()
	var last string
	tick, deadline := time.NewTicker(50*time.Millisecond), time.Now().Add(20*time.Second)
	defer tick.Stop()
	for ; time.Now().Before(deadline); <-tick.C {
		var address string
		for line := range strings.Lines(logged(t, log)) {
			var entry struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &entry) == nil && strings.Contains(entry.Msg, "metrics") && entry.Address != "" {
				address = entry.Address
			}
		}
		if address == "" {
			last = "no address in the log: " + logged(t, log)
			continue
		}
		resp, err := http.Get("http://" + address + "/metrics") //nolint:noctx // of this machine
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if last = string(body); err == nil && strings.Contains(last, want) {
			return ""
		}
	}
	return last
}
