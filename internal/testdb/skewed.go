package testdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/devdb"
)

// Skewed returns the URL of an empty database on a server of the test's own whose clock is ahead of this machine's; negative:
// behind. It needs libfaketime, which is in Debian's package faketime. A Go program cannot be given another clock that way,
// a PostgreSQL can, and only the difference between the two matters.
func Skewed(tb testing.TB, ahead time.Duration) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	dir, err := skewedPrograms(programs(ctx, tb), ahead)
	if err != nil {
		tb.Fatalf("testdb: a server with another clock: %v", err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	db, err := devdb.Start(ctx, &devdb.Opts{BinDir: dir, TempDir: memoryFolder()})
	if err != nil {
		tb.Fatalf("testdb: a server with another clock: %v", err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("testdb: %v", err)
		}
	})
	return db.URL()
}

// programs is the folder of the server's programs.
func programs(ctx context.Context, tb testing.TB) string {
	tb.Helper()
	if dir := Server(tb).BinDir; dir != "" {
		return dir
	}
	db, err := devdb.Start(ctx, nil) // it knows where they are
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		tb.Fatalf("testdb: look for the server's programs: %v", err)
	}
	return db.BinDir()
}

// skewedPrograms makes a folder with the programs of a server in which postgres runs under libfaketime.
func skewedPrograms(binDir string, ahead time.Duration) (string, error) {
	const library = "/usr/lib/*/faketime/libfaketime.so.1"
	found, err := filepath.Glob(library)
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no %s; on Debian: apt-get install faketime", library)
	}
	dir, err := os.MkdirTemp("", "tidemill-skewed-")
	if err != nil {
		return "", err
	}
	// The server may run as another user.
	err = os.Chmod(dir, 0o755)
	for name, settings := range map[string]string{
		"initdb":   "",
		"postgres": fmt.Sprintf("export LD_PRELOAD='%s' FAKETIME='%+ds' DONT_FAKE_MONOTONIC=1\n", found[0], int64(ahead.Seconds())),
	} {
		script := fmt.Sprintf("#!/bin/sh\n%sexec '%s' \"$@\"\n", settings, filepath.Join(binDir, name))
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755), os.Chmod(filepath.Join(dir, name), 0o755))
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}
