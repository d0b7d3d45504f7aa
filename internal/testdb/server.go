package testdb

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/tidemill/tidemill/internal/devdb"
)

const (
	prefix   = "tidemill_test_"
	keyBytes = 8
)

// server creates and drops databases. Their names start with prefix and key, so that test binaries that share a server
// do not meet.
type server struct {
	binDir string
	db     *devdb.DB // nil if the server is that of DATABASE_URL; keeps the private one alive
	key    string
	last   atomic.Int64 // number of the last database
	owner  *pgx.Conn    // shows that key is in use; nil on a private server
	url    string

	mu        sync.Mutex
	templates map[string]*template
}

type template struct {
	once     sync.Once
	database string
	err      error
}

// startServer uses the server of the URL given, or starts a private one if that is "".
func startServer(ctx context.Context, given string) (*server, error) {
	s := &server{key: newKey(), templates: map[string]*template{}}
	if given != "" {
		s.url = given
		if err := s.takeKey(ctx); err != nil {
			return nil, fmt.Errorf("server of DATABASE_URL: %w", err)
		}
		return s, nil
	}
	db, err := devdb.Start(ctx, &devdb.Opts{
		Settings: map[string]string{
			"max_connections": "300", "max_prepared_transactions": "20",
			"max_wal_size": "256MB", // the folder may be in memory
		},
		TempDir: memoryFolder(),
	})
	if err != nil {
		return nil, err
	}
	s.binDir = db.BinDir()
	s.db = db
	s.url = db.URL()
	return s, nil
}

// takeKey shows the key as the name of a session that lives as long as this process, and drops what test binaries that
// were killed left behind: databases whose key no session shows. An advisory lock would not do, as it belongs to one
// database, and two binaries may name different ones of the same server.
func (s *server) takeKey(ctx context.Context) error {
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		return err
	}
	config.RuntimeParams["application_name"] = prefix + s.key
	config.RuntimeParams["idle_session_timeout"] = "0"
	if s.owner, err = pgx.ConnectConfig(ctx, config); err != nil {
		return err
	}
	rows, err := s.owner.Query(ctx, `
		SELECT datname
		FROM pg_database
		WHERE starts_with(datname, $1) AND pg_get_userbyid(datdba) = current_user`, prefix)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.dropStale(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) dropStale(ctx context.Context, name string) error {
	key, ok := keyOf(name)
	if !ok {
		return nil
	}
	var live bool
	err := s.owner.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)", prefix+key).Scan(&live)
	if err != nil || live {
		return err
	}
	_, err = s.owner.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	return err
}

func newKey() string {
	var key [keyBytes]byte
	_, _ = rand.Read(key[:]) // never fails
	return hex.EncodeToString(key[:])
}

// namePattern is strict, for a database whose name it matches may be dropped.
var namePattern = regexp.MustCompile(`^` + prefix + `([0-9a-f]{16})_[0-9]+$`)

// keyOf is the key in the name of a database, false if that is not one of ours.
func keyOf(name string) (string, bool) {
	m := namePattern.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// template returns the name of the database that prepare has filled.
func (s *server) template(name string, prepare func(ctx context.Context, url string) error) (string, error) {
	s.mu.Lock()
	t := s.templates[name]
	if t == nil {
		t = &template{}
		s.templates[name] = t
	}
	s.mu.Unlock()
	t.once.Do(func() {
		t.err = errors.New("prepare did not return") // it panicked, or ended the test that called it
		t.database, t.err = s.makeTemplate(prepare)
	})
	return t.database, t.err
}

func (s *server) makeTemplate(prepare func(ctx context.Context, url string) error) (string, error) {
	// Not a test's context: a template outlives the test that happens to make it.
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	database, err := s.create(ctx, "")
	if err != nil {
		return "", err
	}
	if err := prepare(ctx, s.databaseURL(database)); err != nil {
		return "", fmt.Errorf("prepare: %w", err)
	}
	return database, nil
}

func (s *server) cloneFor(tb testing.TB, template string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), queryBound)
	defer cancel()
	database, err := s.create(ctx, template)
	if err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.drop(database); err != nil {
			tb.Errorf("testdb: %v", err)
		}
	})
	return s.databaseURL(database)
}

// create makes a database as a copy of template, or an empty one if that is "". Options may follow the name.
func (s *server) create(ctx context.Context, template string) (string, error) {
	database := prefix + s.key + "_" + strconv.FormatInt(s.last.Add(1), 10)
	sql := "CREATE DATABASE " + pgx.Identifier{database}.Sanitize()
	if template == "" {
		template = "template0" // nobody can be connected to it, which would refuse the copy
	}
	name, more, _ := strings.Cut(template, " ")
	sql += " TEMPLATE " + pgx.Identifier{name}.Sanitize() + " " + more
	if err := s.exec(ctx, sql); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return database, nil
}

func (s *server) drop(database string) error {
	ctx, cancel := context.WithTimeout(context.Background(), queryBound)
	defer cancel()
	return s.exec(ctx, "DROP DATABASE "+pgx.Identifier{database}.Sanitize()+" WITH (FORCE)")
}

// exec uses a connection of its own: tests run side by side, and a pool would leave goroutines to leak detectors.
func (s *server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}

func (s *server) databaseURL(name string) string {
	u, err := url.Parse(s.url)
	if err != nil || u.Scheme == "" {
		return s.url + " dbname=" + name // keywords and values; the last dbname counts
	}
	u.Path = "/" + name
	return u.String()
}
