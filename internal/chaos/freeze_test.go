package chaos

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A worker is frozen in the middle of an import. Another takes the run over; when the first thaws it may write nothing
// any more, and continues under a new id.
func TestFreeze(t *testing.T) {
	t.Parallel()

	b := setup(t)
	first := b.startWorker(t)
	id := b.startImport(t)
	pid, process, ok := b.waitOwner(t, id, "")
	if !ok || pid != first.cmd.Process.Pid {
		t.Fatalf("run %d at process %d", id, pid)
	}
	for b.info(t, id).Seq < 1 {
		pause(5 * time.Millisecond)
	}
	pause(time.Duration(b.random.IntN(100)) * time.Millisecond)
	frozenAt := time.Now()
	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if b.info(t, id).Status.Final() {
		t.Fatal("the import ended before the freeze; give it more -chaos.rows")
	}

	second := b.startWorker(t)
	pid, _, ok = b.waitOwner(t, id, process)
	if !ok || pid != second.cmd.Process.Pid {
		t.Fatalf("run %d at process %d after the freeze", id, pid)
	}
	t.Logf("taken over after %s", time.Since(frozenAt).Round(100*time.Millisecond))
	var sessions int
	err := b.pool.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidemill:' || $1`, process).Scan(&sessions)
	if err != nil {
		t.Fatal(err)
	}
	if sessions > 0 {
		t.Errorf("the frozen process still has %d sessions", sessions)
	}
	pause(max(0, *freeze-time.Since(frozenAt)))
	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}

	b.check(t, b.waitFinal(t, id))
	b.waitReborn(t, first, process)
	// It is of use again: alone, it does a whole import.
	if err := second.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pool.Exec(context.Background(), `TRUNCATE public.people`); err != nil {
		t.Fatal(err)
	}
	again := b.startImport(t, "--force")
	b.check(t, b.waitFinal(t, again))
	if pid := b.lastOwner(t, again); pid != first.cmd.Process.Pid {
		t.Errorf("the second import was done by process %d, not by the thawed one", pid)
	}
}

// waitReborn waits until the worker is registered under an id other than old.
func (b *bundle) waitReborn(t *testing.T, w *worker, old string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		var n int
		err := b.pool.QueryRow(context.Background(), `SELECT count(*) FROM tidemill.process WHERE pid = $1 AND id <> $2 AND fenced_at IS NULL`,
			w.cmd.Process.Pid, old).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			if !strings.Contains(w.log.String(), "starting again under a new process id") {
				t.Error("the worker's log does not say that it starts again")
			}
			return
		}
		pause(20 * time.Millisecond)
	}
	t.Fatal("the thawed worker did not come back under a new id")
}
