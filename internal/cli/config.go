package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
)

func (m *Main) configCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check the configuration file"}
	var offline bool
	check := &cobra.Command{
		Use: "check [FILE]", Short: "Check the configuration, also against the live database", Args: args(0, 1),
		Long: `Checks the file, then holds each job against the live database: tables, columns, a unique index on match.

--offline leaves the database out and does not need the variables of ${NAME} to be set.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				m.configPath = args[0]
			}
			return m.checkConfig(cmd.Context(), offline)
		},
	}
	check.Flags().BoolVar(&offline, "offline", false, "without the database and without secrets")
	cmd.AddCommand(check, &cobra.Command{
		Use: "schema", Short: "Print a JSON Schema of tidemill.yaml for editors", Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := m.Stdout.Write(config.Schema())
			return err
		},
	})
	return cmd
}

func (m *Main) checkConfig(ctx context.Context, offline bool) error {
	if offline {
		path := m.configPath
		if path == "" {
			path = "tidemill.yaml"
		}
		cfg, err := config.Load(path, &config.Opts{Offline: true})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(m.Stdout, "%s: %s, no problem found (database not asked)\n", path, count(int64(len(cfg.Jobs)), "job", "jobs"))
		return err
	}
	app, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer app.Close()
	var problems config.Errors
	for _, job := range app.Config.Jobs {
		if job.Import == nil {
			continue
		}
		found, err := workers.CheckImport(ctx, app.Pool, app.Config, job)
		if err != nil {
			return fmt.Errorf("check job %s: %w", job.Name, err)
		}
		problems = append(problems, found...)
	}
	if len(problems) > 0 {
		return problems
	}
	_, err = fmt.Fprintf(m.Stdout, "%s: %s, no problem found\n", app.Config.File, count(int64(len(app.Config.Jobs)), "job", "jobs"))
	return err
}
