package tidemill

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// lookOthers is how often a worker that has not applied its configuration looks whether it may.
const lookOthers = 2 * time.Second

// otherConfigs reports whether live workers have another configuration.
func (a *App) otherConfigs(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) (others bool, err error) {
	err = db.QueryRow(ctx, a.schema.SQL(`SELECT EXISTS (
		SELECT FROM {tidemill}.process WHERE fenced_at IS NULL AND config NOT IN ('', $1) AND beat_at > now() - interval '1 minute')`),
		a.Config.Hash()).Scan(&others)
	if err != nil {
		return false, fmt.Errorf("look for workers with another configuration: %w", err)
	}
	return others, nil
}

// applyLater applies the configuration when the last worker with another one has left, or until the function that it returns is
// called. In a rolling deploy these are the old ones; after a rollback, the new ones.
func (a *App) applyLater(ctx context.Context) (stop func()) {
	a.logger.InfoContext(ctx, "workers with another configuration are alive; that of this one is applied when the last of them has left, or by: tidemill config apply")
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(lookOthers)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if a.applyIfAlone(ctx) {
				return
			}
		}
	})
	return func() { cancel(); wait.Wait() }
}

// applyIfAlone reports whether the configuration is applied. It takes the lock for that only when it may well be.
func (a *App) applyIfAlone(ctx context.Context) bool {
	others, err := a.otherConfigs(ctx, a.Pool)
	done := false
	if err == nil && !others {
		_, done, err = a.apply(ctx, false)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		a.logger.WarnContext(ctx, "apply the configuration, now that it is this worker's turn", "error", err)
	case done:
		a.logger.InfoContext(ctx, "the last worker with another configuration has left; the configuration is applied")
	}
	return done
}
