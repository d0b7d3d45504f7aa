package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/internal/operate"
)

func (m *Main) queuesCmd() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "queues",
		Short: "Show, pause and resume queues",
		Example: `  tidemill queues list
  tidemill queues pause low
  tidemill queues resume --all`,
	})
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "List queues: what waits, what runs, who works", Args: args(0, 0),
		Long: `Lists the queues that River knows, that are configured, that a live process works, or that jobs wait in.

WAITING are jobs that a worker could take now, OLDEST is how long the first of them has waited. Counts end at ` + grouped(operate.MostWaiting) + `.
WORKERS is how many jobs of the queue all live processes together can run at once.`,
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, _ []string) error {
			queues, err := operate.ListQueues(ctx, cluster(app), queueOpts(app))
			if err != nil {
				return err
			}
			return list(m, queues, "no queues", []string{"QUEUE", "WAITING", "RUNNING", "OLDEST", "PAUSED", "WORKERS"}, m.queueRow)
		}),
	}, m.pauseCmd("pause", "Let workers take no more jobs of a queue; running ones continue", true),
		m.pauseCmd("resume", "Let workers take jobs of a queue again", false))
	return cmd
}

func queueOpts(a *tidemill.App) operate.QueueOpts {
	return operate.QueueOpts{Configured: slices.Sorted(maps.Keys(a.Config.Queues))}
}

func (m *Main) queueRow(q *operate.Queue) []string {
	waiting, oldest, paused := grouped(q.Waiting), "", ""
	if q.More {
		waiting += "+"
	}
	if q.Oldest != nil {
		oldest = span((time.Duration(*q.Oldest * float64(time.Second))).Round(time.Second))
	}
	if q.PausedAt != nil {
		paused = m.ago(*q.PausedAt)
	}
	return []string{oneLine(q.Name), waiting, grouped(q.Running), dash(oldest), dash(paused), strconv.Itoa(q.Workers)}
}

// dash fills a cell that would be empty in the middle of a row.
func dash(text string) string { return cmp.Or(text, "-") }

func (m *Main) pauseCmd(verb, short string, pause bool) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: verb + " QUEUE...", Short: short, Args: cobra.ArbitraryArgs,
		PreRunE: func(cmd *cobra.Command, names []string) error {
			switch {
			case all && len(names) > 0:
				return &usageError{err: errors.New("--all and the name of a queue exclude each other")}
			case !all && len(names) == 0:
				return &usageError{err: fmt.Errorf("%s: which queue?", cmd.CommandPath()), hint: "tidemill queues list"}
			}
			return nil
		},
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, names []string) error {
			changes, err := operate.PauseQueues(ctx, cluster(app), operate.PauseOpts{Queues: queueOpts(app), Names: names, All: all, Pause: pause})
			if unknown, ok := errors.AsType[*operate.UnknownQueueError](err); ok {
				return withHint(err, "known queues: "+strings.Join(unknown.Known, ", "))
			}
			if err != nil {
				return err
			}
			return m.saidPaused(changes)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "all known queues")
	return cmd
}

func (m *Main) saidPaused(changes []operate.QueueChange) error {
	if m.json {
		return m.printJSON(changes)
	}
	for _, c := range changes {
		if _, err := fmt.Fprintf(m.Stdout, "queue %s: %s\n", oneLine(c.Queue), pausedText(c.Paused, c.Changed)); err != nil {
			return err
		}
	}
	return nil
}

func pausedText(paused, changed bool) string {
	switch {
	case paused && changed:
		return "paused; running jobs continue"
	case paused:
		return "was paused already"
	case changed:
		return "resumed"
	default:
		return "was not paused"
	}
}
