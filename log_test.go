package tidemill

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

// loudArgs are of a job whose error quotes all that a command has said.
type loudArgs struct{}

func (loudArgs) Kind() string { return "loud" }

type loudWorker struct{ river.WorkerDefaults[loudArgs] }

func (*loudWorker) Work(context.Context, *river.Job[loudArgs]) error {
	return errors.New("exit status 1: " + strings.Repeat("all that it has said\n", 50_000))
}

// lineLog is a log that several goroutines write.
type lineLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// No line of a worker's log is longer than somebody would read.
func TestWorkerLogsNoWholeOutput(t *testing.T) {
	t.Parallel()
	url := testengine.URL(t)
	cfg, err := config.Parse("tidemill.yaml", []byte("database: {url: \"${DATABASE_URL}\"}\nmetrics: {listen: \"\"}\njobs:\n  loud: {kind: loud, retry: {max_attempts: 1}}\n"+
		"  said: {kind: command, argv: [sh, -c, \"head -c 3000000 /dev/zero | tr '\\\\0' x; exit 3\"], retry: {max_attempts: 1}}\n"),
		&config.Opts{Kinds: workers.Configs(), Lookup: func(string) (string, bool) { return url, true }})
	if err != nil {
		t.Fatal(err)
	}
	log := &lineLog{}
	app, err := New(t.Context(), cfg, &Opts{Logger: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	river.AddWorker(app.Workers, &loudWorker{})
	work(t, app)
	for _, job := range []string{"loud", "said"} {
		waitStatus(t, app, startEach(t, app, job, nil), "failed")
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	lines := strings.Split(log.text.String(), "\n")
	found := false
	for _, line := range lines {
		found = found || strings.Contains(line, "all that it has said")
		if len(line) > 20<<10 {
			t.Errorf("a line of %d bytes: %.300s", len(line), line)
		}
	}
	if !found {
		t.Errorf("nothing of the error is in the log:\n%.3000s", log.text.String())
	}
}
