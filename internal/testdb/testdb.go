// Package testdb gives tests PostgreSQL databases of their own.
//
// All tests of one binary share one server: that of DATABASE_URL, whose role must be allowed to create databases, or
// else a private one that is started by the first test that asks and ends with the process. Nothing runs in the
// background here, so that detectors of leaked goroutines see only what is the test's.
//
// The databases of tests are dropped when the tests end, templates by the next test binary that uses the server.
package testdb

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	startBound   = 5 * time.Minute // a first start may download the server
	queryBound   = time.Minute
	releaseBound = 10 * time.Second
)

// shared is the one server of this test binary. It is a global because a test binary has no owner that could hand it
// from test to test: TestMain is optional, and belongs to the package under test.
var shared = sync.OnceValues(func() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	return startServer(ctx, os.Getenv("DATABASE_URL"))
})

// Info describes the server of this test binary.
type Info struct {
	BinDir string // folder of the server's programs; "" if the server is that of DATABASE_URL
	URL    string // administrative database
}

// Server returns the server of this test binary, started if need be.
func Server(tb testing.TB) Info {
	tb.Helper()
	s := mustServer(tb)
	return Info{BinDir: s.binDir, URL: s.url}
}

// URL returns the URL of a new, empty database, which is dropped at the end of the test.
func URL(tb testing.TB) string {
	tb.Helper()
	return mustServer(tb).cloneFor(tb, "")
}

// Encoded returns the URL of a new, empty database of that encoding, which is dropped at the end of the test.
func Encoded(tb testing.TB, encoding string) string {
	tb.Helper()
	return mustServer(tb).cloneFor(tb, "template0 ENCODING '"+encoding+"' LC_COLLATE 'C' LC_CTYPE 'C'")
}

// Template returns the URL of a new copy of the template called name, which is dropped at the end of the test. The
// first call with a name makes the template: prepare gets the URL of an empty database and must leave no connection to
// it open. The others wait for that, and fail as well if prepare failed.
func Template(tb testing.TB, name string, prepare func(ctx context.Context, url string) error) string {
	tb.Helper()
	s := mustServer(tb)
	template, err := s.template(name, prepare)
	if err != nil {
		tb.Fatalf("testdb: template %s: %v", name, err)
	}
	return s.cloneFor(tb, template)
}

// Pool returns a pool of connections to url, closed at the end of the test. A test that still holds a connection then
// fails.
func Pool(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		tb.Fatalf("testdb: pool: %v", err)
	}
	tb.Cleanup(func() {
		if err := closePool(pool, releaseBound); err != nil {
			tb.Errorf("testdb: %v", err)
		}
	})
	return pool
}

// closePool bounds Close, which waits for connections that are held forever.
func closePool(pool *pgxpool.Pool, bound time.Duration) error {
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-time.After(bound):
		return fmt.Errorf("%d connections of the pool were not released within %s of the end of the test", pool.Stat().AcquiredConns(), bound)
	}
}

func mustServer(tb testing.TB) *server {
	tb.Helper()
	s, err := shared()
	if err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	return s
}
