package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/batch"
)

func (m *Main) jobsCmd() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "jobs",
		Short: "See and steer single River jobs, also many at once",
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

// mostListed is the highest --limit; River lists no more at once.
const mostListed = 10_000

func checkLimit(limit int) error {
	if limit < 1 || limit > mostListed {
		return &usageError{err: fmt.Errorf("--limit %d is not from 1 to %s", limit, grouped(mostListed))}
	}
	return nil
}

func (m *Main) jobsListCmd() *cobra.Command {
	var filter jobFilter
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List jobs, the newest first", Args: args(0, 0),
		Example: `  tidemill jobs list --state running
  tidemill jobs list --state discarded,retryable --queue low --error timeout`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmp.Or(filter.check(cmd), checkLimit(limit)); err != nil {
				return err
			}
			app, err := m.open(cmd.Context())
			if err != nil {
				return err
			}
			defer app.Close()
			if !m.json {
				rows, err := m.listJobs(cmd.Context(), app, filter, limit)
				if err != nil {
					return fmt.Errorf("list jobs: %w", err)
				}
				return m.table("no jobs", []string{"JOB", "KIND", "STATE", "QUEUE", "ATTEMPT", "AGE", "ERROR"}, rows)
			}
			params := river.NewJobListParams().OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(limit)
			for _, c := range filter.conditions() {
				params = params.Where(app.Schema.SQL(c.sql), river.NamedArgs(c.args))
			}
			found, err := app.Client.JobList(cmd.Context(), params)
			if err != nil {
				return fmt.Errorf("list jobs: %w", err)
			}
			out := make([]*jobJSON, len(found.Jobs))
			for i, job := range found.Jobs {
				out[i] = newJobJSON(job)
			}
			return m.printJSON(out)
		},
	}
	filter.add(cmd, jobStates())
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many at most")
	return cmd
}

// listJobs reads what the table shows, and no arguments: those of ten thousand jobs may be more than there is memory.
func (m *Main) listJobs(ctx context.Context, app *App, filter jobFilter, limit int) ([][]string, error) {
	condition, args := where(filter.conditions())
	args["size"] = limit
	rows, err := app.Pool.Query(ctx, app.Schema.SQL(`SELECT id, kind, state::text, queue, attempt, max_attempts, created_at, left(`+lastError+`, 1000)
		FROM {river}.river_job WHERE `+condition+` ORDER BY id DESC LIMIT @size`), args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]string, error) {
		job := &rivertype.JobRow{}
		var failure *string
		if err := row.Scan(&job.ID, &job.Kind, &job.State, &job.Queue, &job.Attempt, &job.MaxAttempts, &job.CreatedAt, &failure); err != nil {
			return nil, err
		}
		if failure != nil {
			job.Errors = []rivertype.AttemptError{{Error: *failure}}
		}
		return m.jobRow(job), nil
	})
}

func (m *Main) jobRow(job *rivertype.JobRow) []string {
	failure := ""
	if n := len(job.Errors); n > 0 {
		failure = clip(oneLine(firstLine(job.Errors[n-1].Error)), 60)
	}
	return []string{
		strconv.FormatInt(job.ID, 10), oneLine(job.Kind), string(job.State), oneLine(job.Queue),
		attempts(job.Attempt, job.MaxAttempts, "/"), span(max(0, m.now().Sub(job.CreatedAt).Round(time.Second))), failure,
	}
}

// attempts is "2/5", or "2" where River sets no limit: attempts of runs are counted by the ledger.
func attempts(done, most int, of string) string {
	if most == math.MaxInt16 {
		return strconv.Itoa(done)
	}
	return strconv.Itoa(done) + of + strconv.Itoa(most)
}

