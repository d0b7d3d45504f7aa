// Package testbouncer puts a real PgBouncer between a test and its database.
package testbouncer

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	port       = 6432 // names the socket's file, in a folder of the test's own
	startBound = 20 * time.Second
)

// Opts configures Start. URL is required.
type Opts struct {
	URL   string   // of the database server
	Mode  string   // pool_mode; default session
	Roles []string // that may connect, beside the one of URL
	// Settings are further ones of the section [pgbouncer], or others in place of the test's.
	Settings map[string]string
}

// Start starts a PgBouncer that ends with the test, or with its process, and returns the URL of the database through it.
func Start(tb testing.TB, opts Opts) string {
	tb.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // where Debian has it, which is in the PATH of root only
	}
	server, err := pgx.ParseConfig(opts.URL)
	if err != nil {
		tb.Fatalf("testbouncer: %v", err)
	}
	dir, err := os.MkdirTemp("", "bouncer")
	if err != nil {
		tb.Fatalf("testbouncer: %v", err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, content := range files(dir, server, opts) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			tb.Fatalf("testbouncer: %v", err)
		}
	}
	// The shell ends it when the pipe is closed, which it is at the latest when this process is gone.
	cmd := exec.Command("/bin/sh", "-c", `"$0" pgbouncer.ini </dev/null & read -r _; kill -INT $!; sleep 1; kill -KILL $!`, program)
	cmd.Dir = dir
	if err := runAsOwner(cmd, dir, server.Host); err != nil {
		tb.Fatalf("testbouncer: %v", err)
	}
	stop, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatalf("testbouncer: %v", err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("testbouncer: %v", err)
	}
	tb.Cleanup(func() { _, _ = stop.Close(), cmd.Wait() })
	through := (&url.URL{Scheme: "postgres", Path: "/" + server.Database, RawQuery: url.Values{
		"host": {dir}, "port": {strconv.Itoa(port)}, "user": {server.User},
	}.Encode()}).String()
	wait(tb, dir, through)
	return through
}

func files(dir string, server *pgx.ConnConfig, opts Opts) map[string]string {
	settings := map[string]string{
		"auth_file":       filepath.Join(dir, "users.txt"),
		"auth_type":       "trust",
		"listen_port":     strconv.Itoa(port),
		"logfile":         filepath.Join(dir, "log"),
		"pool_mode":       "session",
		"unix_socket_dir": dir,
	}
	if opts.Mode != "" {
		settings["pool_mode"] = opts.Mode
	}
	maps.Copy(settings, opts.Settings)
	database := fmt.Sprintf("* = host=%s port=%d", server.Host, server.Port)
	var b, users strings.Builder
	fmt.Fprintf(&b, "[databases]\n%s\n[pgbouncer]\n", database)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = %s\n", name, settings[name])
	}
	fmt.Fprintf(&users, "%q %q\n", server.User, server.Password)
	for _, role := range opts.Roles {
		fmt.Fprintf(&users, "%q \"\"\n", role)
	}
	return map[string]string{"pgbouncer.ini": b.String(), "users.txt": users.String()}
}

func wait(tb testing.TB, dir, through string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, through)
		if err == nil {
			_ = conn.Close(ctx)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			tb.Fatalf("testbouncer: pgbouncer does not answer (it is in Debian's package pgbouncer): %v\n%s", err, log)
		}
	}
}
