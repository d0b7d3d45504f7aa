//go:build linux || darwin

package devdb

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func TestStartThrowAway(t *testing.T) {
	t.Parallel()
	temp := shortDir(t)
	db := startTest(t, &Opts{TempDir: temp, Settings: map[string]string{"max_connections": "17", "port": "1"}})

	got := map[string]string{}
	for _, name := range []string{"fsync", "listen_addresses", "max_connections", "server_encoding", "synchronous_commit", "timezone"} {
		got[name] = query[string](t, db.URL(), "SELECT current_setting('"+name+"')")
	}
	want := map[string]string{
		"fsync": "off", "listen_addresses": "", "max_connections": "17", "server_encoding": "UTF8",
		"synchronous_commit": "off", "timezone": "UTC",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}

	execute(t, db.URL(), "CREATE DATABASE other")
	if name := query[string](t, db.DatabaseURL("other"), "SELECT current_database()"); name != "other" {
		t.Errorf("DatabaseURL leads to %s", name)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(db.BinDir(), "psql"), db.URL(), "-Atc", "SELECT 6*7").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "42" {
		t.Errorf("psql: %v: %s", err, out)
	}

	processes := family(t, db.server.pid)
	if len(processes) < 3 {
		t.Errorf("family lists %v, which cannot be all", processes)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if left := alive(t, processes); len(left) > 0 {
		t.Errorf("processes %v are left after Close", left)
	}
	if left := entries(t, temp); len(left) > 0 {
		t.Errorf("left after Close: %v", left)
	}
}

func TestStartTCP(t *testing.T) {
	t.Parallel()
	db := startTest(t, &Opts{TCP: true})
	if network := query[string](t, db.URL(), "SELECT host(inet_server_addr())"); network != "127.0.0.1" {
		t.Errorf("connected to %s", network)
	}
	u, err := url.Parse(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("postgres", "wrong")
	conn, err := pgx.Connect(t.Context(), u.String())
	if err == nil {
		conn.Close(t.Context())
		t.Fatal("a wrong password was accepted")
	}
	if !strings.Contains(err.Error(), "28P01") {
		t.Errorf("wrong password: %v", err)
	}
}

func TestStartKeptFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(shortDir(t), "with a space", strings.Repeat("long", 40))
	opts := &Opts{Dir: dir, Durable: true}

	db := startTest(t, opts)
	if got := query[string](t, db.URL(), "SELECT current_setting('fsync') || current_setting('full_page_writes')"); got != "onon" {
		t.Errorf("a durable server has fsync and full_page_writes %s", got)
	}
	execute(t, db.URL(), "CREATE TABLE kept AS SELECT 7 AS x")

	_, err := Start(t.Context(), opts)
	if err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("second server in one folder: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	// With TCP this time: the password is not that of the data's first start.
	again := startTest(t, &Opts{Dir: dir, Durable: true, TCP: true})
	if got := query[int](t, again.URL(), "SELECT x FROM kept"); got != 7 {
		t.Errorf("x = %d after a new start", got)
	}
}

func TestStartRefusesDataOfOtherVersion(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	touch(t, filepath.Join(dir, lockName))
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("99\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), &Opts{Dir: dir, BinDir: realPrograms(t).dir})
	if err == nil || !strings.Contains(err.Error(), "the data is of version 99") {
		t.Errorf("data of version 99: %v", err)
	}
}

func TestStartRefusesFolderOfOtherServer(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	db := startTest(t, &Opts{Dir: dir})
	// The same data by another name, so that the folder's lock is not met first.
	alias := shortDir(t)
	if err := os.Symlink(filepath.Join(dir, "data"), filepath.Join(alias, "data")); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(alias, lockName))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := Start(ctx, &Opts{Dir: alias})
	if err == nil || !strings.Contains(err.Error(), "already as process "+strconv.Itoa(db.server.pid)) {
		t.Errorf("folder of another server: %v", err)
	}
	if got := query[int](t, db.URL(), "SELECT 1"); got != 1 {
		t.Errorf("the other server answers %d", got)
	}
}

// After a container has started again, the number in the file of a server that was killed may be that of anything.
func TestStartDespiteStaleProcessNumber(t *testing.T) {
	t.Parallel()
	opts := &Opts{Dir: shortDir(t)}
	db := startTest(t, opts)
	if err := syscall.Kill(db.server.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(opts.Dir, "data", "postmaster.pid")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	stale := strconv.Itoa(os.Getpid()) + "\n" + rest // PostgreSQL itself does not take its parent for a server
	if err := os.WriteFile(path, []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	again := startTest(t, opts)
	if got := query[int](t, again.URL(), "SELECT 1"); got != 1 {
		t.Errorf("SELECT 1 = %d", got)
	}
}

func TestStartRefusesFolderOfOthers(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	touch(t, filepath.Join(dir, "thesis.txt"))
	_, err := Start(t.Context(), &Opts{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("folder with other things: %v", err)
	}
	if diff := cmp.Diff([]string{"thesis.txt"}, entries(t, dir)); diff != "" {
		t.Errorf("the folder was changed (-want +got):\n%s", diff)
	}
}

func TestStartErrorCarriesLog(t *testing.T) {
	t.Parallel()
	temp := shortDir(t)
	_, err := Start(t.Context(), &Opts{TempDir: temp, Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("unknown setting: %v", err)
	}
	if left := entries(t, temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStartPortTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	h, err := openHome(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.openScratch(""); err != nil {
		t.Fatal(err)
	}
	db := &DB{port: taken.Addr().(*net.TCPAddr).Port, socketDir: h.scratch, tcp: true}
	if db.server, err = launch(h, realPrograms(t), serverArguments(&Opts{TCP: true}, db)); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.server.waitReady(t.Context()); !errors.Is(err, errPortTaken) {
		t.Errorf("start on a port that is taken: %v", err)
	}
}

func TestStartCancelled(t *testing.T) {
	t.Parallel()
	temp := shortDir(t)
	binDir, begun := stuckPrograms(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := Start(ctx, &Opts{BinDir: binDir, TempDir: temp})
		failed <- err
	}()
	eventually(t, "initdb runs", func() bool { _, err := os.Stat(begun); return err == nil })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled start: %v", err)
	}
	if left := entries(t, temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCloseAgain(t *testing.T) {
	t.Parallel()
	db := startTest(t, nil)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestCloseEndsSessions(t *testing.T) {
	t.Parallel()
	db := startTest(t, nil)
	ended := sleepIn(t, db.URL())
	eventually(t, "the session sleeps", func() bool {
		return query[bool](t, db.URL(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
	})
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the statement ended well")
	}
}

func TestCloseAfterServerDied(t *testing.T) {
	t.Parallel()
	temp := shortDir(t)
	db := startTest(t, &Opts{TempDir: temp})
	if err := syscall.Kill(db.server.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if left := entries(t, temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCloseWithoutWatchdog(t *testing.T) {
	t.Parallel()
	temp := shortDir(t)
	db := startTest(t, &Opts{TempDir: temp})
	processes := family(t, db.server.pid)
	for _, pid := range processes {
		// The watchdog is in the group without being its leader; the server's own children have left it.
		group, err := syscall.Getpgid(pid)
		if err != nil || group != db.server.pid || pid == group {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if left := alive(t, processes); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	if left := entries(t, temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
