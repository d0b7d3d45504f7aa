//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
)

// runningServer is tidemill server as a process of its own.
type runningServer struct {
	t     *testing.T
	cmd   *exec.Cmd
	file  string // its configuration
	lines chan map[string]any
}

// startServer starts one that serves at listen with secret; the schedule nightly is there, and no worker.
func startServer(t *testing.T, url, listen, secret string) *runningServer {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "tidemill") // see TestMain
	if err := os.Symlink(binary, program); err != nil {
		t.Fatal(err)
	}
	s := &runningServer{t: t, file: filepath.Join(dir, "tidemill.yaml"), lines: make(chan map[string]any, 1000)}
	s.configure(listen, secret, "")
	env := append(os.Environ(), "DATABASE_URL="+url)
	apply := exec.Command(program, "config", "apply", "-c", s.file)
	apply.Env = env
	if out, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.cmd = exec.Command(program, "server", "-c", s.file)
	s.cmd.Env = env
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			var line map[string]any
			if json.Unmarshal(scanner.Bytes(), &line) == nil {
				s.lines <- line
			}
		}
	}()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

func (s *runningServer) configure(listen, secret, more string) {
	s.t.Helper()
	text := fmt.Sprintf("database: {url: \"${DATABASE_URL}\"}\nserver: {listen: %q, cron_secret: %s}\njobs: {report: {kind: test.fail}}\nschedules: {nightly: {job: report, cron: \"0 3 * * *\"}}\n%s",
		listen, secret, more)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *runningServer) hangUp() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
}

// logged waits for a message and returns its line.
func (s *runningServer) logged(message string) map[string]any {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("the server ended without %q", message)
			}
			if text, _ := line["msg"].(string); strings.Contains(text, message) {
				return line
			}
		case <-deadline:
			s.t.Fatalf("no %q in the log", message)
		}
	}
}

// trigger returns the status of the answer, 0 if there is none.
func (s *runningServer) trigger(ctx context.Context, address, secret, query string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/api/cron/nightly"+query, nil)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

// SIGHUP changes the address and the secret of a server, and drops no open request. What cannot be taken changes nothing.
func TestServerTakesANewConfiguration(t *testing.T) {
	t.Parallel()
	const first, second, third = "first-0123456789abcdef", "second-0123456789abcdef", "third-0123456789abcdef"
	url := testengine.URL(t)
	pool := testdb.Pool(t, url)
	s := startServer(t, url, "127.0.0.1:0", first)
	was, _ := s.logged("serving")["address"].(string)

	open := make(chan int, 1)
	go func() { open <- s.trigger(t.Context(), was, first, "?wait=60s") }()
	wait(t, func() bool { return count(t, pool, `SELECT count(*) FROM tidemill.run`) == 1 })

	s.configure("localhost:0", second, "")
	s.hangUp()
	address, _ := s.logged("serving")["address"].(string)
	if address == was {
		t.Errorf("it still serves at %s", was)
	}
	if got := s.trigger(t.Context(), address, first, ""); got != 401 {
		t.Errorf("the former secret: %d, want 401", got)
	}
	if got := s.trigger(t.Context(), address, second, ""); got != 202 {
		t.Errorf("the new secret: %d, want 202", got)
	}
	wait(t, func() bool { return s.trigger(t.Context(), was, first, "") == 0 })

	if _, err := pool.Exec(t.Context(), `UPDATE tidemill.river_job SET state = 'completed', finalized_at = now()`); err != nil {
		t.Fatal(err)
	}
	if got := <-open; got != 200 {
		t.Errorf("the request that was open: %d, want 200", got)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, refused := range []struct{ listen, more string }{{"localhost:0", "jobz: {}\n"}, {taken.Addr().String(), ""}, {"", ""}} {
		s.configure(refused.listen, third, refused.more)
		s.hangUp()
		s.logged("the new configuration is refused, the old one stays")
		if got := s.trigger(t.Context(), address, second, ""); got != 202 {
			t.Errorf("after %+v: %d, want 202", refused, got)
		}
	}

	s.configure("localhost:0", third, "reload: auto\n")
	s.hangUp()
	if line := s.logged("serving by the new configuration"); line["address"] != address {
		t.Errorf("%v, want the address %s", line, address)
	}
	if got := s.trigger(t.Context(), address, third, ""); got != 202 {
		t.Errorf("another secret at the same address: %d, want 202", got)
	}
	s.configure("localhost:0", first, "reload: auto\n") // and no signal
	s.logged("serving by the new configuration")
	if got := s.trigger(t.Context(), address, first, ""); got != 202 {
		t.Errorf("by reload: auto: %d, want 202", got)
	}

	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server: %v", err)
	}
}

func count(t *testing.T, pool *pgxpool.Pool, query string) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// wait waits for a condition.
func wait(t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it did not come about within %s", patience)
		}
	}
}
