package chaos

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	failoverRows     = flag.Int("chaos.failoverrows", 300_000, "rows of the import under TestFailover")
	failoverRequests = flag.Int("chaos.requests", 1000, "requests under TestFailover")
	failoverAway     = flag.Duration("chaos.away", 4*time.Second, "between the death of the primary and the promotion of its standby")
)

// backWithin is how soon after the promotion everything must be at work again.
const backWithin = 15 * time.Second

const failoverConfig = `
database: {url: "${DATABASE_URL}"}
storage: {url: "file://${CHAOS_DIR}/storage"}
metrics: {listen: ""}
queues: {default: 10, low: 2}
retry: {max_attempts: 100, backoff: constant, delay: 500ms}
jobs:
  people:
    kind: import
    queue: low
    table: public.people
    match: [email]
    on_conflict: skip
    reject_limit: {rows: 1000}
  hook: {kind: http, url: %q, secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
  beat: {kind: step, args: {most: 0}}
schedules:
  beat: {job: beat, every: 1s, overlap: allow}
`

// hooks is an application that is called.
type hooks struct {
	mu    sync.Mutex
	ids   map[string]int
	times []time.Time
}

func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pause(100 * time.Millisecond) // some work
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids[r.Header.Get("webhook-id")]++
	h.times = append(h.times, time.Now())
	w.WriteHeader(http.StatusNoContent)
}

func (h *hooks) firstAfter(at time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.times {
		if x.After(at) {
			return x.Sub(at)
		}
	}
	return -1
}

func (h *hooks) distinct() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ids)
}

// either is the URL of both servers; whoever connects finds the one that can be written to.
func either(t *testing.T, a, b *ownServer) string {
	t.Helper()
	config, err := pgx.ParseConfig(a.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	other, err := pgx.ParseConfig(b.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("postgres:///%s?host=%s,%s&port=%d,%d&user=%s&target_session_attrs=read-write",
		config.Database, a.link, b.link, config.Port, other.Port, config.User)
}

// The primary dies under an import, requests and a schedule, and a synchronous standby takes its place. Nothing is lost,
// nothing is done twice that must not be, and all of it continues soon after the promotion.
//
//	go test ./internal/chaos -run Failover -chaos.failoverrows 1000000 -chaos.requests 2000 -chaos.away 10s -timeout 30m -v
func TestFailover(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	primary := startServer(t)
	standby := primary.standby(t)
	primary.waitFor(t, standby)
	address := either(t, primary, standby)
	app := &hooks{ids: map[string]int{}}
	receiver := httptest.NewServer(app)
	t.Cleanup(receiver.Close)
	imports, b := setupAt(t, address, *failoverRows), setupJobsAt(t, address)
	if err := os.WriteFile(filepath.Join(imports.dir, "tidemill.yaml"), fmt.Appendf(nil, failoverConfig, receiver.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	worker := func() *worker {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self)
		cmd.Dir = imports.dir
		cmd.Env = append(os.Environ(), workerVariable+"=1", "DATABASE_URL="+address, "CHAOS_DIR="+imports.dir)
		return launch(t, cmd)
	}
	first, second := worker(), worker()
	for _, w := range []int{first.cmd.Process.Pid, second.cmd.Process.Pid} {
		b.until(t, 1, 30*time.Second, livingWorker, w)
	}
	b.until(t, 1, 30*time.Second, `SELECT count(*) FROM tidemill.job WHERE name = 'hook'`)
	run := imports.startImport(t)
	imports.waitOwner(t, run, "")
	if _, err := b.pool.Exec(ctx, `SELECT tidemill.start('hook', '{}', notify => false) FROM generate_series(1, $1)`, *failoverRequests); err != nil {
		t.Fatal(err)
	}
	for imports.info(t, run).Seq < 1 {
		pause(5 * time.Millisecond)
	}
	b.until(t, 3, time.Minute, `SELECT least(count(*), 3) FROM tidemill.tick`)
	if app.distinct() == *failoverRequests || imports.info(t, run).Status.Final() {
		t.Fatal("all was done before the primary died; give it more -chaos.requests and -chaos.failoverrows")
	}

	primary.stop(t)
	pause(*failoverAway)
	standby.promote(t)
	standby.configure(t, `ALTER SYSTEM SET synchronous_standby_names = ''`)
	promoted := time.Now()
	var at time.Time
	var seq int64
	if err := pool(t, standby.url(t)).QueryRow(ctx, `SELECT clock_timestamp(), seq FROM tidemill.run WHERE id = $1`, run).Scan(&at, &seq); err != nil {
		t.Fatal(err)
	}
	b.pool.Reset()
	imports.pool.Reset()

	back := map[string]time.Duration{}
	for len(back) < 3 && time.Since(promoted) < time.Minute {
		if _, known := back["schedule"]; !known && b.count(t, `SELECT count(*) FROM tidemill.tick WHERE at > $1`, at) > 0 {
			back["schedule"] = time.Since(promoted)
		}
		if _, known := back["import"]; !known && b.count(t, `SELECT count(*) FROM tidemill.run WHERE id = $1 AND (seq > $2 OR finished_at IS NOT NULL)`, run, seq) > 0 {
			back["import"] = time.Since(promoted)
		}
		if d := app.firstAfter(promoted); back["requests"] == 0 && d > 0 {
			back["requests"] = d
		}
		pause(20 * time.Millisecond)
	}
	t.Logf("after the promotion: requests again after %s, the import after %s, the schedule after %s", back["requests"], back["import"], back["schedule"])
	for _, what := range []string{"requests", "import", "schedule"} {
		if d, known := back[what]; !known || d > backWithin {
			t.Errorf("%s: back after %s (known: %t), want at most %s", what, d, known, backWithin)
		}
	}
	b.until(t, *failoverRequests, 3*time.Minute, `SELECT count(*) FROM tidemill.river_job WHERE kind = 'tidemill.http' AND state = 'completed'`)
	if got := app.distinct(); got != *failoverRequests {
		t.Errorf("%d distinct requests, want %d", got, *failoverRequests)
	}
	imports.check(t, imports.waitFinal(t, run))
	if gaps := b.count(t, `SELECT count(*) FROM (SELECT due_at - lag(due_at) OVER (ORDER BY due_at) AS gap FROM tidemill.tick) x
		WHERE gap > interval '1 second'`); gaps > 0 {
		t.Errorf("%d gaps between ticks", gaps)
	}
}
