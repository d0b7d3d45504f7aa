package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/testengine"
)

var (
	large     = flag.Int("chaos.large", 3, "workers of TestLargeJobs")
	largeJobs = flag.Int("chaos.largejobs", 200, "jobs of TestLargeJobs with arguments at the limit")
	memory    = flag.Int("chaos.memory", 250, "MB of memory that each worker of TestLargeJobs may have")
	poisons   = flag.Int("chaos.poison", 1, "rounds of TestPoison")
)

// peak is the most memory that a process had, in MiB, or 0 where that is not known.
func peak(pid int) int {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(status), "\n") {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(text, "kB")))
			return kib >> 10
		}
	}
	return 0
}

// withoutRaceDetector builds this test as it is for users: with the detector it takes many times the memory.
func withoutRaceDetector(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "workers")
	if out, err := exec.Command("go", "test", "-c", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// Workers with little memory run hundreds of jobs whose arguments are at the limit, due at once or made due by the leader,
// and refuse one that is far over it without reading it. A caller's start of that is refused before.
func TestLargeJobs(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setupJobs(t)
	do := func(query string, args ...any) {
		t.Helper()
		if _, err := b.pool.Exec(ctx, query, args...); err != nil {
			t.Fatal(err)
		}
	}
	do(`DROP INDEX tidemill.river_job_args_index`) // it is slow to fill with such
	b.program = withoutRaceDetector(t)
	workers := make([]*worker, *large)
	for i := range workers {
		workers[i] = b.startWorker(t, memoryVariable+"="+strconv.Itoa(*memory<<20))
	}
	b.until(t, *large, time.Minute, `SELECT count(*) FROM tidemill.process`)
	b.until(t, 1, time.Minute, `SELECT count(*) FROM tidemill.kind WHERE kind = 'step'`)
	peaks := func() (all []int) {
		for _, w := range workers {
			all = append(all, peak(w.cmd.Process.Pid))
		}
		return all
	}
	t.Logf("at first: peaks of %v MiB", peaks())

	huge := `jsonb_build_object('most', 1, 'x', repeat('0123456789abcdef', 3750000))`
	if _, err := b.pool.Exec(ctx, `SELECT tidemill.enqueue('step', `+huge+`)`); err == nil || !strings.Contains(err.Error(), "max_args is 1048576") {
		t.Errorf("a start of 60 MB: %v", err)
	}
	// What is in the table all the same, before the others in its queue.
	do(`INSERT INTO tidemill.river_job (kind, args, priority, max_attempts) VALUES ('step', ` + huge + `, 1, 1)`)
	do(`INSERT INTO tidemill.river_job (kind, args, priority) SELECT 'step', '{"most": 1}', 2 FROM generate_series(1, 20)`)
	b.until(t, 20, time.Minute, `SELECT count(*) FROM public.ended`)
	b.until(t, 1, time.Minute, `SELECT count(*) FROM tidemill.river_job WHERE state = 'discarded' AND errors[1]->>'error' LIKE '%too long: max_args is 1048576; store them and pass their key'`)
	refused := peaks()
	t.Logf("after the refusal of 60 MB: peaks of %v MiB", refused)
	for _, mib := range refused {
		if mib > 150 {
			t.Errorf("%d MiB", mib)
		}
	}

	// Half of them compress, so that they are short in the table; a third is made due by the leader.
	do(`INSERT INTO tidemill.river_job (kind, args, state, scheduled_at)
		SELECT 'step', jsonb_build_object('most', 200, 'x', CASE i % 2 WHEN 0 THEN repeat('x', 1048000) ELSE x END),
		       (CASE i % 3 WHEN 0 THEN 'scheduled' ELSE 'available' END)::tidemill.river_job_state, now()
		  FROM generate_series(1, $1::int) i, (SELECT string_agg(md5(k::text), '') AS x FROM generate_series(1, 32750) k) r`, *largeJobs)
	took := b.until(t, 20+*largeJobs, 5*time.Minute, `SELECT count(*) FROM public.ended`)
	t.Logf("%d jobs at the limit took %s: peaks of %v MiB", *largeJobs, took.Round(time.Second), peaks())
	b.until(t, 0, time.Minute, `SELECT count(*) FROM tidemill.river_job WHERE state NOT IN ('completed', 'discarded')`)
	if n := b.count(t, `SELECT count(*) FROM tidemill.process WHERE fenced_at IS NULL`); n != *large {
		t.Errorf("%d of %d workers live", n, *large)
	}
	if n := b.count(t, `SELECT count(*) - count(DISTINCT job) FROM public.ended`); n != 0 {
		t.Errorf("%d ran twice", n)
	}
}

// A worker that is killed while it reads what it has fetched has died of the job, for all that can be known: that is counted.
func TestDeathInTheFetchIsCounted(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setupJobsAt(t, startTCPServer(t))
	if err := os.WriteFile(filepath.Join(b.dir, "tidemill.yaml"), []byte(jobConfig+"max_args: 32MiB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	network, near := newNetwork(t, b.url)
	w := b.startWorker(t, "DATABASE_URL="+near)
	b.until(t, 1, time.Minute, `SELECT count(*) FROM tidemill.process`)
	if err := network.impede("bandwidth", "rate", 50); err != nil {
		t.Fatal(err)
	}
	// More than fits between the server and the worker, so that the worker has not read it for minutes.
	_, err := b.pool.Exec(ctx, `INSERT INTO tidemill.river_job (kind, args)
		SELECT 'step', jsonb_build_object('x', string_agg(md5(k::text), '')) FROM generate_series(1, 750000) k`)
	if err != nil {
		t.Fatal(err)
	}
	b.until(t, 1, 20*time.Second, `SELECT count(*) FROM tidemill.river_job WHERE state = 'running' AND attempt = 1`)
	if err := w.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = w.cmd.Wait()
	if n := b.count(t, `SELECT count(*) FROM public.ended`); n != 0 {
		t.Fatal("the job had run")
	}
	if err := network.calm(); err != nil {
		t.Fatal(err)
	}
	b.startWorker(t)
	b.until(t, 1, time.Minute, `SELECT count(*) FROM public.ended`)
	b.until(t, 1, time.Minute, `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed' AND metadata->'tidemill_rescue'->>'times' = '1'`)
}

const poisonConfig = `
database: {url: "${DATABASE_URL}"}
metrics: {listen: ""}
jobs:
  innocent: {kind: command, argv: [/bin/sh, -c, "sleep 1.5; echo done"]}
  poison: {kind: command, argv: [/bin/sh, -c, "sleep 0.5; kill -9 $$PPID"]}
`

// Three workers, each started again when it dies, and among twenty jobs one that kills the worker that runs it: that one is
// given up, and all others end well.
func TestPoison(t *testing.T) {
	t.Parallel()

	for round := range *poisons {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			ctx := context.Background()
			b := &bundle{dir: t.TempDir(), url: testengine.URL(t)}
			jobs := setupJobsAt(t, b.url)
			b.pool = jobs.pool
			if err := os.WriteFile(filepath.Join(b.dir, "tidemill.yaml"), []byte(poisonConfig), 0o600); err != nil {
				t.Fatal(err)
			}
			died := make(chan *worker, 3)
			start := func() {
				w := b.startWorker(t)
				go func() {
					_, _ = w.cmd.Process.Wait()
					died <- w
				}()
			}
			for range 3 {
				start()
			}
			jobs.until(t, 2, time.Minute, `SELECT count(*) FROM tidemill.job`)
			_, err := b.pool.Exec(ctx, `SELECT tidemill.start(CASE i WHEN 7 THEN 'poison' ELSE 'innocent' END) FROM generate_series(1, 21) i`)
			if err != nil {
				t.Fatal(err)
			}
			deaths := 0
			began := time.Now()
			for jobs.count(t, `SELECT count(*) FROM tidemill.run WHERE finished_at IS NOT NULL`) < 21 {
				select {
				case <-died:
					deaths++
					start()
				case <-time.After(100 * time.Millisecond):
				}
				if time.Since(began) > 6*time.Minute {
					t.Fatalf("not all have ended after %d deaths", deaths)
				}
			}
			t.Logf("%d deaths, %s", deaths, time.Since(began).Round(time.Second))
			if n := jobs.count(t, `SELECT count(*) FROM tidemill.run WHERE job = 'innocent' AND status = 'succeeded'`); n != 20 {
				t.Errorf("%d of 20 innocent runs succeeded", n)
			}
			if n := jobs.count(t, `SELECT count(*) FROM tidemill.run WHERE job = 'poison' AND status = 'failed' AND error LIKE 'the process that ran it died 5 times%'`); n != 1 {
				t.Error("the poison was not given up")
			}
		})
	}
}
