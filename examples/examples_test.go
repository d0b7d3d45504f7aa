package examples

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/childproc"
	"github.com/tidemill/tidemill/internal/testbouncer"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

// startBound is how long a program may take until it listens: compilers and interpreters share the processor with tests.
const startBound = 60 * time.Second

// world is an example: its program, which has a role that may do little, and what its worker needs.
type world struct {
	app    *tidemill.App
	pool   *pgxpool.Pool // of the owner of all tables
	role   string        // of the program
	base   string        // URL of the program
	secret string
}

// setup starts the program and applies the configuration file, which names its address.
func setup(t *testing.T, configFile string, program childproc.Command) *world {
	t.Helper()
	return setupThrough(t, configFile, program, func(database, _ string) string { return database })
}

// pooled is a PgBouncer before the database that shares sessions.
func pooled(t *testing.T) func(database, role string) string {
	return func(database, role string) string {
		return testbouncer.Start(t, testbouncer.Opts{URL: database, Mode: "transaction", Roles: []string{role}})
	}
}

// setupThrough is setup of a program that reaches the database where through says.
func setupThrough(t *testing.T, configFile string, program childproc.Command, through func(database, role string) string) *world {
	t.Helper()
	database := testengine.URL(t)
	w := &world{pool: testdb.Pool(t, database), role: "app_" + randomHex(8), secret: newSecret()}
	password := randomHex(16)
	w.createRole(t, database, password)

	program.Env = append(os.Environ(), "DATABASE_URL="+as(t, through(database, w.role), w.role, password), "WEBHOOK_SECRET="+w.secret)
	w.base = listen(t, program)
	w.configure(t, configFile, map[string]string{"APP_URL": w.base, "DATABASE_URL": database, "WEBHOOK_SECRET": w.secret})
	return w
}

// createRole makes the example's tables, and a role that may use them, and call what deploy/grant-enqueue.sql grants.
func (w *world) createRole(t *testing.T, database, password string) {
	t.Helper()
	tables, err := os.ReadFile("schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		string(tables),
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", w.role, password),
		"GRANT USAGE ON SCHEMA app TO " + w.role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app TO " + w.role,
	} {
		if _, err := w.pool.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	// Roles belong to the whole server, and this one's connections have ended when this is called.
	t.Cleanup(func() {
		if _, err := w.pool.Exec(context.Background(), "DROP OWNED BY "+w.role+"; DROP ROLE "+w.role); err != nil {
			t.Errorf("drop the role: %v", err)
		}
	})
	cmd := exec.CommandContext(t.Context(), "psql", database, "-X", "-q", "-v", "role="+w.role, "-v", "schema=tidemill", "-f", "../deploy/grant-enqueue.sql")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v: %s", err, out)
	}
}

// as is the URL of the database for another role.
func as(t *testing.T, database, role, password string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	if u.Host != "" {
		u.User = url.UserPassword(role, password)
		return u.String()
	}
	// Active Record does not read a socket's folder from the query; as an escaped host, all drivers but Go's take it.
	plain := fmt.Sprintf("postgres://%s:%s@%s:%s%s", role, password, url.PathEscape(query.Get("host")), query.Get("port"), u.Path)
	if prepared := query.Get("prepared_statements"); prepared != "" {
		plain += "?prepared_statements=" + prepared
	}
	return plain
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// listen starts a program that says where it listens, and returns that. It ends with the test.
func listen(t *testing.T, program childproc.Command) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	lines, said := io.Pipe()
	program.MaxOutput = 1 << 20
	program.OnLine = func(line string) { fmt.Fprintln(said, line) }
	found := make(chan string, 1)
	go func() {
		for scanner := bufio.NewScanner(lines); scanner.Scan(); {
			if base := address.FindString(scanner.Text()); base != "" {
				found <- base
				break
			}
		}
		_, _ = io.Copy(io.Discard, lines)
	}()
	ended := make(chan error, 1)
	var result *childproc.Result
	go func() {
		var err error
		result, err = childproc.Run(ctx, &program)
		said.Close()
		ended <- err
	}()
	end := func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%v: %v", program.Argv, err)
		}
		if t.Failed() && result != nil {
			t.Logf("%v: %s", program.Argv, result.Output)
		}
	}
	select {
	case base := <-found:
		t.Cleanup(end)
		return base
	case err := <-ended:
		ended <- err
		t.Errorf("%v ended before it listened", program.Argv)
	case <-time.After(startBound):
		t.Errorf("%v does not listen after %s", program.Argv, startBound)
	}
	end()
	t.FailNow()
	return ""
}

func (w *world) configure(t *testing.T, file string, values map[string]string) {
	t.Helper()
	cfg, err := config.Load(file, &config.Opts{Kinds: workers.Configs(), Lookup: func(name string) (string, bool) { v, ok := values[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Metrics.Listen = "" // the tests run side by side
	if w.app, err = tidemill.New(t.Context(), cfg, &tidemill.Opts{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.app.Close)
	if _, err := w.app.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// work runs a worker until the end of the test.
func (w *world) work(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.app.Run(ctx, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
}

func randomHex(n int) string { return hex.EncodeToString(random(n)) }

func newSecret() string { return "whsec_" + base64.StdEncoding.EncodeToString(random(32)) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
