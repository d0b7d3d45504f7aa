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

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/internal/operate"
	"github.com/tidemill/tidemill/rescue"
)

func (m *Main) processesCmd() *cobra.Command {
	var withJobs bool
	cmd := &cobra.Command{
		Use: "processes [PROCESS]", Short: "List worker processes, and what they run", Args: args(0, 1),
		Long: `Lists worker processes. --jobs lists the jobs that they run, the longest first; PROCESS narrows that to one.`,
		Example: `  tidemill processes
  tidemill processes --jobs`,
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, args []string) error {
			infos, err := operate.ListProcesses(ctx, cluster(app))
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
				return m.showRunning(ctx, app, infos)
			}
			return list(m, infos, "no worker processes", []string{"PROCESS", "STATE", "RUNNING", "QUEUES", "VERSION", "STARTED", "LAST BEAT"},
				func(info *rescue.Info) []string {
					return []string{
						info.ID, operate.ProcessState(info), strconv.Itoa(info.Running), queueList(info.Queues), info.Version,
						m.ago(info.StartedAt), span(info.BeatAge) + " ago",
					}
				})
		}),
	}
	cmd.Flags().BoolVar(&withJobs, "jobs", false, "the jobs that they run, and since when")
	return cmd
}

func (m *Main) showRunning(ctx context.Context, app *tidemill.App, infos []*rescue.Info) error {
	jobs, err := operate.RunningJobs(ctx, cluster(app), infos)
	if err != nil {
		return err
	}
	if m.json {
		type process struct {
			*rescue.Info
			Jobs []*operate.RunningJob `json:"jobs"`
		}
		out := make([]process, len(infos))
		for i, info := range infos {
			out[i] = process{Info: info, Jobs: []*operate.RunningJob{}}
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
