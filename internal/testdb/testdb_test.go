package testdb

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestURLIsEmptyAndOwn(t *testing.T) {
	t.Parallel()
	a, b := URL(t), URL(t)
	poolA, poolB := Pool(t, a), Pool(t, b)
	mustExec(t, poolA, "CREATE TABLE mark ()")
	mustExec(t, poolB, "CREATE TABLE mark ()") // fails if it is the same database
}

func TestURLIsDropped(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("user of a database", func(t *testing.T) {
		url := URL(t)
		name = databaseName(t, url)
		// A connection that a test forgets does not keep its database.
		if _, err := pgx.Connect(context.Background(), url); err != nil {
			t.Fatal(err)
		}
	})
	if exists(t, mustServer(t), name) {
		t.Errorf("%s outlived its test", name)
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	name := newKey() // a new template for each run of the test in one process
	var calls atomic.Int32
	prepare := func(ctx context.Context, url string) error {
		calls.Add(1)
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "CREATE TABLE mark (x int); INSERT INTO mark VALUES (7)")
		return err
	}
	t.Run("copies", func(t *testing.T) {
		for range 4 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				var x int
				pool := Pool(t, Template(t, name, prepare))
				if err := pool.QueryRow(t.Context(), "DELETE FROM mark RETURNING x").Scan(&x); err != nil {
					t.Fatal(err)
				}
				if x != 7 {
					t.Errorf("x = %d, want 7", x)
				}
			})
		}
	})
	if n := calls.Load(); n != 1 {
		t.Errorf("the template was prepared %d times", n)
	}
}

func TestTemplateThatFails(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	name := newKey()
	broken := errors.New("broken")
	for range 2 {
		if _, err := s.template(name, func(context.Context, string) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
	}
}

func TestTemplateWhosePrepareDoesNotReturn(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	name := newKey()
	func() {
		defer func() { _ = recover() }()
		_, _ = s.template(name, func(context.Context, string) error { panic("prepare") })
	}()
	prepare := func(context.Context, string) error { return nil }
	if database, err := s.template(name, prepare); err == nil {
		t.Errorf("got the template %q although it was not prepared", database)
	}
}

func TestClosePoolNamesHeldConnections(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), URL(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := closePool(pool, time.Millisecond); err == nil || !strings.Contains(err.Error(), "1 connections") {
		t.Errorf("pool with a held connection: %v", err)
	}
}

func TestGivenServer(t *testing.T) {
	t.Parallel()
	private, err := startServer(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { private.db.Close() })
	given := private.url
	living, err := startServer(t.Context(), given)
	if err != nil {
		t.Fatal(err)
	}
	inUse, err := living.create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	killed, err := startServer(t.Context(), given)
	if err != nil {
		t.Fatal(err)
	}
	stale, err := killed.create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.owner.Close(t.Context()); err != nil { // as if its process had ended
		t.Fatal(err)
	}
	// The session ends a moment after its connection.
	awaitEnd(t, living, prefix+killed.key)

	if _, err := startServer(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	if exists(t, living, stale) {
		t.Errorf("%s of a binary that has ended was not dropped", stale)
	}
	if !exists(t, living, inUse) {
		t.Errorf("%s of a living binary was dropped", inUse)
	}
}

func TestKeyOf(t *testing.T) {
	t.Parallel()
	key := newKey()
	tests := map[string]bool{
		prefix + key + "_12":          true,
		prefix + key:                  false,
		prefix + key + "_12_copy":     false,
		prefix + "of_my_own_1":        false,
		"x" + prefix + key + "_1":     false,
		prefix + key[1:] + "g" + "_1": false,
	}
	for name, ours := range tests {
		got, ok := keyOf(name)
		if ok != ours || (ours && got != key) {
			t.Errorf("keyOf(%q) = %q, %t", name, got, ok)
		}
	}
}

func TestDatabaseURL(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	want := map[string]string{
		"postgres://u:p@host:5433/app?sslmode=disable": "postgres://u:p@host:5433/new?sslmode=disable",
		"postgres:///app?host=%2Ftmp%2Fx&user=u":       "postgres:///new?host=%2Ftmp%2Fx&user=u",
		"postgres://host":                              "postgres://host/new",
		"host=/tmp/x dbname=app":                       "host=/tmp/x dbname=app dbname=new",
	}
	for url := range want {
		got[url] = (&server{url: url}).databaseURL("new")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("URLs (-want +got):\n%s", diff)
	}
}

// awaitEnd returns when no session is called name any more.
func awaitEnd(t *testing.T, s *server, name string) {
	t.Helper()
	for {
		var there bool
		err := s.owner.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)", name).Scan(&there)
		if err != nil {
			t.Fatal(err)
		}
		if !there {
			return
		}
	}
}

func mustExec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func databaseName(t *testing.T, url string) string {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return config.Database
}

func exists(t *testing.T, s *server, name string) bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var found bool
	if err := conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestSkewed(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			pool := Pool(t, Skewed(t, ahead))
			var now time.Time
			if err := pool.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&now); err != nil {
				t.Fatal(err)
			}
			if got := time.Until(now); (got - ahead).Abs() > time.Minute {
				t.Errorf("it is ahead by %s, want %s", got, ahead)
			}
		})
	}
}
