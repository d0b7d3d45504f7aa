package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
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
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, _ []string) error {
			undone, err := migrations.Down(ctx, app.Pool, app.Schema(), steps)
			return m.migrated("taken back", undone, err)
		}),
	}
	down.Flags().IntVar(&steps, "steps", 1, "how many")
	var dryRun bool
	up := &cobra.Command{
		Use: "up", Short: "Apply what is pending, and the configuration", Args: args(0, 0),
		Long: `Applies the migrations that are pending, and then the configuration (see: tidemill config apply).

--dry-run changes nothing. It prints which migrations would be applied and which tables each of them locks, and exits 0.`,
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, _ []string) error {
			if dryRun {
				status, err := migrations.Get(ctx, app.Pool, app.Schema())
				if err != nil {
					return err
				}
				return m.wouldMigrate(status, app.Schema())
			}
			applied, err := app.Migrate(ctx)
			return m.migrated("applied", applied, err)
		}),
	}
	up.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would be applied and what it locks")
	cmd.AddCommand(down, up,
		&cobra.Command{
			Use: "status", Short: "Show what is applied and what is pending; exits 1 if anything is", Args: args(0, 0),
			RunE: m.withApp(func(ctx context.Context, app *tidemill.App, _ []string) error {
				status, err := migrations.Get(ctx, app.Pool, app.Schema())
				if err != nil {
					return err
				}
				return m.migrationStatus(status)
			}),
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
			names[i] = step.String()
		}
		return m.printJSON(map[string]any{"steps": names})
	}
	for _, step := range steps {
		fmt.Fprintf(m.Stdout, "%s %s\n", done, step)
	}
	if len(steps) == 0 {
		fmt.Fprintln(m.Stdout, "nothing to do")
	}
	return nil
}

// wouldMigrate says what "migrate up" would apply.
func (m *Main) wouldMigrate(status *migrations.Status, schema migrations.Schema) error {
	pending := status.Pending()
	if m.json {
		type step struct {
			Name  string   `json:"name"`
			Locks []string `json:"locks"`
		}
		steps := make([]step, len(pending))
		for i, p := range pending {
			steps[i] = step{Name: p.String(), Locks: p.Locks(schema)}
		}
		return m.printJSON(map[string]any{
			"dry_run": true, "river_version": status.RiverVersion, "river_latest": status.RiverLatest, "steps": steps,
		})
	}
	if status.Current() {
		fmt.Fprintln(m.Stdout, "nothing to do")
	}
	if status.RiverVersion < status.RiverLatest {
		fmt.Fprintf(m.Stdout, "would apply River's %d to %d (locks River's tables)\n", status.RiverVersion+1, status.RiverLatest)
	}
	for _, step := range pending {
		locks := "locks no table that is in use"
		if tables := step.Locks(schema); len(tables) > 0 {
			locks = "locks " + strings.Join(tables, ", ")
		}
		fmt.Fprintf(m.Stdout, "would apply %s (%s)\n", step, locks)
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
			rows = append(rows, []string{"tidemill", step.String(), at})
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
	for _, step := range status.Pending() {
		names = append(names, step.String())
	}
	return names
}
