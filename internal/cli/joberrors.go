package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/internal/operate"
)

func (m *Main) jobsErrorsCmd() *cobra.Command {
	var opts operate.FailureOpts
	var limit int
	cmd := &cobra.Command{
		Use: "errors", Short: "Group failed jobs by kind and error", Args: args(0, 0),
		Long: `Groups the jobs that are retryable, discarded, or cancelled after an error, by kind and by the first line of their last
error, with numbers, ids and quoted values left out.

The newest ` + grouped(operate.MostFailures) + ` failed jobs are read.`,
		Example: `  tidemill jobs errors --since 1h
  tidemill jobs retry --kind send-mail --error "connection refused"`,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if anyEmpty(opts.Kinds) && cmd.Flags().Changed("kind") {
				return &usageError{err: errors.New("--kind is empty"), hint: "leave it out, or give it a value"}
			}
			return checkLimit(limit)
		},
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, _ []string) error {
			groups, capped, err := operate.GroupFailures(ctx, cluster(app), opts)
			if err != nil {
				return err
			}
			return m.showFailures(groups, limit, capped)
		}),
	}
	cmd.Flags().StringSliceVar(&opts.Kinds, "kind", nil, "only of this `kind`; can be repeated")
	cmd.Flags().Var((*duration)(&opts.Since), "since", "only what failed in this time, for example 1h or 7d")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many groups at most")
	return cmd
}

func (m *Main) showFailures(groups []*operate.FailureGroup, limit int, capped bool) error {
	shown := groups[:min(len(groups), limit)]
	if m.json {
		return m.printJSON(map[string]any{"groups": append([]*operate.FailureGroup{}, shown...), "capped": capped})
	}
	rows := make([][]string, len(shown))
	for i, g := range shown {
		rows[i] = []string{
			grouped(g.Count), oneLine(g.Kind), groupStates(g), m.ago(g.LastSeen), clip(oneLine(g.Error), 80), strconv.FormatInt(g.ExampleJob, 10),
		}
	}
	if err := m.table("no failed jobs", []string{"COUNT", "KIND", "STATE", "LAST SEEN", "ERROR", "EXAMPLE"}, rows); err != nil {
		return err
	}
	if left := len(groups) - len(shown); left > 0 {
		fmt.Fprintf(m.Stderr, "%s more; see them with --limit\n", count(int64(left), "group", "groups"))
	}
	if capped {
		fmt.Fprintf(m.Stderr, "only the newest %s failed jobs were looked at; narrow it with --kind or --since\n", grouped(operate.MostFailures))
	}
	return nil
}

func groupStates(g *operate.FailureGroup) string {
	names := slices.Sorted(maps.Keys(g.States))
	if len(names) == 1 {
		return names[0]
	}
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = name + ":" + grouped(g.States[name])
	}
	return strings.Join(parts, " ")
}
