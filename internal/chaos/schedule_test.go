package chaos

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	tickFor   = flag.Duration("chaos.tickfor", 8*time.Second, "how long TestTicks fires schedules")
	tickers   = flag.Int("chaos.schedules", 100, "schedules under TestTicks, each due every second")
	tickKill  = flag.Duration("chaos.tickkill", 3*time.Second, "how often TestTicks kills or freezes a process")
	tickWatch = 3 * time.Second // after the last kill, so that what it left is handled
)

// Four processes fire schedules that are due every second; again and again one is killed, or frozen.
//
//	go test ./internal/chaos -run Ticks -chaos.tickfor 60s -chaos.schedules 200 -timeout 30m -v
func TestTicks(t *testing.T) {
	t.Parallel()

	b := setupJobs(t)
	config := jobConfig + "jobs:\n  beat: {kind: step, args: {most: 0}}\nschedules:\n"
	for i := range *tickers {
		config += fmt.Sprintf("  s%03d: {job: beat, every: 1s, overlap: allow}\n", i)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "tidemill.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var workers []*worker
	for range 4 {
		workers = append(workers, b.startWorker(t))
	}
	b.until(t, *tickers, 30*time.Second, `SELECT count(DISTINCT schedule)::int FROM tidemill.tick`)

	began, killed, frozen := time.Now(), 0, 0
	for n := 0; time.Since(began) < *tickFor; n++ {
		pause(*tickKill)
		victim := workers[n%len(workers)]
		signal := syscall.SIGKILL
		if n%3 == 2 {
			signal = syscall.SIGSTOP
		}
		if err := victim.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if signal == syscall.SIGSTOP {
			frozen++
			defer func() { _ = victim.cmd.Process.Signal(syscall.SIGCONT) }()
			if frozen == 1 {
				continue // the first stays frozen for good
			}
			_ = victim.cmd.Process.Signal(syscall.SIGCONT)
			continue
		}
		killed++
		_ = victim.cmd.Wait()
		workers[n%len(workers)] = b.startWorker(t)
	}
	pause(tickWatch)

	var gaps, twice, odd, runs, ticks int
	var p50, p99, worst float64
	err := b.pool.QueryRow(t.Context(), `
		WITH t AS (SELECT schedule, due_at, outcome, run, extract(epoch FROM at - due_at) AS late,
				lag(due_at) OVER (PARTITION BY schedule ORDER BY due_at) AS before FROM tidemill.tick)
		SELECT count(*) FILTER (WHERE due_at - before <> interval '1 second'), count(run) - count(DISTINCT run),
		       count(*) FILTER (WHERE outcome <> 'enqueued'), count(DISTINCT run), count(*),
		       percentile_cont(0.5) WITHIN GROUP (ORDER BY late), percentile_cont(0.99) WITHIN GROUP (ORDER BY late), max(late)
		  FROM t`).Scan(&gaps, &twice, &odd, &runs, &ticks, &p50, &p99, &worst)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills, %d freezes; %d ticks of %d schedules, %d runs; late by %.0f ms (p50), %.0f ms (p99), %.0f ms at worst",
		killed, frozen, ticks, *tickers, runs, 1000*p50, 1000*p99, 1000*worst)
	if gaps+twice+odd > 0 || runs != ticks {
		t.Errorf("%d gaps, %d runs of two ticks, %d ticks that were not enqueued, %d runs for %d ticks", gaps, twice, odd, runs, ticks)
	}
	// Every job names its tick, and each tick is named once.
	if n := b.count(t, `SELECT count(*)::int FROM tidemill.run r JOIN tidemill.tick t ON t.run = r.id
		WHERE t.due_at = (r.args->>'scheduled_for')::timestamptz AND t.schedule = r.metadata->>'schedule'`); n != ticks {
		t.Errorf("%d runs know their tick, want %d", n, ticks)
	}
	for i, w := range workers {
		if strings.Contains(w.log.String(), "fire a schedule") {
			t.Errorf("worker %d could not fire: %s", i, w.log.String())
		}
	}
}
