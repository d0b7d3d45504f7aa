package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/tidemill/tidemill/config"
)

// work is a worker process that takes a new configuration at SIGHUP. prepare, if not nil, is called with each program before
// it works.
func (m *Main) work(ctx context.Context, cfg *config.Config, queues []string, prepare func(context.Context, *App) error) error {
	logger := m.logger(slog.LevelDebug)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for again := false; ; again = true {
		next, err := m.workOnce(ctx, cfg, queues, hangups, logger, func(ctx context.Context, app *App) error {
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
		if err != nil || next == nil || ctx.Err() != nil {
			return err
		}
		cfg = next
	}
}

// workOnce works with one configuration, and returns the next if it was told to take another.
func (m *Main) workOnce(ctx context.Context, cfg *config.Config, queues []string, hangups <-chan os.Signal, logger *slog.Logger,
	prepare func(context.Context, *App) error,
) (*config.Config, error) {
	app, err := m.Open(ctx, cfg, logger, true)
	if err != nil {
		return nil, err
	}
	defer app.Close()
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	if err := prepare(ctx, app); err != nil {
		return nil, err
	}
	var next *config.Config
	reloaded := make(chan struct{})
	go func() {
		defer close(reloaded)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
			}
			found, err := m.reload(cfg, queues)
			if err != nil {
				logger.ErrorContext(ctx, "SIGHUP: the new configuration is refused, the old one stays", "error", err)
				continue
			}
			logger.InfoContext(ctx, "SIGHUP: taking the new configuration when the running jobs have ended")
			next = found
			drain()
			return
		}
	}()
	err = app.Work(ctx, queues)
	drain()
	<-reloaded
	return next, err
}

// reload reads the configuration again. What up found or made for the old one, its database and storage, stays.
func (m *Main) reload(old *config.Config, queues []string) (*config.Config, error) {
	cfg, err := m.loadConfig()
	if err != nil {
		return nil, err
	}
	if cfg.Database.URL == "" {
		cfg.Database.URL = old.Database.URL
	}
	if cfg.Storage.URL == "" {
		cfg.Storage.URL = old.Storage.URL
	}
	return cfg, checkQueues(cfg, queues)
}
