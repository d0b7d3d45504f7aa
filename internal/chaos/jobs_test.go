package chaos

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
)

var (
	rounds   = flag.Int("chaos.rounds", 1, "how often TestKillWithJobs kills a worker")
	restarts = flag.Int("chaos.restarts", 4, "how often TestRollingRestarts restarts a worker")
	steps    = flag.Int("chaos.steps", 600, "jobs under TestRollingRestarts")
)

// jobBundle is a database with plain River jobs and workers of this test binary.
type jobBundle struct {
	program string // of its workers; "": this test
	dir     string
	url     string
	pool    *pgxpool.Pool
	client  *river.Client[pgx.Tx]
}

func setupJobs(t *testing.T) *jobBundle {
	t.Helper()
	return setupJobsAt(t, testengine.URL(t))
}

func setupJobsAt(t *testing.T, url string) *jobBundle {
	t.Helper()
	b := &jobBundle{dir: t.TempDir(), url: url, pool: testdb.Pool(t, url)}
	if _, err := b.pool.Exec(context.Background(), jobTables); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "tidemill.yaml"), []byte(jobConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	b.client, err = river.NewClient(riverpgxv5.New(b.pool), &river.Config{Schema: migrations.DefaultSchema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *jobBundle) startWorker(t *testing.T, env ...string) *worker {
	t.Helper()
	program := b.program
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		program = self
	}
	cmd := exec.Command(program)
	cmd.Dir = b.dir
	cmd.Env = append(append(os.Environ(), workerVariable+"=1", "DATABASE_URL="+b.url), env...)
	return launch(t, cmd)
}

func (b *jobBundle) insert(t *testing.T, n int, args river.JobArgs) {
	t.Helper()
	params := make([]river.InsertManyParams, n)
	for i := range params {
		params[i] = river.InsertManyParams{Args: args}
	}
	if _, err := b.client.InsertManyFast(context.Background(), params); err != nil {
		t.Fatal(err)
	}
}

func (b *jobBundle) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	if err := b.pool.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// until waits for a count.
func (b *jobBundle) until(t *testing.T, want int, limit time.Duration, query string, args ...any) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		n := b.count(t, query, args...)
		if n == want {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Fatalf("%d, not %d, after %s: %s", n, want, limit, query)
		}
		pause(20 * time.Millisecond)
	}
}

// runningOn counts running jobs whose worker function was entered in that process.
const runningOn = `SELECT count(DISTINCT j.id) FROM tidemill.river_job j JOIN tidemill.process p ON p.id = j.attempted_by[array_upper(j.attempted_by, 1)]
	JOIN public.started s ON s.job = j.id AND s.process = p.id WHERE j.state = 'running' AND p.pid = $1`

// One of two workers is killed with fifty jobs running; all of them must run on the other within ten seconds.
//
//	go test ./internal/chaos -run KillWithJobs -chaos.rounds 20 -timeout 30m -v
func TestKillWithJobs(t *testing.T) {
	t.Parallel()

	const jobs = 50
	limit := 10 * time.Second
	if *rounds == 1 { // beside all other tests, and with the race detector
		limit = 20 * time.Second
	}
	b := setupJobs(t)
	current := b.startWorker(t)
	var worst time.Duration
	for round := range *rounds {
		b.insert(t, jobs, holdArgs{Round: round})
		b.until(t, jobs, 30*time.Second, runningOn, current.cmd.Process.Pid)
		next := b.startWorker(t)
		b.until(t, 1, 30*time.Second, `SELECT count(*) FROM tidemill.process WHERE pid = $1 AND fenced_at IS NULL`, next.cmd.Process.Pid)
		// A real second worker has been there for longer than a moment.
		pause(1500 * time.Millisecond)
		if err := current.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		took := b.until(t, jobs, 30*time.Second, runningOn, next.cmd.Process.Pid)
		worst = max(worst, took)
		t.Logf("round %d: all %d run again after %s", round, jobs, took.Round(10*time.Millisecond))
		if took > limit {
			t.Errorf("round %d took %s, more than %s", round, took, limit)
		}
		if _, err := b.pool.Exec(context.Background(), `INSERT INTO public.released VALUES ($1)`, round); err != nil {
			t.Fatal(err)
		}
		b.until(t, jobs*(round+1), 30*time.Second, `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed'`)
		current = next
	}
	if n := b.count(t, `SELECT count(*) FROM tidemill.river_job WHERE state <> 'completed' OR attempt <> 1 OR errors IS NOT NULL`); n > 0 {
		t.Errorf("%d jobs failed, lost an attempt or did not end", n)
	}
	starts, ends := b.count(t, `SELECT count(*) FROM public.started`), b.count(t, `SELECT count(*) FROM public.ended`)
	t.Logf("%d rounds, worst %s; %d jobs were started %d times and ended %d times", *rounds, worst.Round(10*time.Millisecond), jobs**rounds, starts, ends)
	if starts != 2*jobs**rounds || ends != jobs**rounds {
		t.Error("each job should have been started twice (once by the killed worker) and ended once")
	}
}

// Two workers are stopped, one after the other, again and again, while they work.
//
//	go test ./internal/chaos -run RollingRestarts -chaos.restarts 30 -chaos.steps 5000 -timeout 30m -v
func TestRollingRestarts(t *testing.T) {
	t.Parallel()

	b := setupJobs(t)
	workers := []*worker{b.startWorker(t), b.startWorker(t)}
	b.insert(t, *steps, stepArgs{Most: 2000})
	done := 0
	for ; done < *restarts; done++ {
		if b.count(t, `SELECT count(*) FROM tidemill.river_job WHERE state IN ('available', 'running')`) == 0 {
			break
		}
		i := done % len(workers)
		b.until(t, 1, 30*time.Second, `SELECT least(count(*), 1) FROM tidemill.river_job j JOIN tidemill.process p ON p.id = j.attempted_by[array_upper(j.attempted_by, 1)]
			WHERE j.state = 'running' AND p.pid = $1`, workers[i].cmd.Process.Pid)
		if err := workers[i].cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := workers[i].cmd.Wait(); err != nil {
			t.Fatalf("worker ended with %v\n%s", err, workers[i].log)
		}
		workers[i] = b.startWorker(t)
	}
	if done < *restarts {
		t.Errorf("the jobs were done after %d of %d restarts; give it more -chaos.steps", done, *restarts)
	}
	b.until(t, *steps, 5*time.Minute, `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed'`)
	bad := b.count(t, `SELECT count(*) FROM tidemill.river_job WHERE attempt <> 1 OR errors IS NOT NULL OR state <> 'completed'`)
	twice := b.count(t, `SELECT count(*) - count(DISTINCT job) FROM public.ended`)
	ended := b.count(t, `SELECT count(DISTINCT job) FROM public.ended`)
	t.Logf("%d restarts under %d jobs: %d failed or lost an attempt, %d ran twice, %d ended", done, *steps, bad, twice, ended)
	if bad > 0 || twice > 0 || ended != *steps {
		t.Error("a restart must cost nothing")
	}
}
