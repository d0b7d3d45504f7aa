package session

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/testdb"
)

// bundle is a database, and a Keeper whose sessions are called ours.
type bundle struct {
	t      *testing.T
	pool   *pgxpool.Pool
	keeper *Keeper
}

func setup(t *testing.T) *bundle {
	t.Helper()
	url := testdb.URL(t)
	b := &bundle{t: t, pool: testdb.Pool(t, url)}
	b.keeper = b.newKeeper("ours")
	return b
}

func (b *bundle) newKeeper(name string) *Keeper {
	b.t.Helper()
	config := b.pool.Config().ConnConfig
	config.RuntimeParams["application_name"] = name
	k := NewKeeper(config, nil)
	b.t.Cleanup(k.Close)
	return k
}

// pid uses a session, and returns which one that was.
func (b *bundle) pid() uint32 {
	b.t.Helper()
	var pid uint32
	if err := b.keeper.Use(b.t.Context(), func(_ context.Context, conn *pgx.Conn) error { pid = conn.PgConn().PID(); return nil }); err != nil {
		b.t.Fatal(err)
	}
	return pid
}

// kill ends the sessions of that name and waits until they are gone.
func (b *bundle) kill(name string) {
	b.t.Helper()
	var killed int
	err := b.pool.QueryRow(b.t.Context(), `SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
		WHERE application_name = $1 AND datname = current_database()`, name).Scan(&killed)
	if err != nil || killed != 1 {
		b.t.Fatalf("%d sessions of %s ended (%v), want 1", killed, name, err)
	}
}

