package observability

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	tidemillcmd "github.com/tidemill/tidemill/cmd"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill"
)

// workerVariable makes this test binary a worker process; its value is the queues.
const workerVariable = "TIDEMILL_OBSERVED_QUEUES"

func TestMain(m *testing.M) {
	if queues := os.Getenv(workerVariable); queues != "" {
		os.Args = []string{"observed", "worker", "--queues", queues}
		tidemillcmd.Main(func(app *tidemill.App) error {
			return errors.Join(
				river.AddWorkerSafely(app.Workers, &fineWorker{}),
				river.AddWorkerSafely(app.Workers, &failWorker{}),
				river.AddWorkerSafely(app.Workers, &holdWorker{pool: app.Pool}),
			)
		})
	}
	os.Exit(m.Run())
}

// fineArgs is a job that succeeds; it inserts another one like it Then times.
type fineArgs struct {
	Then int `json:"then"`
}

func (fineArgs) Kind() string { return "fine" }

type fineWorker struct {
	river.WorkerDefaults[fineArgs]
}

func (*fineWorker) Work(ctx context.Context, job *river.Job[fineArgs]) error {
	if job.Args.Then == 0 {
		return nil
	}
	client, err := river.ClientFromContextSafely[pgx.Tx](ctx)
	if err != nil {
		return err
	}
	_, err = client.Insert(ctx, fineArgs{Then: job.Args.Then - 1}, nil)
	return err
}

// failArgs is a job that fails.
type failArgs struct{}

func (failArgs) Kind() string { return "fail" }

type failWorker struct {
	river.WorkerDefaults[failArgs]
}

func (*failWorker) Work(context.Context, *river.Job[failArgs]) error { return errors.New("as ordered") }

// holdArgs is a job that continues until all are released.
type holdArgs struct{}

func (holdArgs) Kind() string { return "hold" }

type holdWorker struct {
	river.WorkerDefaults[holdArgs]
	pool *pgxpool.Pool
}

func (*holdWorker) Timeout(*river.Job[holdArgs]) time.Duration { return -1 }

func (w *holdWorker) Work(ctx context.Context, _ *river.Job[holdArgs]) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var released bool
		if err := w.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM public.released)`).Scan(&released); err != nil || released {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// worker is a process of its own.
type worker struct {
	process *os.Process
	ended   chan struct{}
}

// startWorker starts a worker of queues. Its log is shown if the test fails.
func startWorker(t *testing.T, configPath, url, address, queues string) *worker {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.CreateTemp(t.TempDir(), "worker-*.log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Dir = filepath.Dir(configPath)
	cmd.Env = append(os.Environ(), workerVariable+"="+queues, "TIDEMILL_CONFIG="+configPath, "DATABASE_URL="+url, "METRICS_ADDRESS="+address)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &worker{process: cmd.Process, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		w.kill()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("log of the worker of %s:\n%s", queues, text[max(0, len(text)-4000):])
		}
		_ = log.Close()
	})
	return w
}

// stop ends the process in good order.
func (w *worker) stop() {
	_ = w.process.Signal(syscall.SIGTERM)
	<-w.ended
}

// kill ends the process as a machine that loses power does.
func (w *worker) kill() {
	_ = w.process.Signal(syscall.SIGKILL)
	<-w.ended
}
