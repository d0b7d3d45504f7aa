package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/devdb"
)

func (m *Main) upCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "up",
		Short: "Start all that is needed on this machine",
		Long: `Migrates the database, works jobs, fires schedules and serves HTTP (see "server --help") until Ctrl-C.

Without a configured database (database.url, DATABASE_URL) it starts a PostgreSQL of its own, whose data stays in the
folder .tidemill. Without storage.url, files are kept there too. Other commands run in the same folder find both by
themselves.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := m.loadConfig()
			if err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context(), m.Stderr)
			defer stop()
			if cfg.Database.URL == "" || cfg.Database.URL == readLocalURL() {
				db, err := m.localDatabase(ctx, cfg)
				if err != nil {
					return err
				}
				defer db.Close()
				defer os.Remove(localURLFile())
			}
			return m.up(ctx, cfg)
		},
	}
}

func readLocalURL() string {
	url, err := os.ReadFile(localURLFile())
	if err != nil {
		return ""
	}
	return string(url)
}

// localDatabase starts the folder's own database and leaves its address for the other commands.
func (m *Main) localDatabase(ctx context.Context, cfg *config.Config) (*devdb.DB, error) {
	dir, err := filepath.Abs(localDir)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(m.Stderr, "starting a local PostgreSQL in", filepath.Join(localDir, "postgres"))
	db, err := devdb.Start(ctx, &devdb.Opts{Dir: filepath.Join(dir, "postgres"), Durable: true})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(localURLFile(), []byte(db.URL()), 0o600); err != nil {
		_ = db.Close()
		return nil, err
	}
	cfg.Database.URL = db.URL()
	return db, nil
}

func (m *Main) up(ctx context.Context, cfg *config.Config) error {
	if cfg.Storage.URL == "" {
		if err := os.MkdirAll(localStorage(), 0o700); err != nil {
			return err
		}
		var err error
		if cfg.Storage.URL, err = localStorageURL(); err != nil {
			return err
		}
	}
	collectEarly()
	logger := m.logger(slog.LevelDebug)
	site := m.newSite(logger)
	ctx, end := context.WithCancel(ctx)
	closed := make(chan error, 1)
	go func() { <-ctx.Done(); closed <- site.close() }()
	err := m.work(ctx, cfg, nil, func(ctx context.Context, app *tidemill.App) error {
		applied, err := app.Migrate(ctx)
		if err != nil {
			return err
		}
		if len(applied) > 0 {
			fmt.Fprintf(m.Stderr, "applied %s\n", count(int64(len(applied)), "migration", "migrations"))
		}
		// The address may be taken, by another up for example, which is no reason not to work.
		if err := site.take(ctx, app.Config); err != nil {
			logger.WarnContext(ctx, "there is no server by this configuration; give server.listen another address, or \"\" for none", "error", err)
		}
		return nil
	})
	end()
	if err := <-closed; err != nil {
		logger.ErrorContext(ctx, "serve", "error", err)
	}
	return err
}
