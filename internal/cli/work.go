package cli

import (
	"context"
	"errors"
	"log/slog"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
)

// work is a worker process that continues with each new configuration. prepare, if not nil, is called with each program before
// it works.
func (m *Main) work(ctx context.Context, cfg *config.Config, queues []string, prepare func(context.Context, *tidemill.App) error) error {
	logger := m.logger(slog.LevelDebug)
	reloads := m.newReloads(logger, func(cfg *config.Config) error { return checkQueues(cfg, queues) })
	defer reloads.stop()
	for again := false; ; again = true {
		next, err := m.workOnce(ctx, cfg, queues, reloads, logger, func(ctx context.Context, app *tidemill.App) error {
			if prepare != nil {
				if err := prepare(ctx, app); err != nil {
					return err
				}
			}
			if !again {
				return nil
			}
			_, err := app.Apply(ctx)
			return err
		})
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil // it was stopped before it had begun to work by this configuration
		}
		if err != nil || next == nil || ctx.Err() != nil {
			return err
		}
		cfg = next
	}
}

// workOnce works with one configuration, and returns the next if it was told to take another.
func (m *Main) workOnce(ctx context.Context, cfg *config.Config, queues []string, reloads *reloads, logger *slog.Logger,
	prepare func(context.Context, *tidemill.App) error,
) (*config.Config, error) {
	app, err := m.connect(ctx, cfg, logger, true)
	if err != nil {
		return nil, err
	}
	defer app.Close()
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	if err := prepare(ctx, app); err != nil {
		return nil, err
	}
	found := make(chan *config.Config, 1)
	go func() {
		next := reloads.next(ctx, cfg)
		if next != nil {
			logger.InfoContext(ctx, "the new configuration is in force when the running jobs have ended or drain_timeout is over")
		}
		found <- next
		drain()
	}()
	err = app.Run(ctx, &tidemill.RunOpts{Queues: queues})
	drain()
	return <-found, err
}
