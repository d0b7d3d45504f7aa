package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// hookConfig has one job, whose requests go to the address that is filled in.
const hookConfig = `
database: {url: "${DATABASE_URL}"}
metrics: {listen: ""}
queues: {default: 20}
jobs:
  hook: {kind: http, url: "%s", params: {n: integer}}
`

// forgetful drops what it has seen by its Webhook-Id, as receivers should. It notes which runs it was told of, by number.
type forgetful struct {
	mu   sync.Mutex
	seen map[string]bool
	done map[int]bool   // by param
	runs map[string]int // params by run
}

func (f *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Run    string
		Params struct{ N int }
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs[body.Run]++
	id := r.Header.Get("Webhook-Id")
	if !f.seen[id] {
		f.seen[id], f.done[body.Params.N] = true, true
	}
}

// A primary dies whose standby has not got the last of the log. The numbers of the runs that are lost with it are given out
// again, and no new work is taken for the old by who received that.
func TestFailoverRepeatsNoID(t *testing.T) {
	t.Parallel()
	const kept, lost, after = 20, 100, 100
	primary := startServer(t)
	b := setupJobsAt(t, primary.url(t))
	hook := &forgetful{seen: map[string]bool{}, done: map[int]bool{}, runs: map[string]int{}}
	receiver := httptest.NewServer(hook)
	t.Cleanup(receiver.Close)
	if err := os.WriteFile(filepath.Join(b.dir, "tidemill.yaml"), fmt.Appendf(nil, hookConfig, receiver.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	worker := b.startWorker(t)
	b.until(t, 1, 30*time.Second, `SELECT count(*) FROM tidemill.process`)
	b.hooks(t, 0, kept)

	standby := primary.standby(t)
	primary.cutOff(t, standby)
	b.hooks(t, kept, kept+lost)
	if err := worker.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	primary.stop(t)
	standby.promote(t)
	b.url = standby.url(t)
	b.pool = pool(t, b.url)
	b.until(t, kept, time.Second, `SELECT count(*) FROM tidemill.run`)
	b.startWorker(t)
	b.hooks(t, kept+lost, kept+lost+after)

	hook.mu.Lock()
	defer hook.mu.Unlock()
	dropped, again := 0, 0
	for n := range kept + lost + after {
		if !hook.done[n] {
			dropped++
		}
	}
	for _, runs := range hook.runs {
		again += runs - 1
	}
	t.Logf("%d numbers of runs were given out again, and %d of %d starts were dropped", again, dropped, kept+lost+after)
	if again < lost/2 {
		t.Error("too few numbers were given out again for this to say anything")
	}
	if dropped > 0 {
		t.Error("the receiver took new work for work that it had done")
	}
}

// hooks starts the job with each number and waits until all have ended.
func (b *jobBundle) hooks(t *testing.T, from, to int) {
	t.Helper()
	_, err := b.pool.Exec(context.Background(), `SELECT tidemill.start('hook', jsonb_build_object('n', n)) FROM generate_series($1::int, $2::int) n`, from, to-1)
	if err != nil {
		t.Fatal(err)
	}
	b.until(t, 0, time.Minute, `SELECT count(*) FROM tidemill.run WHERE status <> 'succeeded'`)
}

// pool is one that a server may take the connections of.
func pool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func waitTrue(t *testing.T, p *pgxpool.Pool, query string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; pause(20 * time.Millisecond) {
		var ok bool
		if err := p.QueryRow(context.Background(), query).Scan(&ok); err != nil {
			t.Fatal(err)
		}
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", query)
		}
	}
}
