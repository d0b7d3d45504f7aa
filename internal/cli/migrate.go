package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/migrations"
)

func (m *Main) migrateCmd() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's tables up to date",
		Long:  "Applies River's migrations and Tidemill's own. Any number of processes may do so at once.",
	})
	var steps int
	down := &cobra.Command{
		Use: "down", Short: "Take back Tidemill's newest migrations (not River's)", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			app, err := m.open(cmd.Context())
			if err != nil {
				return err
			}
			defer app.Close()
			undone, err := migrations.Down(cmd.Context(), app.Pool, app.Schema, steps)
			return m.migrated("taken back", undone, err)
		},
	}
	down.Flags().IntVar(&steps, "steps", 1, "how many")
	cmd.AddCommand(down,
		&cobra.Command{
			Use: "up", Short: "Apply what is pending", Args: args(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				app, err := m.open(cmd.Context())
				if err != nil {
					return err
				}
				defer app.Close()
				applied, err := app.Migrate(cmd.Context())
				return m.migrated("applied", applied, err)
			},
		},
		&cobra.Command{
			Use: "status", Short: "Show what is applied and what is pending; exits 1 if anything is", Args: args(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				app, err := m.open(cmd.Context())
				if err != nil {
					return err
				}
				defer app.Close()
				status, err := migrations.Get(cmd.Context(), app.Pool, app.Schema)
				if err != nil {
					return err
				}
				return m.migrationStatus(status)
			},
		})
	return cmd
}

func (m *Main) migrated(done string, steps []migrations.Step, err error) error {
	if err != nil {
		return err
	}
	if m.json {
		names := make([]string, len(steps))
		for i, step := range steps {
			names[i] = fmt.Sprintf("%03d_%s", step.Version, step.Name)
		}
		return m.printJSON(map[string]any{"steps": names})
	}
	for _, step := range steps {
		fmt.Fprintf(m.Stdout, "%s %03d_%s\n", done, step.Version, step.Name)
	}
	if len(steps) == 0 {
		fmt.Fprintln(m.Stdout, "nothing to do")
	}
	return nil
}

func (m *Main) migrationStatus(status *migrations.Status) error {
	if m.json {
		if err := m.printJSON(map[string]any{
			"current": status.Current(), "river_version": status.RiverVersion, "river_latest": status.RiverLatest, "pending": pending(status),
		}); err != nil {
			return err
		}
	} else {
		rows := [][]string{{"river", strconv.Itoa(status.RiverVersion) + " of " + strconv.Itoa(status.RiverLatest), ""}}
		for _, step := range status.Steps {
			at := "pending"
			if !step.AppliedAt.IsZero() {
				at = "applied " + m.ago(step.AppliedAt)
			}
			rows = append(rows, []string{"tidemill", fmt.Sprintf("%03d_%s", step.Version, step.Name), at})
		}
		if err := m.table("", []string{"OF", "MIGRATION", "STATE"}, rows); err != nil {
			return err
		}
	}
	if !status.Current() {
		return &exitError{code: exitFailed}
	}
	return nil
}

func pending(status *migrations.Status) []string {
	names := []string{}
	for _, step := range status.Steps {
		if step.AppliedAt.IsZero() {
			names = append(names, fmt.Sprintf("%03d_%s", step.Version, step.Name))
		}
	}
	return names
}
