package deploytest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/devdb"
)

const patience = 60 * time.Second

// native is compose.yaml run without Docker: the same program, commands, configuration, scripts and order.
type native struct {
	compose *compose
	env     []string
	host    string // in place of all addresses of a container
	program string
	url     string // of the database, as the role tidemill
}

// TestComposeNatively starts what compose.yaml would start, waits for it as compose would, uses it, and stops it.
func TestComposeNatively(t *testing.T) {
	t.Parallel()
	n := &native{compose: setupCompose(t), program: buildProgram(t)}
	checkStatic(t, n.program)
	if out, err := exec.CommandContext(t.Context(), n.program, "version").Output(); err != nil || !strings.HasPrefix(string(out), "tidemill ") {
		t.Fatalf("version: %q, %v", out, err)
	}
	n.database(t)
	n.configure(t)

	if out, err := n.command(t, n.compose.Services["migrate"].Command...).CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	n.checkOwner(t)
	worker, server := n.start(t, "worker"), n.start(t, "server")
	if status, body := n.cron(t); status != http.StatusOK || !strings.Contains(body, `"succeeded"`) {
		t.Errorf("trigger a schedule: %d %s", status, body)
	}
	worker.stop(t)
	server.stop(t)
	if out, err := n.healthcheck(t, "worker"); err == nil {
		t.Errorf("a worker that has ended is ready: %s", out)
	}
}

// database is the service postgres: an empty server, and the scripts of its first start.
func (n *native) database(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	db, err := devdb.Start(ctx, &devdb.Opts{TCP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	superuser, err := pgx.ParseConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	const password = "it's $a \"password\" %with\\everything"
	scripts, err := filepath.Glob(filepath.Join(root, "deploy/compose/postgres/*.sh"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		cmd := exec.CommandContext(ctx, "sh", script)
		cmd.Env = append(os.Environ(),
			"PATH="+db.BinDir()+":"+os.Getenv("PATH"), "PGHOST="+superuser.Host, fmt.Sprintf("PGPORT=%d", superuser.Port),
			"PGPASSWORD="+superuser.Password, "POSTGRES_USER="+superuser.User, "TIDEMILL_PASSWORD="+password)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	n.url = fmt.Sprintf("postgres://tidemill@%s:%d/tidemill", superuser.Host, superuser.Port)
	n.env = append(n.env, "PGPASSWORD="+password)
}

// configure gives the configuration of compose.yaml an address that no other test has, and a folder.
func (n *native) configure(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	n.host = fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(250), 2+rand.IntN(250))
	text := read(t, repository(), "deploy/compose/config/tidemill.yaml")
	for from, to := range map[string]string{"0.0.0.0": n.host, "/var/lib/tidemill": dir} {
		if !strings.Contains(text, from) {
			t.Fatalf("the configuration has no %s", from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	path := filepath.Join(dir, "tidemill.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n.env = append(n.env, "DATABASE_URL="+n.url, "CRON_SECRET="+secret, "MAIL_URL=", "TIDEMILL_CONFIG="+path)
}

const secret = "0123456789abcdef"

// command has the environment of the service and nothing else, as in an empty image.
func (n *native) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), n.program, args...)
	cmd.Env = n.env
	return cmd
}

// checkOwner holds the database to what the SQL functions need.
func (n *native) checkOwner(t *testing.T) {
	t.Helper()
	config, err := pgx.ParseConfig(n.url)
	if err != nil {
		t.Fatal(err)
	}
	config.Password = strings.TrimPrefix(n.env[0], "PGPASSWORD=")
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var owner string
	var super bool
	err = conn.QueryRow(t.Context(), `SELECT rolname, rolsuper FROM pg_proc p JOIN pg_roles r ON r.oid = proowner
		WHERE proname = 'start' AND pronamespace = 'tidemill'::regnamespace`).Scan(&owner, &super)
	if err != nil || owner != "tidemill" || super {
		t.Errorf("the functions are those of %q, superuser %v (%v); want tidemill, an ordinary role", owner, super, err)
	}
}

// process is a running service.
type process struct {
	cmd   *exec.Cmd
	grace time.Duration
	log   *bytes.Buffer
	name  string
}

// start starts a service and waits until its healthcheck passes.
func (n *native) start(t *testing.T, name string) *process {
	t.Helper()
	grace, err := time.ParseDuration(n.compose.Services[name].StopGracePeriod)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: n.command(t, n.compose.Services[name].Command...), grace: grace, log: &bytes.Buffer{}, name: name}
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.log)
		}
	})
	if out, err := n.healthcheck(t, name, "--wait", patience.String()); err != nil {
		t.Fatalf("%s is not ready: %v\n%s", name, err, out)
	}
	return p
}

func (n *native) healthcheck(t *testing.T, name string, more ...string) ([]byte, error) {
	t.Helper()
	test := n.compose.Services[name].Healthcheck.Test[2:] // after CMD and the program
	return n.command(t, append(slices.Clone(test), more...)...).CombinedOutput()
}

// stop is docker compose stop.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(p.grace, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%s did not end in order within %s: %v", p.name, p.grace, err)
	}
}

// cron does what a caller of /api/cron does.
func (n *native) cron(t *testing.T) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.host+":8080/api/cron/database-size?wait=30s", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	client := &http.Client{Timeout: patience}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
