package tidemill

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/workers/kind"
)

const (
	// spareConns are for what a program and the built-in kinds do beside the jobs that run.
	spareConns = 8
	// controlConns are those of River's client beside one for each queue: the ends of jobs, leadership, its maintenance.
	controlConns = 6
	// ownSessions are the one that beats, the one that all other loops share, and the one that deletes what is old.
	ownSessions = 3
)

// limited reports whether database.url says how many connections a pool may have.
func (a *App) limited() bool { return strings.Contains(a.Config.Database.URL, "pool_max_conns=") }

// sizePool gives each job that may run at the same time a connection of its own, unless database.url says otherwise.
func (a *App) sizePool(config *pgxpool.Config, workers int) {
	if !a.limited() {
		config.MaxConns = max(config.MaxConns, int32(workers+spareConns)) //nolint:gosec // at most 10,000 a queue
	}
}

// workPool is for the chunks of jobs. A parallel job, such as an import with several writers, takes a connection for each writer.
// The one whose turn it is must get one, so the engine lets at most half of the pool wait for their turn.
func (a *App) workPool(from *pgxpool.Config, workers int) *pgxpool.Config {
	pool := from.Copy()
	for _, job := range a.Config.Jobs {
		if parallel, ok := job.Spec.(kind.Parallel); ok && parallel.Parallel() {
			workers *= 2
			break
		}
	}
	a.sizePool(pool, workers)
	return pool
}

// controlPool is for River's client: jobs are fetched and their ends stored through it, whatever the jobs do with their own
// connections. Two stay open, so that a server that has none left does not stop what runs from ending.
func (a *App) controlPool(config *pgxpool.Config, queues int) *pgxpool.Config {
	config = config.Copy()
	config.MinConns = 2
	config.MaxConns = int32(queues + controlConns) //nolint:gosec // as many as the file has
	return config
}

func workersOf(queues map[string]int) (n int) {
	for _, workers := range queues {
		n += workers
	}
	return n
}

// checkConns says when connections may become short: jobs would wait for them.
func (a *App) checkConns(ctx context.Context, queues map[string]int) {
	workers := workersOf(queues)
	if max := int(a.Pool.Config().MaxConns); max < workers {
		a.logger.WarnContext(ctx, "database.url allows fewer connections than there are workers; jobs will wait for one: raise or leave out pool_max_conns, or give queues fewer workers",
			"pool_max_conns", max, "workers", workers)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var free int
	err := a.Pool.QueryRow(ctx, `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
		- (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend')`).Scan(&free)
	if err != nil {
		a.logger.WarnContext(ctx, "count the server's free connections", "error", err)
		return
	}
	if need := workers + len(queues) + controlConns + ownSessions; need > free {
		a.logger.WarnContext(ctx, "the server may run out of connections when all workers are busy: raise max_connections, or give queues fewer workers",
			"needed", need, "free", free, "workers", workers)
	}
}