// jobJSON is a job as --json shows it.
type jobJSON struct {
	ID          int64                    `json:"id"`
	Kind        string                   `json:"kind"`
	State       rivertype.JobState       `json:"state"`
	Queue       string                   `json:"queue"`
	Priority    int                      `json:"priority"`
	Attempt     int                      `json:"attempt"`
	MaxAttempts int                      `json:"max_attempts"`
	Args        json.RawMessage          `json:"args"`
	Metadata    json.RawMessage          `json:"metadata"`
	Tags        []string                 `json:"tags"`
	Errors      []rivertype.AttemptError `json:"errors"`
	AttemptedBy []string                 `json:"attempted_by"`
	CreatedAt   time.Time                `json:"created_at"`
	ScheduledAt time.Time                `json:"scheduled_at"`
	AttemptedAt *time.Time               `json:"attempted_at"`
	FinalizedAt *time.Time               `json:"finalized_at"`
	IsRun       bool                     `json:"is_run"`
	Parent      int64                    `json:"parent,omitempty"` // the run that enqueued it
	Run         *batch.Info              `json:"run,omitempty"`    // by jobs show only
	Waits       string                   `json:"waits,omitempty"`  // as of a run; by jobs show only
}

func newJobJSON(job *rivertype.JobRow) *jobJSON {
	metadata, parent, isRun := publicMetadata(job.Metadata)
	return &jobJSON{
		ID: job.ID, Kind: job.Kind, State: job.State, Queue: job.Queue, Priority: job.Priority,
		Attempt: job.Attempt, MaxAttempts: job.MaxAttempts, Args: job.EncodedArgs, Metadata: metadata,
		Tags: orEmpty(job.Tags), Errors: orEmpty(job.Errors), AttemptedBy: orEmpty(job.AttemptedBy),
		CreatedAt: job.CreatedAt, ScheduledAt: job.ScheduledAt, AttemptedAt: job.AttemptedAt, FinalizedAt: job.FinalizedAt,
		IsRun: isRun, Parent: parent,
	}
}

// orEmpty makes JSON say [] instead of null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// publicMetadata leaves out the key that marks a job as ours, and reports which run enqueued it, 0 if none did, and whether it
// has one itself.
func publicMetadata(raw []byte) (public json.RawMessage, parent int64, isRun bool) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return raw, 0, false // not an object: somebody else's, shown as it is
	}
	mark, marked := all["tidemill"]
	if !marked {
		return raw, 0, false
	}
	var ours struct {
		Parent int64
		Run    bool
	}
	isRun = json.Unmarshal(mark, &ours) != nil || ours.Parent == 0 || ours.Run
	delete(all, "tidemill")
	public, err := json.Marshal(all)
	if err != nil {
		return raw, ours.Parent, isRun
	}
	return public, ours.Parent, isRun
}

// job returns one job with its run, if it has one.
func job(ctx context.Context, app *App, id int64) (*jobJSON, error) {
	row, err := app.Client.JobGet(ctx, id)
	if errors.Is(err, rivertype.ErrNotFound) {
		return nil, noJob(ctx, app, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read job %d: %w", id, err)
	}
	found := newJobJSON(row)
	if !found.IsRun {
		return found, nil
	}
	found.Run, err = app.Ledger.Get(ctx, id)
	if err != nil && !errors.Is(err, batch.ErrNoRun) {
		return nil, err
	}
	if found.Run != nil && found.Run.Waits != nil {
		found.Waits = *found.Run.Waits
	}
	return found, nil
}

// noJob is the error for a job that is not there. The ledger outlives River's jobs, so its run may be.
func noJob(ctx context.Context, app *App, id int64) error {
	hint := "tidemill jobs list"
	if _, err := app.Ledger.Get(ctx, id); err == nil {
		hint = fmt.Sprintf("its run is there, River's job was removed: tidemill runs show %d", id)
	}
	return withHint(fmt.Errorf("job %d: no such job", id), hint)
}

func parseJobID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, &usageError{err: fmt.Errorf("%q is not a job's id", text), hint: "tidemill jobs list"}
	}
	return id, nil
}
