package migrations_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/migrations"
)

// live is a database that is in use and lacks its newest steps.
type live struct {
	url  string
	pool *pgxpool.Pool
}

const begins = `SELECT tidemill.start('j')`

// aged takes the steps after a version back.
func aged(t *testing.T, version int) *live {
	t.Helper()
	url := testdb.URL(t)
	l := &live{url: url, pool: testdb.Pool(t, url)}
	if _, err := migrations.Up(t.Context(), l.pool, migrations.Schema{}, nil); err != nil {
		t.Fatal(err)
	}
	status, err := migrations.Get(t.Context(), l.pool, migrations.Schema{})
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, step := range status.Steps {
		if step.Version > version {
			steps++
		}
	}
	if _, err := migrations.Down(t.Context(), l.pool, migrations.Schema{}, steps); err != nil {
		t.Fatal(err)
	}
	if _, err := l.pool.Exec(t.Context(), `INSERT INTO tidemill.job (name, kind, args, args_nested, queue, priority, max_attempts, is_unique)
		VALUES ('j', 'k', '{}', false, 'default', 1, 1, false)`); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *live) begin(t *testing.T, statement string) pgx.Tx {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), l.url+"&application_name=shop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	return tx
}

// starts starts jobs, one after another, until ctx ends, and returns how many and how long the slowest took.
func (l *live) starts(ctx context.Context, t *testing.T) (n int, slowest time.Duration) {
	for ctx.Err() == nil {
		began := time.Now()
		err := pgx.BeginFunc(context.Background(), l.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(context.Background(), begins)
			return err
		})
		if err != nil {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		n, slowest = n+1, max(slowest, time.Since(began))
	}
	return n, slowest
}

// Steps that wait for one open transaction hold up nobody else for long, deadlock with nobody, and are applied when it ends.
func TestUpBehindAnOpenTransaction(t *testing.T) {
	t.Parallel()

	l := aged(t, 3) // the start of a job needs no more
	// The second keeps one of the tables that 005 locks, and asks for the other one later.
	open := []pgx.Tx{l.begin(t, begins), l.begin(t, `SELECT FROM tidemill.event`)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	const hold, bound = 8 * time.Second, 5500 * time.Millisecond // a try that waits 4 s, and a slow machine
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			n, slowest := l.starts(ctx, t)
			if n < 4 || slowest > bound {
				t.Errorf("%d starts, the slowest took %s", n, slowest)
			}
			t.Logf("%d starts, the slowest took %s", n, slowest)
		})
	}
	wait.Go(func() {
		<-time.After(hold)
		for _, tx := range open { // they want more while the migration waits for them
			if _, err := tx.Exec(t.Context(), begins); err != nil {
				t.Errorf("the open transaction: %v", err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Errorf("the open transaction: %v", err)
			}
		}
	})
	began := time.Now()
	var said strings.Builder
	applied, err := migrations.Up(t.Context(), l.pool, migrations.Schema{}, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil || len(applied) != 2 {
		t.Errorf("%d steps: %v", len(applied), err)
	}
	if took := time.Since(began); took < hold {
		t.Errorf("it has waited for nobody: %s", took)
	}
	stop()
	wait.Wait()
	for _, want := range []string{"waits for a lock", "session ", "(shop)", "holds ", "idle in transaction"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("it does not say %q: %s", want, said.String())
		}
	}
}

// What cannot be had is given up, and whoever reads the error knows whom to ask; nothing has changed then.
func TestUpSaysWhoHoldsTheLock(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		hold func(*testing.T, *live)
		want []string
	}{
		{"session", func(t *testing.T, l *live) { l.begin(t, begins) }, []string{"session ", "(shop)", "holds job, river_job, river_queue, run, setting since ", "idle in transaction: SELECT tidemill.start('j')"}},
		{"prepared transaction", func(t *testing.T, l *live) {
			tx := l.begin(t, `SELECT tidemill.start('j', notify => false)`)
			if _, err := tx.Exec(t.Context(), `PREPARE TRANSACTION 'order 17'`); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = l.pool.Exec(context.Background(), `ROLLBACK PREPARED 'order 17'`) })
		}, []string{`prepared transaction "order 17" of role `}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := aged(t, 4) // the next one is 005, which alters river_job and event
			tt.hold(t, l)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := migrations.Up(ctx, l.pool, migrations.Schema{}, nil)
			var blocked *migrations.BlockedError
			if !errors.As(err, &blocked) {
				t.Fatal(err)
			}
			for _, want := range append(tt.want, "migration 005_children: others held a lock on its tables for ", "nothing was changed") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nwant %s", err, want)
				}
			}
		})
	}
}

// Nobody who may only connect keeps others from migrating.
func TestUpNeedsNoAdvisoryLock(t *testing.T) {
	t.Parallel()

	l := aged(t, 3)
	conn, err := l.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	const key = -489771686060574848 // once taken by whoever migrates
	if _, err := conn.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, int64(key)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if applied, err := migrations.Up(ctx, l.pool, migrations.Schema{}, nil); err != nil || len(applied) == 0 {
		t.Errorf("%d steps, %v", len(applied), err)
	}
}
