package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers/cleanupjob"
)

func (m *Main) cleanupCmd() *cobra.Command {
	var dryRun, detach bool
	cmd := &cobra.Command{
		Use:   "cleanup JOB",
		Short: "Delete old rows by the rules of a job, or count them",
		Long: `Starts a run of the clean-up JOB and shows its progress. With --dry-run it counts what is due now, says by which index
that is found, and deletes nothing.

A worker does the work; start one with "tidemill worker" or "tidemill up". Ctrl-C ends the watching, not the run.
Up to 1,000,000 rows of a rule are counted, of more the number is an estimate, and says so. Rows that others refer to are
among them; the run keeps those.

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		Example: `  tidemill cleanup old-logs --dry-run
  tidemill cleanup old-logs`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			app, err := m.open(ctx)
			if err != nil {
				return err
			}
			defer app.Close()
			job, ok := app.Config.Jobs[args[0]]
			switch {
			case !ok:
				return m.explainImport(app, args[0], fmt.Errorf("job %q is not in the configuration", args[0]))
			case job.Kind != "cleanup":
				return withHint(fmt.Errorf("job %s is of kind %s, not cleanup", job.Name, job.Kind), startHint(job))
			case dryRun:
				return m.countCleanup(ctx, app, job)
			}
			id, existing, err := app.Start(ctx, job.Name, StartOpts{})
			if err != nil {
				return err
			}
			if existing {
				fmt.Fprintf(m.Stderr, "run %d of this job is live; it is not started again\n", id)
			}
			if !detach {
				return m.follow(ctx, app, id, newProgress(m.Stderr))
			}
			if m.json {
				return m.printJSON(map[string]any{"id": id, "existing": existing})
			}
			_, err = fmt.Fprintln(m.Stdout, id)
			return err
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "count what is due, and delete nothing")
	cmd.Flags().BoolVar(&detach, "detach", false, "print the run's id and do not wait")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "detach")
	return cmd
}

func (m *Main) countCleanup(ctx context.Context, app *App, job *config.Job) error {
	counts, err := cleanupjob.CountDue(ctx, app.Pool, job, m.now(), app.Config.Location())
	if err != nil {
		return fmt.Errorf("job %s: %w", job.Name, err)
	}
	if m.json {
		return m.printJSON(counts)
	}
	rows := make([][]string, len(counts))
	for i, c := range counts {
		number := grouped(c.Rows)
		if c.Estimated {
			number = "about " + number
		}
		index := strings.Join(c.Indexes, ", ")
		switch {
		case len(c.Indexes) == 0 && job.Spec.(*cleanupjob.Config).AllowSeqScan:
			index = "none: block by block"
		case len(c.Indexes) == 0:
			index = "none: the run is refused"
		case len(c.Indexes) > 3:
			index = fmt.Sprintf("%s and %d more", strings.Join(c.Indexes[:2], ", "), len(c.Indexes)-2)
		}
		rows[i] = []string{c.Table, c.Column + " < " + c.Before, clip(oneLine(c.Where), 40), number, index}
	}
	if err := m.table("no rules", []string{"TABLE", "DUE", "WHERE", "ROWS", "INDEX"}, rows); err != nil {
		return err
	}
	for i, c := range counts {
		for _, effect := range c.Effects {
			if _, err := fmt.Fprintf(m.Stdout, "note: rule %d: %s\n", i+1, effect.Note()); err != nil {
				return err
			}
		}
	}
	return nil
}