// want waits until that many sessions have that name: the server ends one a little after it was closed.
func (b *bundle) want(n int, name string) {
	b.t.Helper()
	var got int
	eventually(b.t, func() bool {
		err := b.pool.QueryRow(b.t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()`, name).Scan(&got)
		if err != nil {
			b.t.Fatal(err)
		}
		return got == n
	}, func() { b.t.Errorf("%d sessions are called %s, want %d", got, name, n) })
}

// eventually waits until ok, and after too long calls failed.
func eventually(t *testing.T, ok func() bool, failed func()) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			failed()
			return
		}
	}
}

// What went wrong costs the session if that is of no use any more, and the next use opens another.
func TestReconnect(t *testing.T) {
	t.Parallel()
	statement := func(sql string) func(context.Context, *bundle, *pgx.Conn) error {
		return func(ctx context.Context, _ *bundle, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, sql)
			return err
		}
	}
	tests := []struct {
		name string
		do   func(context.Context, *bundle, *pgx.Conn) error
		code string // of the error that the caller sees; "-": another error, "": none
		same bool   // the session stays
	}{
		{"nothing", statement(`SELECT 1`), "", true},
		{"an error of a statement", statement(`SELECT 1/0`), "22012", true},
		{"a statement that took too long", func(ctx context.Context, b *bundle, conn *pgx.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				return errors.Join(statement(`SET LOCAL statement_timeout = 1`)(ctx, b, conn), statement(`SELECT pg_sleep(60)`)(ctx, b, conn))
			})
		}, "57014", true},
		{"the session ends itself", statement(`SELECT pg_terminate_backend(pg_backend_pid())`), "57P01", false},
		{"ended before a statement", func(ctx context.Context, b *bundle, conn *pgx.Conn) error {
			b.kill("ours")
			if err := statement(`SELECT 1`)(ctx, b, conn); err == nil {
				return nil
			}
			return errors.New("lost") // in words that depend on who notices first
		}, "-", false},
		{"a server that only reads", statement(`DO $$ BEGIN RAISE SQLSTATE '25006'; END $$`), "25006", false},
		{"a transaction that stays open", statement(`BEGIN`), "", false},
		{"the time of the caller is over", func(ctx context.Context, b *bundle, conn *pgx.Conn) error {
			ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			return statement(`SELECT pg_sleep(60)`)(ctx, b, conn)
		}, "-", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			before := b.pid()
			err := b.keeper.Use(t.Context(), func(ctx context.Context, conn *pgx.Conn) error { return tt.do(ctx, b, conn) })
			if got := codeOf(err); got != tt.code {
				t.Errorf("error %v, want %q", err, tt.code)
			}
			if after := b.pid(); (after == before) != tt.same {
				t.Errorf("session %d before, %d after; the same: want %t", before, after, tt.same)
			}
		})
	}
}

func codeOf(err error) string {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &pg):
		return pg.Code
	}
	return "-"
}

// A server that lets nobody in is tried again at the next use.
func TestNoConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var away atomic.Bool
	away.Store(true)
	b.keeper.config.ValidateConnect = func(context.Context, *pgconn.PgConn) error {
		if away.Load() {
			return errors.New("the database system is starting up")
		}
		return nil
	}
	for range 3 {
		if err := b.keeper.Use(t.Context(), func(context.Context, *pgx.Conn) error { t.Error("used"); return nil }); err == nil {
			t.Error("no error")
		}
	}
	away.Store(false)
	b.pid()
}

// A loop that finds the session in use, by another loop or by who leads, gets another one, which is gone when it has used that.
func TestNobodyWaitsForALongStatement(t *testing.T) {
	t.Parallel()
	type use = func(context.Context, func(context.Context, *pgx.Conn) error) error
	for name, with := range map[string]func(*Keeper) use{
		"loop":   func(k *Keeper) use { return k.Use },
		"leader": func(k *Keeper) use { return k.Role(locks).Lead },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			first := b.pid()
			began, end, ended := make(chan struct{}), make(chan struct{}), make(chan error)
			go func() {
				ended <- with(b.keeper)(t.Context(), func(context.Context, *pgx.Conn) error {
					close(began)
					<-end
					return nil
				})
			}()
			<-began
			if second := b.pid(); second == first {
				t.Errorf("session %d is used twice at once", first)
			}
			b.want(1, "ours")
			close(end)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if got := b.pid(); got != first {
				t.Errorf("session %d is used, want %d again", got, first)
			}
			b.want(1, "ours")
		})
	}
}

// A session takes the settings as they are when it is used, also one that was opened before.
func TestSettingsOfTheTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	name := ""
	b.keeper.settings = func() map[string]string {
		if name == "" {
			return nil
		}
		return map[string]string{"application_name": name}
	}
	first := b.pid()
	for _, name = range []string{"one", "two", "two"} {
		if got := b.pid(); got != first {
			t.Errorf("session %d, want %d renamed", got, first)
		}
		b.want(1, name)
	}
	b.kill("two")
	_ = b.keeper.Use(t.Context(), func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
	b.pid()
	b.want(1, "two")
}

// A statement that takes too long is ended by the server, before the step is and with it the session.
func TestTheServerEndsALongStatementFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var bound time.Duration
	err := b.keeper.Use(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT current_setting('statement_timeout')::interval`).Scan(&bound)
	})
	if err != nil || bound <= 0 || bound >= stepTimeout {
		t.Errorf("the server ends a statement after %s, and a step is ended after %s (%v)", bound, stepTimeout, err)
	}
}

// What has begun when its loop is to end may end, and costs nobody the session.
func TestALoopThatEndsKeepsTheSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.pid()
	ctx, cancel := context.WithCancel(t.Context())
	err := b.keeper.Use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		cancel()
		_, err := conn.Exec(ctx, `SELECT 1`)
		return err
	})
	if got := b.pid(); err != nil || got != first {
		t.Errorf("session %d after %d (%v)", got, first, err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	err = b.keeper.Use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		cancel()
		_, err := conn.Exec(ctx, `SELECT pg_sleep(60)`)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a statement that does not end: %v", err)
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shared, done := Share(b.keeper, nil)
	b.pid()
	done()
	own, doneOwn := Share(nil, b.pool.Config().ConnConfig)
	defer doneOwn()
	if shared != b.keeper || own == b.keeper {
		t.Error("not the given one, or no other")
	}
	b.want(1, "ours")
	b.keeper.Close()
	b.keeper.Close()
	b.want(0, "ours")
}
