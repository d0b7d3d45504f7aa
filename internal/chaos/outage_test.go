package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/devdb"
	"github.com/tidemill/tidemill/migrations"
)

var (
	outage        = flag.Duration("chaos.outage", 3*time.Second, "how long TestOutage takes the database away")
	immediateJobs = flag.Int("chaos.immediate", 1000, "jobs under TestImmediateStop")
)

// ownServer is a database server that a test may stop and start; its address stays the same.
type ownServer struct {
	opts devdb.Opts
	db   *devdb.DB
	link string // stands for the folder of its socket, which is a new one at each start
}

func startServer(t *testing.T) *ownServer {
	t.Helper()
	// Not t.TempDir: the server's user must be able to enter it, and a socket's path must be short.
	dir, err := os.MkdirTemp("", "tm-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &ownServer{
		opts: devdb.Opts{Dir: filepath.Join(dir, "pg"), Durable: true, Settings: map[string]string{"max_connections": "300", "max_prepared_transactions": "10"}},
		link: filepath.Join(dir, "socket"),
	}
	s.start(t)
	t.Cleanup(func() { _ = s.db.Close(); _ = os.RemoveAll(dir) })
	pool, err := pgxpool.New(context.Background(), s.url(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := migrations.Up(context.Background(), pool, migrations.Schema{}, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *ownServer) start(t *testing.T) {
	t.Helper()
	db, err := devdb.Start(context.Background(), &s.opts)
	if err != nil {
		t.Fatal(err)
	}
	s.db = db
	config, err := pgx.ParseConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(s.link)
	if err := os.Symlink(config.Host, s.link); err != nil {
		t.Fatal(err)
	}
}

func (s *ownServer) url(t *testing.T) string {
	t.Helper()
	config, err := pgx.ParseConfig(s.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("postgres:///%s?host=%s&port=%d&user=%s", config.Database, s.link, config.Port, config.User)
}

// stop ends the server as a crash would: no checkpoint, no farewell to the clients.
func (s *ownServer) stop(t *testing.T) {
	t.Helper()
	s.stopBy(t, "immediate")
}

// stopBy stops the server in one of the ways of pg_ctl.
func (s *ownServer) stopBy(t *testing.T, mode string) {
	t.Helper()
	data := filepath.Join(s.opts.Dir, "data")
	cmd := exec.Command(filepath.Join(s.db.BinDir(), "pg_ctl"), "stop", "-D", data, "-m", mode, "-w")
	asServerUser(cmd, data)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_ctl: %v\n%s", err, out)
	}
	_ = s.db.Close()
}

// Four processes with two hundred running jobs lose their database for a while.
//
//	go test ./internal/chaos -run Outage -chaos.outage 60s -timeout 30m -v
func TestOutage(t *testing.T) {
	t.Parallel()

	const jobs = 200
	server := startServer(t)
	b := setupJobsAt(t, server.url(t))
	var workers []*worker
	for range 4 {
		workers = append(workers, b.startWorker(t))
	}
	b.insert(t, jobs, holdArgs{Round: 0})
	b.until(t, jobs, 30*time.Second, `SELECT count(DISTINCT job) FROM public.started`)

	server.stop(t)
	pause(*outage)
	server.start(t)
	b.pool.Reset()
	back := time.Now()
	b.settle(t)
	// All are at work again, or still.
	b.until(t, jobs, time.Minute, `SELECT count(*) FROM tidemill.river_job j JOIN tidemill.process p ON p.id = j.attempted_by[array_upper(j.attempted_by, 1)]
		WHERE j.state = 'running' AND p.fenced_at IS NULL`)
	t.Logf("all %d jobs run again %s after the database came back", jobs, time.Since(back).Round(100*time.Millisecond))
	if _, err := b.pool.Exec(context.Background(), `INSERT INTO public.released VALUES (0)`); err != nil {
		t.Fatal(err)
	}
	b.until(t, jobs, time.Minute, `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed'`)
	if n := b.count(t, `SELECT count(*) FROM tidemill.river_job WHERE attempt <> 1`); n > 0 {
		t.Errorf("%d jobs lost an attempt", n)
	}
	for i, w := range workers {
		if strings.Contains(w.log.String(), "process is dead") {
			t.Errorf("worker %d took another for dead", i)
		}
	}
	t.Logf("%d jobs were started %d times", jobs, b.count(t, `SELECT count(*) FROM public.started`))
}

// settle waits until the server answers this test's pool again.
func (b *jobBundle) settle(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for b.pool.Ping(context.Background()) != nil {
		if time.Now().After(deadline) {
			t.Fatal("the database does not answer")
		}
		pause(50 * time.Millisecond)
	}
}

// The server crashes in the middle of many short jobs and an import.
//
//	go test ./internal/chaos -run ImmediateStop -chaos.immediate 10000 -timeout 30m -v
func TestImmediateStop(t *testing.T) {
	t.Parallel()

	server := startServer(t)
	address := server.url(t)
	imports, b := setupAt(t, address, *rows), setupJobsAt(t, address)
	workers := []*worker{imports.startBehind(t, address), imports.startBehind(t, address)}
	for _, w := range workers {
		b.until(t, 1, 30*time.Second, livingWorker, w.cmd.Process.Pid)
	}
	b.insert(t, *immediateJobs, stepArgs{Most: 20})
	run := imports.startImport(t)
	imports.waitOwner(t, run, "")
	for {
		done := b.count(t, `SELECT count(*) FROM tidemill.river_job WHERE kind = 'step' AND state = 'completed'`)
		if done > *immediateJobs/4 && (imports.info(t, run).Seq > 0 || done > *immediateJobs*3/4) {
			break
		}
		pause(5 * time.Millisecond)
	}
	before := imports.info(t, run)
	server.stop(t)
	pause(2 * time.Second)
	server.start(t)
	b.pool.Reset()
	imports.pool.Reset()
	b.settle(t)
	took := b.until(t, *immediateJobs, 3*time.Minute, `SELECT count(*) FROM tidemill.river_job WHERE kind = 'step' AND state = 'completed'`)
	ended := b.count(t, `SELECT count(DISTINCT job) FROM public.ended`)
	again := b.count(t, `SELECT count(*) - count(DISTINCT job) FROM public.ended`)
	failed := b.count(t, `SELECT count(*) FROM tidemill.river_job WHERE kind = 'step' AND errors IS NOT NULL`)
	t.Logf("%d jobs done %s after the server came back; %d ran again, %d were retried after an error of the database",
		*immediateJobs, took.Round(100*time.Millisecond), again, failed)
	if ended != *immediateJobs {
		t.Errorf("%d jobs ended, want %d", ended, *immediateJobs)
	}
	imports.check(t, imports.waitFinal(t, run))
	t.Logf("the import was %s with %d chunks when the server crashed", before.Status, before.Seq)
	// Nobody had to start them again.
	for _, w := range workers {
		b.until(t, 1, time.Minute, livingWorker, w.cmd.Process.Pid)
	}
}
