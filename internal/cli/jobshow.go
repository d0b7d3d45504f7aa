package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/riverqueue/river/rivertype"
	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/internal/operate"
)

// mostErrors is how many of a job's errors are shown to people; --json has all.
const mostErrors = 10

func (m *Main) jobsShowCmd() *cobra.Command {
	var id int64
	return &cobra.Command{
		Use: "show ID", Short: "Show all of one job: arguments, errors, times, its run", Args: args(1, 1),
		PreRunE: func(_ *cobra.Command, args []string) (err error) {
			id, err = parseJobID(args[0])
			return err
		},
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, _ []string) error {
			found, err := operate.GetJob(ctx, cluster(app), id)
			if err != nil {
				return withJobHint(err)
			}
			if m.json {
				return m.printJSON(found)
			}
			var text strings.Builder
			m.describeJob(&text, found)
			_, err = fmt.Fprint(m.Stdout, text.String())
			return err
		}),
	}
}

func (m *Main) describeJob(w *strings.Builder, j *operate.Job) {
	fmt.Fprintf(w, "job %d %s\n", j.ID, paint(m.Stdout, stateColour(j.State), string(j.State)))
	line := func(name, format string, values ...any) {
		fmt.Fprintf(w, "  %-12s %s\n", name, oneLine(fmt.Sprintf(format, values...)))
	}
	line("kind", "%s", j.Kind)
	line("queue", "%s, priority %d", j.Queue, j.Priority)
	line("attempt", "%s", attempts(j.Attempt, j.MaxAttempts, " of "))
	line("created", "%s", m.when(j.CreatedAt))
	line("scheduled", "%s", m.when(j.ScheduledAt))
	if j.AttemptedAt != nil {
		line("attempted", "%s", m.when(*j.AttemptedAt))
	}
	if n := len(j.AttemptedBy); n > 0 {
		line("attempted by", "%s", strings.Join(j.AttemptedBy[max(0, n-mostErrors):], ", "))
	}
	if j.FinalizedAt != nil {
		line("finalized", "%s", m.when(*j.FinalizedAt))
	}
	if len(j.Tags) > 0 {
		line("tags", "%s", strings.Join(j.Tags, ", "))
	}
	if j.Run != nil {
		line("run", "of %s, %s; see: tidemill runs show %d", j.Run.Job, j.Run.Status, j.ID)
	}
	if j.Waits != "" {
		line("waits", "%s", j.Waits)
	}
	if j.Parent != 0 {
		line("enqueued by", "run %d; see: tidemill runs show %d", j.Parent, j.Parent)
	}
	block(w, "args", j.Args)
	if string(j.Metadata) != "{}" {
		block(w, "metadata", j.Metadata)
	}
	m.describeErrors(w, j.Errors)
}

func (m *Main) describeErrors(w *strings.Builder, all []rivertype.AttemptError) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w, "errors")
	if earlier := len(all) - mostErrors; earlier > 0 {
		fmt.Fprintf(w, "  %s earlier; see them with --json\n", count(int64(earlier), "error", "errors"))
		all = all[earlier:]
	}
	for _, e := range all {
		fmt.Fprintf(w, "  attempt %d, %s\n%s", e.Attempt, m.when(e.At), indent(e.Error))
		if e.Trace != "" {
			fmt.Fprint(w, indent(e.Trace))
		}
	}
}

func block(w *strings.Builder, name string, raw json.RawMessage) {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, raw, "", "  "); err != nil {
		pretty.Reset()
		pretty.Write(raw)
	}
	fmt.Fprintf(w, "%s\n%s", name, indent(pretty.String()))
}

// indent makes foreign text safe to show, below a heading.
func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(printable(text)), "\n", "\n    ") + "\n"
}

func stateColour(state rivertype.JobState) string {
	switch state {
	case rivertype.JobStateCompleted:
		return green
	case rivertype.JobStateDiscarded:
		return red
	case rivertype.JobStateAvailable, rivertype.JobStateRunning:
		return cyan
	default:
		return yellow
	}
}
