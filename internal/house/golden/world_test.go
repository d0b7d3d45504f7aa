package golden

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/testdb"
)

const worldConfig = `database: {url: "${DATABASE_URL}"}
storage: {url: "file://${WORK}/storage"}
metrics: {listen: ""}
mail: {url: "smtp://127.0.0.1:1", from: jobs@example.com}
queues: {default: 4, low: 1}
retry: {max_attempts: 1}
jobs:
  load: {kind: import, table: app.people, match: [id], on_conflict: skip, columns: {id: id, email: email}}
  drop: {kind: import, table: app.people, match: [id], on_conflict: skip, columns: {id: id, email: email}, source: "file://${WORK}/drop/*.csv"}
  dump: {kind: export, table: app.people}
  stats: {kind: sql, statement: SELECT count(*) AS people FROM app.people}
  children: {kind: each, query: SELECT id FROM app.people, order_by: [id], enqueue: {job: child}}
  child: {kind: sql, statement: "SELECT :id AS id", params: {id: integer}}
  fails: {kind: sql, statement: SELECT 1/0 AS nothing}
  holds: {kind: sql, statement: SELECT pg_advisory_xact_lock_shared(4711)}
  old: {kind: cleanup, rules: [{table: app.log, column: at, older_than: 1d}]}
  later: {kind: sql, queue: low, statement: SELECT 1 AS one, schedule: {every: 366d}}
  welcome: {kind: email, to: "{{.email}}", subject: Hello, text: Hello, html: <p>Hello</p>, params: {email: text}}
`

const worldTables = `
CREATE SCHEMA app;
CREATE TABLE app.people (id bigint PRIMARY KEY, email text);
CREATE TABLE app.log (at timestamptz);
CREATE INDEX ON app.log (at);
INSERT INTO app.log SELECT now() - interval '2 days' FROM generate_series(1, 3)`

// world is a folder and an empty database in which commands are called.
type world struct {
	t      *testing.T
	dir    string
	env    []string
	pool   *pgxpool.Pool
	lock   *pgx.Conn // holds back the job holds
	probe  string
	worker *exec.Cmd
}

func newWorld(t *testing.T) *world {
	t.Helper()
	url := testdb.URL(t)
	w := &world{t: t, dir: t.TempDir(), pool: testdb.Pool(t, url)}
	w.env = append(os.Environ(), "DATABASE_URL="+url, "WORK="+w.dir, "TIDEMILL_CONFIG=")
	ready := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(answer, `{"status":"ready"}`)
	}))
	t.Cleanup(ready.Close)
	w.probe = ready.URL
	for name, text := range map[string]string{
		"tidemill.yaml":    worldConfig,
		"broken.yaml":      "jobs: {a: {kind: sql, statment: SELECT 1}}\n",
		"people.csv":       "id,email\n1,jo@example.com\n2,mei@example.com\nthree,x@example.com\n",
		"drop/people2.csv": "id,email\n4,ann@example.com\n",
	} {
		file := filepath.Join(w.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.pool.Exec(t.Context(), worldTables); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.lock, err = pgx.Connect(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.lock.Close(t.Context()) })
	if _, err := w.lock.Exec(t.Context(), "SELECT pg_advisory_lock(4711)"); err != nil {
		t.Fatal(err)
	}
	return w
}

var placeholder = regexp.MustCompile(`\{(?:kind )?(\w+)\}`)

// run calls a command with --json and returns what it prints.
func (w *world) run(s step) string {
	w.t.Helper()
	line := placeholder.ReplaceAllStringFunc(s.args, w.fill)
	// After -- stands what another program is given.
	before, program, found := strings.Cut(line, " -- ")
	args := append(strings.Fields(before), "--json")
	if found {
		args = append(append(args, "--"), strings.Fields(program)...)
	}
	cmd := w.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != s.exit {
		w.t.Fatalf("tidemill %s: %v, want exit %d\n%s%s", line, err, s.exit, stdout.String(), stderr.String())
	}
	if found { // the program's own output, as it was
		_, after, _ := strings.Cut(stdout.String(), "\n")
		return after
	}
	return stdout.String()
}

func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), "tidemill", args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	return cmd
}

// fill is what stands for a placeholder.
func (w *world) fill(mark string) string {
	name := placeholder.FindStringSubmatch(mark)[1]
	if name == "probe" {
		return w.probe
	}
	query := "SELECT max(id) FROM tidemill.run WHERE job = $1"
	if strings.HasPrefix(mark, "{kind ") {
		query = "SELECT max(id) FROM tidemill.river_job WHERE kind = $1"
	}
	var id int64
	if err := w.pool.QueryRow(w.t.Context(), query, name).Scan(&id); err != nil {
		w.t.Fatalf("%s: %v", mark, err)
	}
	return strconv.FormatInt(id, 10)
}

// do prepares what no command outputs.
func (w *world) do(what string) {
	w.t.Helper()
	switch what {
	case "know": // a kind, as a program that has its worker does
		if _, err := w.pool.Exec(w.t.Context(), "INSERT INTO tidemill.kind (kind, queue, priority, max_attempts) VALUES ('other', 'default', 1, 1)"); err != nil {
			w.t.Fatal(err)
		}
	case "due": // the schedule, as after a night without workers
		if _, err := w.pool.Exec(w.t.Context(), "UPDATE tidemill.schedule SET next_tick_at = date_trunc('second', now()) - interval '1 hour'"); err != nil {
			w.t.Fatal(err)
		}
	case "ticked":
		w.await("SELECT EXISTS (SELECT FROM tidemill.run WHERE trigger = 'schedule' AND status = 'succeeded')")
	case "work":
		w.worker = w.command("worker")
		w.worker.Cancel = func() error { return w.worker.Process.Signal(syscall.SIGTERM) }
		if err := w.worker.Start(); err != nil {
			w.t.Fatal(err)
		}
	case "held":
		w.await("SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database d ON d.oid = database WHERE datname = current_database() AND locktype = 'advisory' AND objid = 4711 AND NOT granted)")
	case "release":
		if _, err := w.lock.Exec(w.t.Context(), "SELECT pg_advisory_unlock(4711)"); err != nil {
			w.t.Fatal(err)
		}
		w.await("SELECT NOT EXISTS (SELECT FROM tidemill.river_job WHERE state = 'running')")
	case "end":
		if err := w.worker.Process.Signal(syscall.SIGTERM); err != nil {
			w.t.Fatal(err)
		}
		if err := w.worker.Wait(); err != nil {
			w.t.Fatalf("the worker: %v", err)
		}
	}
}

// await asks until the answer is true.
func (w *world) await(question string) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(45 * time.Second)
	for {
		var yes bool
		if err := w.pool.QueryRow(w.t.Context(), question).Scan(&yes); err != nil {
			w.t.Fatal(err)
		}
		if yes {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("not true within 45 s: %s", question)
		}
	}
}
