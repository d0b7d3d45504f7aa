//go:build linux

package main

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidemill/tidemill/internal/devdb"
	"github.com/tidemill/tidemill/internal/tests3"
)

type worldKey struct{}

// world is what one script has started.
type world struct {
	gate      *pgx.Conn // holds the gate shut; nil while it is open
	plain     string    // path of the command as it is shipped
	program   string    // path of the command that is the test binary
	s3        *tests3.Server
	server    *devdb.DB // the script's own; nil unless it runs
	serverDir string    // its data; empty until it was started
	tb        testing.TB
	variables []string // names of the environment
	workers   map[string]*worker
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func (w *world) addVariable(assignment string) {
	name, _, _ := strings.Cut(assignment, "=")
	w.variables = append(w.variables, name)
}

// environ is the script's environment as it is now. Variables that the script invented are missing.
func (w *world) environ(ts *testscript.TestScript) []string {
	environ := make([]string, 0, len(w.variables))
	for _, name := range w.variables {
		environ = append(environ, name+"="+ts.Getenv(name))
	}
	return environ
}

// close ends what a script left running, and shows the logs of workers if the script failed.
func (w *world) close(tb testing.TB) {
	w.openGate()
	for name, worker := range w.workers {
		_ = worker.cmd.Process.Signal(syscall.SIGKILL)
		<-worker.ended
		if log, err := os.ReadFile(worker.log); err == nil && tb.Failed() {
			tb.Logf("log of worker %s:\n%s", name, log)
		}
	}
	if w.server != nil {
		if err := w.server.Close(); err != nil {
			tb.Errorf("stop the script's server: %v", err)
		}
	}
}

// openGate lets waiting rows through: the lock goes with its session.
func (w *world) openGate() {
	if w.gate != nil {
		_ = w.gate.Close(context.Background())
		w.gate = nil
	}
}

func (w *world) shutGate(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	w.gate = conn
	_, err = conn.Exec(ctx, "SELECT pg_advisory_lock(4711)")
	return err
}
