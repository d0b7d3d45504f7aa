package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/server"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/periodic"
)

func (m *Main) serverCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "server",
		Short: "Serve HTTP",
		Long: `Serves HTTP at server.listen (default 127.0.0.1:8080) until it is told to end:

  GET|POST /api/cron/SCHEDULE   starts the job of a schedule, for whoever sends "Authorization: Bearer" and server.cron_secret;
                                answers 202 with the run; with ?wait=30s it waits for the end: 200 succeeded, 500 failed.
                                Asked again within a minute it answers with the same run.
  GET      /livez, /readyz      probes`,
		Example: `  tidemill server
  curl -H "Authorization: Bearer $CRON_SECRET" http://127.0.0.1:8080/api/cron/daily-report?wait=30s`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := m.loadDatabaseConfig()
			if err != nil {
				return err
			}
			if cfg.Server.Listen == "" {
				return withHint(errors.New("server.listen is empty"), `give it an address, for example server: {listen: "127.0.0.1:8080"}`)
			}
			ctx, stop := untilSignal(cmd.Context(), m.Stderr)
			defer stop()
			logger := m.logger(slog.LevelDebug)
			app, err := m.Open(ctx, cfg, logger, false)
			if err != nil {
				return err
			}
			defer app.Close()
			listener, err := net.Listen("tcp", cfg.Server.Listen)
			if err != nil {
				return fmt.Errorf("server.listen: %w", err)
			}
			return serve(ctx, listener, app, logger)
		},
	}
}

// serve serves until ctx ends; requests then have some seconds to finish. It closes the listener.
func serve(ctx context.Context, listener net.Listener, app *App, logger *slog.Logger) error {
	secrets := app.Config.Server.CronSecrets
	if len(secrets) == 0 {
		logger.WarnContext(ctx, "server.cron_secret is not set, so /api/cron is closed")
	}
	httpServer := server.HTTP(server.New(server.Opts{
		Board: periodic.NewBoard(app.Pool, app.Schema), Ledger: app.Ledger, CronSecrets: secrets, Logger: logger,
		Ready: func(ctx context.Context) error { return migrations.Check(ctx, app.Pool, app.Schema) },
	}))
	httpServer.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	ended := make(chan error, 1)
	go func() { ended <- httpServer.Serve(listener) }()
	logger.InfoContext(ctx, "serving", "address", listener.Addr().String())
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := httpServer.Shutdown(grace); err != nil {
		return errors.Join(httpServer.Close(), fmt.Errorf("some requests did not end in time: %w", err))
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
