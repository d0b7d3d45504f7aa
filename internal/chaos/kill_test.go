package chaos

import (
	"syscall"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/testengine"
)

// idleKills is how many kills in a row may come before the next chunk: at the fifth the run would be given up.
const idleKills = 3

// Two workers; whichever runs the import is killed at a random moment, and a new one takes its place on the bench. The
// moments are spread over the import: the n-th is not before the n-th part of its chunks is committed.
func TestKill(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T) *bundle{
		"one writer": setup,
		"two writers, gzip, bad rows": func(t *testing.T) *bundle {
			b := setupBad(t, testengine.URL(t), *rows, *rows/100)
			b.compress(t)
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prepare(t).kill(t)
		})
	}
}

func (b *bundle) kill(t *testing.T) {
	t.Helper()
	workers := map[int]*worker{}
	start := func() {
		w := b.startWorker(t)
		workers[w.cmd.Process.Pid] = w
	}
	start()
	start()
	id := b.startImport(t)

	killed, last := 0, ""
	idle := 0 // kills since a chunk was committed
	var seqs []int64
	for killed < *kills {
		pid, process, ok := b.waitOwner(t, id, last)
		if !ok {
			break
		}
		const chunkRows = 50_000 // of workers.ImportWorker
		at := int64(killed * *rows / chunkRows / (*kills + 1))
		if idle == idleKills {
			at = max(at, seqs[len(seqs)-1]+1)
		}
		for info := b.info(t, id); info.Seq < at && !info.Status.Final(); info = b.info(t, id) {
			pause(5 * time.Millisecond)
		}
		pause(time.Duration(b.random.IntN(150)) * time.Millisecond)
		if now, _ := b.owner(t, id); now != pid {
			break // it has ended
		}
		w := workers[pid]
		if w == nil {
			t.Fatalf("run is at process %d, which is not a worker of this test", pid)
		}
		if err := w.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = w.cmd.Wait()
		delete(workers, pid)
		killed, last, idle = killed+1, process, idle+1
		seqs = append(seqs, b.info(t, id).Seq)
		if n := len(seqs); n == 1 || seqs[n-1] > seqs[n-2] {
			idle = 0
		}
		start()
	}
	info := b.waitFinal(t, id)
	t.Logf("%d kills, at chunks %v; the run ended after %d chunks, %s", killed, seqs, info.Seq, info.FinishedAt.Sub(*info.StartedAt).Round(time.Second))
	if killed < *kills {
		t.Errorf("the import ended after %d of %d kills; give it more -chaos.rows", killed, *kills)
	}
	b.check(t, info)
}
