package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/internal/operate"
)

func (m *Main) jobsCmd() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "jobs",
		Short: "Show and manage River jobs, one or many",
		Long:  `Any River job: those of runs, and those that an application inserted by itself.`,
		Example: `  tidemill jobs list --state discarded --kind send-mail
  tidemill jobs errors --since 1d
  tidemill jobs retry --kind send-mail --error "connection refused"
  tidemill jobs delete --state discarded --older-than 30d --yes`,
	})
	cmd.AddCommand(m.jobsListCmd(), m.jobsShowCmd(), m.jobsErrorsCmd(),
		m.jobVerbCmd(retryJobs()), m.jobVerbCmd(cancelJobs()), m.jobVerbCmd(deleteJobs()))
	return cmd
}

func checkLimit(limit int) error {
	if limit < 1 || limit > operate.MostListed {
		return &usageError{err: fmt.Errorf("--limit %d is not from 1 to %s", limit, grouped(operate.MostListed))}
	}
	return nil
}

func (m *Main) jobsListCmd() *cobra.Command {
	var opts operate.JobListOpts
	cmd := &cobra.Command{
		Use: "list", Short: "List jobs, the newest first", Args: args(0, 0),
		Example: `  tidemill jobs list --state running
  tidemill jobs list --state discarded,retryable --queue low --error timeout`,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			return cmp.Or(checkJobFilter(cmd, &opts.Filter), checkLimit(opts.Limit))
		},
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, _ []string) error {
			if !m.json {
				return m.listJobs(ctx, app, opts)
			}
			jobs, err := operate.ListJobs(ctx, cluster(app), opts)
			if err != nil {
				return err
			}
			return m.printJSON(jobs)
		}),
	}
	addJobFilter(cmd, &opts.Filter, operate.JobStates())
	cmd.Flags().IntVarP(&opts.Limit, "limit", "n", 20, "how many at most")
	return cmd
}

func (m *Main) listJobs(ctx context.Context, app *tidemill.App, opts operate.JobListOpts) error {
	jobs, err := operate.ListJobSummaries(ctx, cluster(app), opts)
	if err != nil {
		return err
	}
	return list(m, jobs, "no jobs", []string{"JOB", "KIND", "STATE", "QUEUE", "ATTEMPT", "AGE", "ERROR"}, func(job *operate.JobSummary) []string {
		return []string{
			strconv.FormatInt(job.ID, 10), oneLine(job.Kind), job.State, oneLine(job.Queue), attempts(job.Attempt, job.MaxAttempts, "/"),
			span(max(0, m.now().Sub(job.CreatedAt).Round(time.Second))), clip(oneLine(job.Error), 60),
		}
	})
}

// attempts is "2/5", or "2" where River sets no limit: attempts of runs are counted by the ledger.
func attempts(done, most int, of string) string {
	if most == math.MaxInt16 {
		return strconv.Itoa(done)
	}
	return strconv.Itoa(done) + of + strconv.Itoa(most)
}

// withJobHint says where to look for a job that is not there.
func withJobHint(err error) error {
	var missing *operate.NoJobError
	switch {
	case !errors.As(err, &missing):
		return err
	case missing.HasRun:
		return withHint(err, fmt.Sprintf("its run is there, River's job was removed: tidemill runs show %d", missing.ID))
	default:
		return withHint(err, "tidemill jobs list")
	}
}

func parseJobID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, &usageError{err: fmt.Errorf("%q is not a job's id", text), hint: "tidemill jobs list"}
	}
	return id, nil
}
