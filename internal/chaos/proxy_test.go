package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/tidemill/tidemill/internal/devdb"
	"github.com/tidemill/tidemill/migrations"
)

var (
	badJobs = flag.Int("chaos.badjobs", 400, "jobs under TestBadNetwork")
	badFor  = flag.Duration("chaos.badfor", 8*time.Second, "how long the network of TestBadNetwork is bad; from 8 s on each trouble comes at least once")
)

// badConfig has both plain jobs and an import. Attempts are plenty: what the network does to a job is not the job's fault,
// and must not discard it.
const badConfig = `
database: {url: "${DATABASE_URL}"}
storage: {url: "file://${CHAOS_DIR}/storage"}
metrics: {listen: ""}
queues: {default: 10}
retry: {max_attempts: 100, backoff: constant, delay: 500ms}
jobs:
  people:
    kind: import
    table: public.people
    match: [email]
    on_conflict: skip
    reject_limit: {rows: 1000}
`

// network is what lies between the workers and the database: a proxy whose links can be cut, stalled and slowed. As in
// TCP, bytes may come late or the connection may end, but none is lost in between.
type network struct {
	proxy *toxiproxy.Proxy
}

// newNetwork returns a network without troubles, and the database's URL at its near end.
func newNetwork(t *testing.T, database string) (*network, string) {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	// Some toxics log to a global logger whatever logger their server was given.
	zerolog.SetGlobalLevel(zerolog.Disabled)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	n := &network{proxy: toxiproxy.NewProxy(server, "database", "127.0.0.1:0", net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))))}
	if err := n.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.proxy.Stop)
	near, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	near.Host = n.proxy.Listen
	return n, near.String()
}

// cut ends all connections; new ones can be made at once.
func (n *network) cut() error {
	n.proxy.Stop()
	return n.proxy.Start()
}

// stall holds back every byte, of new connections too, until calm.
func (n *network) stall() error {
	return n.impede("latency", "latency", int(time.Hour.Milliseconds()))
}

// slow lets 50 KB a second pass in each direction, 200 ms late, until calm.
func (n *network) slow() error {
	// In this order: a latency toxic buffers megabytes, and would have to empty them at 50 KB a second when it goes.
	if err := n.impede("bandwidth", "rate", 50); err != nil {
		return err
	}
	return n.impede("latency", "latency", 200)
}

func (n *network) impede(kind, attribute string, value int) error {
	for _, stream := range []string{"upstream", "downstream"} {
		toxic := fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": {%q: %d}}`, kind, stream, attribute, value)
		if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return fmt.Errorf("%s %s: %w", kind, stream, err)
		}
	}
	return nil
}

func (n *network) calm() error {
	n.proxy.Toxics.ResetToxics(context.Background())
	return nil
}

// trouble is something that befalls the network for a time from least to most.
type trouble struct {
	name        string
	befall      func() error
	least, most time.Duration
}

// weather brings all troubles in a random order, then in another.
type weather struct {
	random   *rand.Rand
	network  *network
	troubles []trouble
	next     int
	until    time.Time // when the present trouble ends
	counts   map[string]int
}

func newWeather(n *network, random *rand.Rand) *weather {
	// The longest of each make less than 8 s, the default of -chaos.badfor.
	return &weather{network: n, random: random, counts: map[string]int{}, troubles: []trouble{
		{"cut", n.cut, 0, 500 * time.Millisecond},
		{"stall", n.stall, time.Second, 4 * time.Second},
		{"slow", n.slow, time.Second, 2 * time.Second},
		{"fine", n.calm, 200 * time.Millisecond, time.Second},
	}}
}

// turn ends the present trouble and begins the next if it is time.
func (w *weather) turn(t *testing.T) {
	t.Helper()
	if time.Now().Before(w.until) {
		return
	}
	if err := w.network.calm(); err != nil {
		t.Fatal(err)
	}
	if w.next%len(w.troubles) == 0 {
		w.random.Shuffle(len(w.troubles), func(i, j int) { w.troubles[i], w.troubles[j] = w.troubles[j], w.troubles[i] })
	}
	now := w.troubles[w.next%len(w.troubles)]
	w.next++
	w.counts[now.name]++
	if err := now.befall(); err != nil {
		t.Fatalf("%s: %v", now.name, err)
	}
	w.until = time.Now().Add(now.least + time.Duration(w.random.Int64N(int64(now.most-now.least))))
}

// startTCPServer returns the URL of a migrated database that a proxy can reach.
func startTCPServer(t *testing.T) string {
	t.Helper()
	return startServerWith(t, nil)
}

