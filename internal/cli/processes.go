package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/rescue"
)

func (m *Main) processesCmd() *cobra.Command {
	var withJobs bool
	cmd := &cobra.Command{
		Use: "processes [PROCESS]", Short: "List worker processes, and what they run", Args: args(0, 1),
		Long: `Lists worker processes. --jobs lists the jobs that they run, the longest first; PROCESS narrows that to one.`,
		Example: `  tidemill processes
  tidemill processes --jobs`,
		RunE: func(cmd *cobra.Command, args []string) error {
			app, err := m.open(cmd.Context())
			if err != nil {
				return err
			}
			defer app.Close()
			infos, err := rescue.List(cmd.Context(), app.Pool, app.Schema)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				infos = slices.DeleteFunc(infos, func(info *rescue.Info) bool { return info.ID != args[0] })
				if len(infos) == 0 {
					return withHint(fmt.Errorf("process %q is not there", args[0]), "tidemill processes")
				}
			}
			if withJobs || len(args) == 1 {
				return m.showRunning(cmd.Context(), app, infos)
			}
			return m.showProcesses(infos)
		},
	}
	cmd.Flags().BoolVar(&withJobs, "jobs", false, "the jobs that they run, and since when")
	return cmd
}

func (m *Main) showProcesses(infos []*rescue.Info) error {
	if m.json {
		return m.printJSON(orEmpty(infos))
	}
	rows := make([][]string, len(infos))
	for i, info := range infos {
		rows[i] = []string{
			info.ID, processState(info), strconv.Itoa(info.Running), queueList(info.Queues), info.Version,
			m.ago(info.StartedAt), span(info.BeatAge) + " ago",
		}
	}
	return m.table("no worker processes", []string{"PROCESS", "STATE", "RUNNING", "QUEUES", "VERSION", "STARTED", "LAST BEAT"}, rows)
}

// runningJob is what a process does at the moment.
type runningJob struct {
	Process     string    `json:"-"`
	ID          int64     `json:"id"`
	Kind        string    `json:"kind"`
	Queue       string    `json:"queue"`
	Job         string    `json:"job,omitempty"` // the configured job, if it is a run
	Attempt     int       `json:"attempt"`
	MaxAttempts int       `json:"max_attempts"`
	Since       time.Time `json:"since"`
	Seconds     float64   `json:"running_seconds"` // by the database's clock
}

// readRunning returns what the processes run, the longest running first.
func readRunning(ctx context.Context, app *App, infos []*rescue.Info) ([]*runningJob, error) {
	ids := make([]string, len(infos))
	for i, info := range infos {
		ids[i] = info.ID
	}
	rows, err := app.Pool.Query(ctx, app.Schema.SQL(`
		SELECT j.attempted_by[array_upper(j.attempted_by, 1)], j.id, j.kind, j.queue, coalesce(r.job, ''), j.attempt, j.max_attempts,
		       coalesce(j.attempted_at, j.created_at),
		       extract(epoch FROM greatest(clock_timestamp() - coalesce(j.attempted_at, j.created_at), '0'))::float8
		  FROM {river}.river_job j LEFT JOIN {tidemill}.run r ON r.id = j.id AND j.metadata ? 'tidemill'
		 WHERE j.state = 'running' AND j.attempted_by[array_upper(j.attempted_by, 1)] = ANY($1::text[])
		 ORDER BY 8, j.id`), ids)
	if err != nil {
		return nil, fmt.Errorf("list running jobs: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[runningJob])
	if err != nil {
		return nil, fmt.Errorf("list running jobs: %w", err)
	}
	return jobs, nil
}

func (m *Main) showRunning(ctx context.Context, app *App, infos []*rescue.Info) error {
	jobs, err := readRunning(ctx, app, infos)
	if err != nil {
		return err
	}
	if m.json {
		type process struct {
			*rescue.Info
			Jobs []*runningJob `json:"jobs"`
		}
		out := make([]process, len(infos))
		for i, info := range infos {
			out[i] = process{Info: info, Jobs: []*runningJob{}}
			for _, job := range jobs {
				if job.Process == info.ID {
					out[i].Jobs = append(out[i].Jobs, job)
				}
			}
		}
		return m.printJSON(out)
	}
	rows := make([][]string, len(jobs))
	for i, job := range jobs {
		kind := oneLine(job.Kind)
		if job.Job != "" && job.Job != job.Kind {
			kind += " (" + oneLine(job.Job) + ")"
		}
		rows[i] = []string{
			job.Process, strconv.FormatInt(job.ID, 10), kind, oneLine(job.Queue), attempts(job.Attempt, job.MaxAttempts, "/"),
			span(time.Duration(job.Seconds * float64(time.Second))),
		}
	}
	return m.table("nothing runs", []string{"PROCESS", "JOB", "KIND", "QUEUE", "ATTEMPT", "FOR"}, rows)
}

func processState(info *rescue.Info) string {
	switch {
	case info.FencedAt != nil:
		return "dead"
	case !info.Alive():
		return "silent"
	case info.Draining:
		return "draining"
	default:
		return "alive"
	}
}

func queueList(raw json.RawMessage) string {
	var queues map[string]int
	if err := json.Unmarshal(raw, &queues); err != nil {
		return string(raw)
	}
	parts := make([]string, 0, len(queues))
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		parts = append(parts, fmt.Sprintf("%s:%d", name, queues[name]))
	}
	return strings.Join(parts, " ")
}
