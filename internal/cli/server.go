package cli

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/config"
)

func (m *Main) serverCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "server",
		Short: "Serve HTTP",
		Long: `Serves HTTP at server.listen (default 127.0.0.1:8080) until it is stopped:

  GET|POST /api/cron/SCHEDULE   starts the job of a schedule, for whoever sends "Authorization: Bearer" and server.cron_secret;
                                answers 202 with the run; with ?wait=30s it waits for the end: 200 succeeded, 500 failed.
                                Asked again within a minute it answers with the same run.
  GET      /livez, /readyz      probes

SIGTERM or Ctrl-C: ends open requests within 10 s. SIGHUP: reads the configuration again and serves by it: another address is
opened before the old one is closed, and open requests continue to their end. One with a mistake is refused, and nothing changes.`,
		Example: `  tidemill server
  curl -H "Authorization: Bearer $CRON_SECRET" http://127.0.0.1:8080/api/cron/daily-report?wait=30s`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := m.loadDatabaseConfig()
			if err != nil {
				return err
			}
			if err := checkListens(cfg); err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context(), m.Stderr)
			defer stop()
			return m.serve(ctx, cfg)
		},
	}
}

// checkListens refuses a server without an address.
func checkListens(cfg *config.Config) error {
	if cfg.Server.Listen == "" {
		return withHint(errors.New("server.listen is empty"), `give it an address, for example server: {listen: "127.0.0.1:8080"}`)
	}
	return nil
}

// serve serves one configuration after the other until ctx ends.
func (m *Main) serve(ctx context.Context, cfg *config.Config) error {
	logger := m.logger(slog.LevelDebug)
	site := m.newSite(logger)
	if err := site.take(ctx, cfg); err != nil {
		return err
	}
	reloads := m.newReloads(logger, checkListens)
	defer reloads.stop()
	for {
		next, err := m.serveOne(ctx, cfg, site, reloads)
		if next == nil {
			return errors.Join(err, site.close())
		}
		if err := site.take(ctx, next); err != nil {
			logger.ErrorContext(ctx, "the new configuration is refused, the old one stays", "error", err)
			continue
		}
		cfg = next
	}
}

// serveOne returns the configuration that comes next, or nil when ctx or the server has ended.
func (m *Main) serveOne(ctx context.Context, cfg *config.Config, site *site, reloads *reloads) (*config.Config, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := make(chan *config.Config, 1)
	go func() { found <- reloads.next(ctx, cfg) }()
	select {
	case next := <-found:
		return next, nil
	case err := <-site.failed:
		cancel()
		<-found
		return nil, err
	}
}