// startServerWith is startTCPServer with settings of the server.
func startServerWith(t *testing.T, settings map[string]string) string {
	t.Helper()
	db, err := devdb.Start(context.Background(), &devdb.Opts{TCP: true, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	pool, err := pgxpool.New(context.Background(), db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := migrations.Up(context.Background(), pool, migrations.Schema{}, nil); err != nil {
		t.Fatal(err)
	}
	return db.URL()
}

// Two workers reach their database through a network that is cut, stalls and crawls while jobs come in and a file is
// imported. When it is fine again, everything ends, without anybody's help.
//
//	go test ./internal/chaos -run BadNetwork -chaos.badfor 60s -chaos.badjobs 5000 -chaos.rows 1000000 -timeout 30m -v
func TestBadNetwork(t *testing.T) {
	t.Parallel()

	direct := startTCPServer(t)
	// A third of the rows, for what counts is the trouble during a chunk, and a chunk of 50,000 takes long enough.
	imports, jobs := setupAt(t, direct, *rows/3), setupJobsAt(t, direct)
	network, through := newNetwork(t, direct)
	workers := []*worker{imports.startBehind(t, through), imports.startBehind(t, through)}
	for _, w := range workers {
		jobs.until(t, 1, 30*time.Second, livingWorker, w.cmd.Process.Pid)
	}

	run := imports.startImport(t)
	imports.waitOwner(t, run, "")
	sky := newWeather(network, imports.random)
	began, inserted := time.Now(), 0
	for inserted < *badJobs || time.Since(began) < *badFor {
		sky.turn(t)
		if due := min(*badJobs, int(float64(*badJobs)*time.Since(began).Seconds()/badFor.Seconds())+1); due > inserted {
			jobs.insert(t, due-inserted, stepArgs{Most: 200})
			inserted = due
		}
		pause(20 * time.Millisecond)
	}
	if err := network.calm(); err != nil {
		t.Fatal(err)
	}
	calm := time.Now()
	for _, trouble := range sky.troubles {
		if *badFor >= 8*time.Second && sky.counts[trouble.name] == 0 {
			t.Errorf("%s never came", trouble.name)
		}
	}
	t.Logf("%s of %v; %d of %d jobs and %d bytes of the import were done by then", time.Since(began).Round(100*time.Millisecond), sky.counts,
		jobs.count(t, `SELECT count(*) FROM tidemill.river_job WHERE kind = 'step' AND state = 'completed'`), *badJobs, imports.info(t, run).Done)

	// What a worker fetched without hearing of it goes back to its queue after half a minute.
	jobs.until(t, *badJobs, 3*time.Minute, `SELECT count(*) FROM tidemill.river_job WHERE kind = 'step' AND state IN ('completed', 'discarded', 'cancelled')`)
	took := time.Since(calm)
	imports.check(t, imports.waitFinal(t, run))
	t.Logf("the jobs were done %s, the import %s after the network was fine again", took.Round(100*time.Millisecond), time.Since(calm).Round(100*time.Millisecond))
	if n := jobs.count(t, `SELECT count(*) FROM tidemill.river_job WHERE state <> 'completed'`); n > 0 {
		t.Errorf("%d jobs were given up", n)
	}
	if n := jobs.count(t, `SELECT count(*) FROM tidemill.river_job j WHERE kind = 'step' AND NOT EXISTS (SELECT FROM public.ended e WHERE e.job = j.id)`); n > 0 {
		t.Errorf("%d jobs are completed, but never came to their end", n)
	}
	t.Logf("%d jobs: %d ran again though they had ended, %d were retried; the workers lived %d lives; the import took %d attempts",
		*badJobs, jobs.count(t, `SELECT count(*) - count(DISTINCT job) FROM public.ended`),
		jobs.count(t, `SELECT count(*) FROM tidemill.river_job WHERE kind = 'step' AND attempt > 1`),
		jobs.count(t, `SELECT count(*) FROM tidemill.process`),
		jobs.count(t, `SELECT attempt FROM tidemill.river_job WHERE id = $1`, run))

	// The processes are those of the beginning, are at work, and end when told to.
	for _, w := range workers {
		jobs.until(t, 1, time.Minute, livingWorker, w.cmd.Process.Pid)
		if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := w.cmd.Wait(); err != nil {
			t.Errorf("worker %d ended with %v", w.cmd.Process.Pid, err)
		}
	}
}

// livingWorker counts the registrations under which that process beats.
const livingWorker = `SELECT count(*) FROM tidemill.process WHERE pid = $1 AND fenced_at IS NULL AND beat_at > clock_timestamp() - interval '5 seconds'`

// startBehind starts a worker of this test binary that reaches the database at that URL.
func (b *bundle) startBehind(t *testing.T, database string) *worker {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, "tidemill.yaml"), []byte(badConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), workerVariable+"=1", "DATABASE_URL="+database, "CHAOS_DIR="+b.dir)
	return launch(t, cmd)
}
