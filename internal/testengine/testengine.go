// Package testengine gives tests a migrated database and a River client that works on it, as a worker process would.
package testengine

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/migrations"
)

// URL returns the URL of a migrated database of the test's own.
func URL(tb testing.TB) string {
	tb.Helper()
	return testdb.Template(tb, "migrated", func(ctx context.Context, url string) error {
		pool, err := pgxpool.New(ctx, url)
		if err != nil {
			return err
		}
		defer pool.Close()
		_, err = migrations.Up(ctx, pool, migrations.Schema{}, nil)
		return err
	})
}

// Engine is a client at work, and what steers it.
type Engine struct {
	Pool   *pgxpool.Pool
	Client *river.Client[pgx.Tx]
	Engine *batch.Engine
	Ledger *batch.Ledger
	URL    string
}

// Logger writes warnings into the test's log.
func Logger(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{tb}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type testWriter struct{ tb testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.tb.Helper()
	w.tb.Log(string(p))
	return len(p), nil
}

// Start returns a client that works what register adds, stopped at the end of the test. The database is a new one unless
// url is given. Each of configure may change the client's configuration, such as add a plugin.
func Start(tb testing.TB, url string, register func(*river.Workers), configure ...func(*river.Config)) *Engine {
	tb.Helper()
	if url == "" {
		url = URL(tb)
	}
	pool := testdb.Pool(tb, url)
	engine := batch.New(batch.Opts{Pool: pool, Logger: slog.New(slog.DiscardHandler)})
	workers := river.NewWorkers()
	register(workers)
	cfg := &river.Config{
		FetchCooldown:     time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Logger:            slog.New(slog.DiscardHandler),
		Plugins:           []rivertype.Plugin{engine},
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		Schema:            migrations.DefaultSchema,
		SoftStopTimeout:   5 * time.Second,
		Workers:           workers,
	}
	for _, change := range configure {
		change(cfg)
	}
	client, err := river.NewClient(riverpgxv5.New(pool), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := client.Start(context.Background()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		engine.Drain()
		if err := client.StopAndCancel(ctx); err != nil {
			tb.Errorf("stop the client: %v", err)
		}
	})
	return &Engine{Pool: pool, Client: client, Engine: engine, Ledger: batch.NewLedger(pool, migrations.Schema{}, client), URL: url}
}

// WaitStatus waits until the run has one of the statuses and returns it; it fails the test after two minutes. If that is a
// final one it waits for River, too, which hears of the end a moment later.
func (e *Engine) WaitStatus(tb testing.TB, id int64, want ...batch.Status) *batch.Info {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var last *batch.Info
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := e.Ledger.Get(ctx, id)
		if err != nil {
			tb.Fatalf("run %d: %v (last seen: %+v, wanted %v)", id, err, last, want)
		}
		for _, status := range want {
			if info.Status == status && (!status.Final() || e.riverKnows(ctx, tb, id)) {
				return info
			}
		}
		last = info
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("run %d is %s (error %v), wanted %v", id, last.Status, last.Error, want)
		}
	}
}

// riverKnows reports whether River's job of a run has ended, or is gone.
func (e *Engine) riverKnows(ctx context.Context, tb testing.TB, id int64) (ended bool) {
	tb.Helper()
	err := e.Pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM tidemill.river_job WHERE id = $1 AND finalized_at IS NULL)`, id).Scan(&ended)
	if err != nil {
		tb.Fatal(err)
	}
	return ended
}
