package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/devdb"
)

// standby starts one that follows the server.
func (s *ownServer) standby(t *testing.T) *ownServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "tm-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	standby := &ownServer{opts: devdb.Opts{Dir: filepath.Join(dir, "pg"), Durable: true, Settings: s.opts.Settings}, link: filepath.Join(dir, "socket")}
	standby.start(t) // for its folders only
	t.Cleanup(func() { _ = standby.db.Close(); _ = os.RemoveAll(dir) })
	if err := standby.db.Close(); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(standby.opts.Dir, "data")
	config, err := pgx.ParseConfig(s.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{
		exec.Command("find", data, "-mindepth", "1", "-delete"),
		exec.Command(filepath.Join(s.db.BinDir(), "pg_basebackup"), "-D", data, "-R", "-X", "stream", "-c", "fast",
			"-d", fmt.Sprintf("host=%s port=%d user=%s application_name=standby", config.Host, config.Port, config.User)),
	} {
		asServerUser(cmd, data)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	standby.start(t)
	return standby
}

// waitFor makes each commit of the server wait for the standby.
func (s *ownServer) waitFor(t *testing.T, standby *ownServer) {
	t.Helper()
	s.configure(t, `ALTER SYSTEM SET synchronous_standby_names = 'standby'`)
	waitTrue(t, pool(t, s.url(t)), `SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')`)
}

// cutOff lets the standby have all there is at the moment, and nothing that comes.
func (s *ownServer) cutOff(t *testing.T, standby *ownServer) {
	t.Helper()
	from, to := pool(t, s.url(t)), pool(t, standby.url(t))
	var written string
	if err := from.QueryRow(context.Background(), `SELECT pg_current_wal_flush_lsn()::text`).Scan(&written); err != nil {
		t.Fatal(err)
	}
	waitTrue(t, to, `SELECT pg_last_wal_replay_lsn() >= '`+written+`'`)
	standby.configure(t, `ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'`)
	waitTrue(t, from, `SELECT NOT EXISTS (SELECT FROM pg_stat_replication)`)
}

// promote makes a standby the primary.
func (s *ownServer) promote(t *testing.T) { s.configure(t, `SELECT pg_promote(true)`) }

// configure runs a statement and has the server read its settings again.
func (s *ownServer) configure(t *testing.T, statement string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.url(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range []string{statement, `SELECT pg_reload_conf()`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
}
