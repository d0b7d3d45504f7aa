package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers/kind"
)

func (m *Main) cleanupCmd() *cobra.Command {
	var dryRun, detach bool
	cmd := &cobra.Command{
		Use:   "cleanup JOB",
		Short: "Delete old rows by the rules of a job, or count them",
		Long: `Starts a run of the clean-up JOB and shows its progress. With --dry-run it counts the rows that are due now, names
the index that finds them, and deletes nothing.

A worker does the work; start one with "tidemill worker" or "tidemill up". Ctrl-C ends the watching, not the run.
Up to 1,000,000 rows per rule are counted; a larger number is marked as an estimate. Rows that other rows refer to are
counted too; the run keeps those.

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		Example: `  tidemill cleanup old-logs --dry-run
  tidemill cleanup old-logs`,
		Args: args(1, 1),
		RunE: m.watching(func(ctx context.Context, app *tidemill.App, args []string) error {
			job, ok := app.Config.Jobs[args[0]]
			switch {
			case !ok:
				return m.explainImport(app, args[0], fmt.Errorf("job %q is not in the configuration", args[0]))
			case kindOf(app, job).DryRun == nil:
				return withHint(fmt.Errorf("job %s is of kind %s, which has no rules", job.Name, job.Kind), startHint(job))
			case dryRun:
				return m.dryRun(ctx, app, job)
			}
			started, err := startRun(ctx, app, job.Name, tidemill.StartOpts{})
			if err != nil {
				return err
			}
			if started.Existing {
				m.sayLive(started)
			}
			if !detach {
				return m.follow(ctx, app, started.ID, newProgress(m.Stderr))
			}
			return m.printStarted(started)
		}),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "count what is due, and delete nothing")
	cmd.Flags().BoolVar(&detach, "detach", false, "print the run's id and do not wait")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "detach")
	return cmd
}

// dryRun shows what a run would do now.
func (m *Main) dryRun(ctx context.Context, app *tidemill.App, job *config.Job) error {
	report, err := kindOf(app, job).DryRun(ctx, app.Pool, app.Config, job, m.now())
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(report.JSON)
	}
	rows := make([][]string, len(report.Rows))
	for i, row := range report.Rows {
		for _, value := range row {
			rows[i] = append(rows[i], cellOf(value))
		}
	}
	if err := m.table(report.Empty, report.Columns, rows); err != nil {
		return err
	}
	for _, note := range report.Notes {
		if _, err := fmt.Fprintf(m.Stdout, "note: %s\n", note); err != nil {
			return err
		}
	}
	return nil
}

// cellOf is a value of a [kind.Report].
func cellOf(value any) string {
	switch v := value.(type) {
	case int64:
		return grouped(v)
	case kind.About:
		return "about " + grouped(int64(v))
	case string:
		return clip(oneLine(v), 60)
	}
	return fmt.Sprint(value)
}

// kindOf is the kind of a job; one without anything for a kind of the user's own.
func kindOf(app *tidemill.App, job *config.Job) kind.Kind {
	k, _ := kind.Find(app.Kinds(), job.Kind)
	return k
}

// kindOfRun is the kind of a run.
func kindOfRun(app *tidemill.App, info *batch.Info) kind.Kind {
	k, _ := kind.FindRiver(app.Kinds(), info.Kind)
	return k
}
