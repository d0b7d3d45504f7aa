package chaos

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/sampledata"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
)

var (
	kills  = flag.Int("chaos.kills", 2, "how often TestKill kills the worker")
	rows   = flag.Int("chaos.rows", 300_000, "rows of the imported file")
	freeze = flag.Duration("chaos.freeze", 5*time.Second, "how long TestFreeze leaves a worker frozen after its run was taken over")
	seed   = flag.Uint64("chaos.seed", 0, "of the random moments; 0 = a new one, printed")
)

// binary is the real command, built once for all tests of this package.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tidemill-chaos-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tidemill")
	out, err := exec.Command("go", "build", "-o", path, "github.com/tidemill/tidemill/cmd/tidemill").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	runAsCommand()
	runAsWorker()
	flag.Parse()
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

type bundle struct {
	dir    string
	url    string
	pool   *pgxpool.Pool
	ledger *batch.Ledger
	random *rand.Rand
	file   string // as text
	upload string // as it is imported
	job    string
	stats  sampledata.PeopleStats
}

const configText = `
database: {url: "${DATABASE_URL}"}
storage: {url: "file://${CHAOS_DIR}/storage"}
metrics: {listen: ""}
jobs:
  people:
    kind: import
    table: public.people
    match: [email]
    on_conflict: skip
    reject_limit: {rows: 1000}
  people-2:
    kind: import
    table: public.people
    match: [email]
    on_conflict: skip
    reject_limit: {rows: 1000000}
    writers: 2
`

// setup makes a migrated database with the target table, a configuration and a file with duplicates and bad rows.
func setup(t *testing.T) *bundle {
	t.Helper()
	return setupAt(t, testengine.URL(t), *rows)
}

func setupAt(t *testing.T, url string, rows int) *bundle {
	t.Helper()
	return setupBad(t, url, rows, 70)
}

