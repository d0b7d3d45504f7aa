package chaos

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/testbouncer"
	"github.com/tidemill/tidemill/internal/testengine"
)

// A worker behind PgBouncer is killed, or frozen, with jobs running. What it held is freed although the pooler lives on, and
// another worker has the jobs as soon as without it. The frozen one comes back under a new id.
func TestPgBouncerHidesNoDeath(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		signal   syscall.Signal
		settings map[string]string
		within   time.Duration
	}{
		{"killed", syscall.SIGKILL, nil, 10 * time.Second},
		{"frozen, parameters ignored", syscall.SIGSTOP, map[string]string{"ignore_startup_parameters": "extra_float_digits,application_name,tidemill.client"}, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const jobs = 10
			b := setupJobsAt(t, testengine.URL(t))
			settings := map[string]string{"default_pool_size": "100"}
			for name, value := range tt.settings {
				settings[name] = value
			}
			b.url = testbouncer.Start(t, testbouncer.Opts{URL: b.url, Settings: settings})
			first := b.startWorker(t)
			b.insert(t, jobs, holdArgs{})
			b.until(t, jobs, 30*time.Second, runningOn, first.cmd.Process.Pid)
			second := b.startWorker(t)
			b.until(t, 1, 30*time.Second, `SELECT count(*) FROM tidemill.process WHERE pid = $1 AND fenced_at IS NULL`, second.cmd.Process.Pid)
			// It has been there for longer than a moment.
			b.until(t, 1, 30*time.Second, `SELECT count(*) FROM tidemill.process WHERE pid = $1 AND beat_at > started_at + interval '2 seconds'`, second.cmd.Process.Pid)
			if err := first.cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			took := b.until(t, jobs, time.Minute, runningOn, second.cmd.Process.Pid)
			t.Logf("all %d run again after %s", jobs, took.Round(10*time.Millisecond))
			if took > tt.within {
				t.Errorf("the jobs were taken over after %s, more than %s", took, tt.within)
			}
			b.until(t, 0, 10*time.Second, `SELECT count(*) FROM pg_stat_activity a JOIN tidemill.process p ON a.application_name = 'tidemill:' || p.id
				WHERE p.pid = $1`, first.cmd.Process.Pid)
			if err := first.cmd.Process.Signal(syscall.SIGCONT); err == nil && tt.signal == syscall.SIGSTOP {
				b.until(t, 1, time.Minute, `SELECT count(*) FROM tidemill.process WHERE pid = $1 AND fenced_at IS NULL`, first.cmd.Process.Pid)
			}
			if _, err := b.pool.Exec(context.Background(), `INSERT INTO public.released VALUES (0)`); err != nil {
				t.Fatal(err)
			}
			b.until(t, jobs, 30*time.Second, `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed'`)
			if n := b.count(t, `SELECT count(*) FROM public.ended`); n != jobs && tt.signal == syscall.SIGKILL {
				t.Errorf("%d jobs ended %d times", jobs, n)
			}
		})
	}
}
