//go:build linux || darwin

package devdb

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// testBound is far longer than anything here takes on a busy machine.
const testBound = time.Minute

// startTest starts a server that ends with the test.
func startTest(t *testing.T, opts *Opts) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testBound)
	defer cancel()
	db, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testBound)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// sleepIn opens a session that is at work for an hour, and sends how its statement ended.
func sleepIn(t *testing.T, url string) <-chan error {
	t.Helper()
	conn := connect(t, url)
	ended := make(chan error, 1)
	go func() {
		defer conn.Close(context.Background())
		_, err := conn.Exec(t.Context(), "SELECT pg_sleep(3600)")
		ended <- err
	}()
	return ended
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	var value T
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// shortDir is a folder that any user may write to, with a path short enough for a socket in it; that of t.TempDir is
// neither everywhere.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "devdb-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// eventually polls, for what other processes do and cannot announce.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(testBound); time.Now().Before(end); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatalf("after %s it is still not so that %s", testBound, what)
}

// family lists the processes of a server: its group, and its children, which make groups of their own. One that has
// ended and is not collected is not counted.
func family(t *testing.T, pid int) []int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "pgid=", "-o", "stat=").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || strings.HasPrefix(fields[3], "Z") {
			continue
		}
		if id := strconv.Itoa(pid); fields[0] != id && fields[1] != id && fields[2] != id {
			continue
		}
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, n)
	}
	return found
}

// alive says which of the processes have not ended.
func alive(t *testing.T, pids []int) []int {
	t.Helper()
	var living []int
	for _, pid := range pids {
		out, err := exec.CommandContext(t.Context(), "ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
		if stat := strings.TrimSpace(string(out)); err == nil && !strings.HasPrefix(stat, "Z") {
			living = append(living, pid)
		}
	}
	return living
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(list))
	for _, entry := range list {
		names = append(names, entry.Name())
	}
	return names
}

// realPrograms are the ones that the other tests run as well, found or downloaded.
func realPrograms(t *testing.T) programs {
	t.Helper()
	progs, err := findPrograms(t.Context(), &Opts{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return progs
}

// stuckPrograms is a folder with the real postgres and an initdb that says that it has begun, by making a file called
// begun in the folder's parent, and never ends.
func stuckPrograms(t *testing.T) (binDir, begun string) {
	t.Helper()
	root := shortDir(t)
	binDir = filepath.Join(root, "bin")
	begun = filepath.Join(root, "begun")
	if err := os.Mkdir(binDir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n: >'" + begun + "'\nexec sleep 3600\n"
	if err := os.WriteFile(filepath.Join(binDir, "initdb"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(realPrograms(t).postgres(), filepath.Join(binDir, "postgres")); err != nil {
		t.Fatal(err)
	}
	return binDir, begun
}

// mentioning lists the groups of the processes that have text in their arguments.
func mentioning(t *testing.T, text string) []int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-A", "-ww", "-o", "pgid=", "-o", "args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, text) {
			continue
		}
		pgid, err := strconv.Atoi(strings.Fields(line)[0])
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, family(t, pgid)...)
	}
	return found
}
