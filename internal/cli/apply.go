package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
)

func (m *Main) applyCmd() *cobra.Command {
	return &cobra.Command{
		Use: "apply", Short: "Write the configuration's schedules, jobs and kinds into the database", Args: args(0, 0),
		Long: `Writes into the database what the configuration says: the schedules, and the jobs and kinds that SQL can start.

"migrate up" and "up" do it too, and so does a worker when it starts, unless workers with another configuration are alive.
Workers learn of changed jobs when they start, or by SIGHUP. A schedule whose times have changed begins with the next tick
from now.`,
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, _ []string) error {
			applied, err := app.Apply(ctx)
			if err != nil {
				return err
			}
			return m.showApplied(applied)
		}),
	}
}

func (m *Main) showApplied(applied *tidemill.Applied) error {
	out := struct {
		Jobs             []string `json:"jobs"`
		RemovedJobs      []string `json:"removed_jobs"`
		Kinds            []string `json:"kinds"`
		AddedSchedules   []string `json:"added_schedules"`
		ChangedSchedules []string `json:"changed_schedules"`
		RemovedSchedules []string `json:"removed_schedules"`
	}{applied.Jobs, applied.Removed, applied.Kinds, applied.Schedules.Added, applied.Schedules.Changed, applied.Schedules.Removed}
	groups := []struct {
		what  string
		names *[]string
	}{
		{"jobs added or changed", &out.Jobs}, {"jobs removed", &out.RemovedJobs}, {"kinds added or changed", &out.Kinds},
		{"schedules added", &out.AddedSchedules}, {"schedules changed", &out.ChangedSchedules}, {"schedules removed", &out.RemovedSchedules},
	}
	for _, group := range groups {
		if *group.names == nil {
			*group.names = []string{} // in JSON a list, not null
		}
	}
	if m.json {
		return m.printJSON(out)
	}
	nothing := true
	for _, group := range groups {
		if len(*group.names) > 0 {
			nothing = false
			fmt.Fprintf(m.Stdout, "%s: %s\n", group.what, strings.Join(*group.names, ", "))
		}
	}
	if nothing {
		fmt.Fprintln(m.Stdout, "nothing has changed")
	}
	return nil
}