// setupBad is setupAt with so many bad rows.
func setupBad(t *testing.T, url string, rows, bad int) *bundle {
	t.Helper()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-chaos.seed %d", s)
	b := &bundle{dir: t.TempDir(), url: url, random: rand.New(rand.NewPCG(s, 1))}
	b.pool = testdb.Pool(t, b.url)
	b.ledger = batch.NewLedger(b.pool, migrations.Schema{}, nil)
	_, err := b.pool.Exec(context.Background(), `CREATE TABLE public.people (id bigint NOT NULL, email text PRIMARY KEY, full_name text NOT NULL,
		country text, signup_date date, age integer, balance numeric, notes text)`)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "tidemill.yaml"), []byte(configText), 0o600); err != nil {
		t.Fatal(err)
	}
	b.file = filepath.Join(b.dir, "people.csv")
	b.job, b.upload = "people", b.file
	f, err := os.Create(b.file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	b.stats, err = sampledata.WritePeople(w, sampledata.PeopleOpts{Rows: rows, Seed: s, DuplicateRatio: 0.01, Bad: bad, Shuffle: true})
	if err := errors.Join(err, w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// compress makes the import one of a gzip file by two writers.
func (b *bundle) compress(t *testing.T) {
	t.Helper()
	b.job, b.upload = "people-2", b.file+".gz"
	text, err := os.Open(b.file)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	f, err := os.Create(b.upload)
	if err != nil {
		t.Fatal(err)
	}
	w := gzip.NewWriter(f)
	_, err = io.Copy(w, text)
	if err := errors.Join(err, w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "DATABASE_URL="+b.url, "CHAOS_DIR="+b.dir)
	return cmd
}

// worker is a real worker process.
type worker struct {
	cmd *exec.Cmd
	log *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (b *bundle) startWorker(t *testing.T) *worker {
	t.Helper()
	return launch(t, b.command(t, "worker"))
}

// launch starts a worker process that does not outlive the test.
func launch(t *testing.T, cmd *exec.Cmd) *worker {
	t.Helper()
	w := &worker{cmd: cmd, log: &lockedBuffer{}}
	w.cmd.Stderr = w.log
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.cmd.Process.Signal(syscall.SIGCONT)
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
		if t.Failed() {
			t.Logf("worker %d:\n%s", w.cmd.Process.Pid, w.log)
		}
	})
	return w
}

// startImport starts the import of the file and returns at once.
func (b *bundle) startImport(t *testing.T, flags ...string) int64 {
	t.Helper()
	cmd := b.command(t, append([]string{"import", b.job, b.upload, "--detach", "--json"}, flags...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("import: %v\n%s", err, &stderr)
	}
	var started struct{ ID int64 }
	if err := json.Unmarshal(out, &started); err != nil {
		t.Fatal(err)
	}
	return started.ID
}

// owner is the process that runs the job, or 0 while none does.
func (b *bundle) owner(t *testing.T, id int64) (pid int, process string) {
	t.Helper()
	err := b.pool.QueryRow(context.Background(), `
		SELECT p.pid, p.id FROM tidemill.river_job j JOIN tidemill.process p ON p.id = j.attempted_by[array_upper(j.attempted_by, 1)]
		 WHERE j.id = $1 AND j.state = 'running' AND p.fenced_at IS NULL`, id).Scan(&pid, &process)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return pid, process
}

// lastOwner is the process that ran the job last, whether it still does or not.
func (b *bundle) lastOwner(t *testing.T, id int64) int {
	t.Helper()
	var pid int
	err := b.pool.QueryRow(context.Background(), `
		SELECT p.pid FROM tidemill.river_job j JOIN tidemill.process p ON p.id = j.attempted_by[array_upper(j.attempted_by, 1)]
		 WHERE j.id = $1`, id).Scan(&pid)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// waitOwner waits until another process than not runs the job; ok is false when the run has ended instead.
func (b *bundle) waitOwner(t *testing.T, id int64, not string) (pid int, process string, ok bool) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for time.Now().Before(deadline) {
		if pid, process := b.owner(t, id); pid != 0 && process != not {
			return pid, process, true
		}
		if b.info(t, id).Status.Final() {
			return 0, "", false
		}
		pause(5 * time.Millisecond)
	}
	t.Fatalf("nobody took over run %d: %+v", id, b.info(t, id))
	return 0, "", false
}

// pause spaces the polls of another process's state.
func pause(d time.Duration) { <-time.After(d) }

func (b *bundle) info(t *testing.T, id int64) *batch.Info {
	t.Helper()
	info, err := b.ledger.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func (b *bundle) waitFinal(t *testing.T, id int64) *batch.Info {
	t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for {
		info := b.info(t, id)
		if info.Status.Final() {
			return info
		}
		if time.Now().After(deadline) {
			t.Fatalf("run %d does not end: %+v", id, info)
		}
		pause(20 * time.Millisecond)
	}
}

// check compares the table with the file, read by another CSV reader, and the counters with both.
func (b *bundle) check(t *testing.T, info *batch.Info) {
	t.Helper()
	if info.Status != batch.SucceededWithRejects {
		t.Fatalf("run %d is %s: %v", info.ID, info.Status, info.Error)
	}
	want := batch.Counters{Read: int64(b.stats.Rows), Inserted: int64(b.stats.Distinct), Duplicate: int64(b.stats.Duplicates), Rejected: int64(b.stats.Bad)}
	if info.Counters != want {
		t.Errorf("counters %+v, want %+v", info.Counters, want)
	}
	file, err := os.Stat(b.upload)
	if err != nil {
		t.Fatal(err)
	}
	if info.Total == nil || info.Done != *info.Total || info.Done != file.Size() {
		t.Errorf("done %d of %v bytes, the file has %d", info.Done, info.Total, file.Size())
	}
	first := b.firstRows(t)
	rows, err := b.pool.Query(context.Background(), `SELECT concat_ws('|', id, email, full_name, coalesce(country, ''), coalesce(signup_date::text, ''),
		coalesce(age::text, ''), coalesce(balance::text, ''), coalesce(notes, '')), email FROM public.people`)
	if err != nil {
		t.Fatal(err)
	}
	n, wrong := 0, 0
	var row, email string
	if _, err := pgx.ForEachRow(rows, []any{&row, &email}, func() error {
		n++
		if first[email] != row {
			if wrong++; wrong <= 3 {
				t.Errorf("table has\n  %s\nfile has first\n  %s", row, first[email])
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n != b.stats.Distinct || wrong > 0 {
		t.Errorf("%d rows in the table, %d of them wrong; the file has %d", n, wrong, b.stats.Distinct)
	}
	var rejects int
	if err := b.pool.QueryRow(context.Background(), `SELECT count(*) FROM tidemill.run_reject WHERE run = $1`, info.ID).Scan(&rejects); err != nil {
		t.Fatal(err)
	}
	if rejects != b.stats.Bad {
		t.Errorf("%d rejects kept, want %d", rejects, b.stats.Bad)
	}
	var state string
	if err := b.pool.QueryRow(context.Background(), `SELECT state FROM tidemill.river_job WHERE id = $1`, info.ID).Scan(&state); err != nil {
		t.Fatal(err)
	}
	if state != "completed" {
		t.Errorf("river_job is %s", state)
	}
}

// firstRows maps each e-mail to the first row that has it. Bad rows are among them; none of them may reach the table.
func (b *bundle) firstRows(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(b.file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReader(f))
	r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
	first := make(map[string]string, b.stats.Distinct)
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return first
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, seen := first[record[1]]; !seen {
			first[strings.Clone(record[1])] = strings.Join(record, "|")
		}
	}
}
