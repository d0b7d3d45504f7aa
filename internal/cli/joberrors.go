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

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
)

// mostFailures is how many failed jobs are looked at; an outage can leave millions.
const mostFailures = 10_000

func (m *Main) jobsErrorsCmd() *cobra.Command {
	var kinds []string
	var since duration
	var limit int
	cmd := &cobra.Command{
		Use: "errors", Short: "Group failed jobs by kind and error", Args: args(0, 0),
		Long: `Groups the jobs that are retryable, discarded, or cancelled after an error, by kind and by the first line of their last
error, with numbers, ids and quoted values left out.

The newest ` + grouped(mostFailures) + ` failed jobs are looked at.`,
		Example: `  tidemill jobs errors --since 1h
  tidemill jobs retry --kind send-mail --error "connection refused"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			if anyEmpty(kinds) && cmd.Flags().Changed("kind") {
				return &usageError{err: errors.New("--kind is empty"), hint: "leave it out, or give it a value"}
			}
			app, err := m.open(cmd.Context())
			if err != nil {
				return err
			}
			defer app.Close()
			failures, err := readFailures(cmd.Context(), app, kinds, time.Duration(since))
			if err != nil {
				return err
			}
			capped := len(failures) > mostFailures
			groups := groupFailures(failures[:min(len(failures), mostFailures)])
			return m.showFailures(groups, limit, capped)
		},
	}
	cmd.Flags().StringSliceVar(&kinds, "kind", nil, "only of this `kind`; can be repeated")
	cmd.Flags().Var(&since, "since", "only what failed in this time, for example 1h or 7d")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many groups at most")
	return cmd
}

// failure is a job that failed, with its last error.
type failure struct {
	ID    int64
	Kind  string
	State string
	At    time.Time
	Error string
}

// failedJobs reads the newest failures of each state by an index where there is one. What somebody cancelled has not failed.
const failedJobs = `
	WITH failed AS (
		(SELECT id, kind, state, finalized_at AS at, errors FROM {river}.river_job
		  WHERE state = 'discarded' AND finalized_at IS NOT NULL AND finalized_at >= %[3]s AND cardinality(errors) > 0 AND %[1]s
		  ORDER BY finalized_at DESC LIMIT @size)
		UNION ALL
		(SELECT id, kind, state, finalized_at, errors FROM {river}.river_job
		  WHERE state = 'cancelled' AND finalized_at IS NOT NULL AND finalized_at >= %[3]s AND cardinality(errors) > 0 AND %[1]s
		    AND coalesce(%[2]s, '') NOT LIKE '%%job cancelled remotely'
		  ORDER BY finalized_at DESC LIMIT @size)
		UNION ALL
		(SELECT id, kind, state, coalesce(attempted_at, created_at), errors FROM {river}.river_job
		  WHERE state = 'retryable' AND coalesce(attempted_at, created_at) >= %[3]s AND cardinality(errors) > 0 AND %[1]s
		  ORDER BY 4 DESC LIMIT @size))
	SELECT id, kind, state::text, at, left(coalesce(%[2]s, ''), 4096) FROM failed ORDER BY at DESC LIMIT @size`

// notBefore is SQL for the beginning of time, or of --since.
const notBefore = `coalesce(now() - make_interval(secs => @since::float8), '-infinity')`

// readFailures returns the newest failures first, one more than mostFailures if there are more.
func readFailures(ctx context.Context, app *App, kinds []string, since time.Duration) ([]failure, error) {
	filter := jobFilter{kinds: kinds}
	condition, args := where(filter.conditions())
	args["size"] = mostFailures + 1
	args["since"] = nil
	if since > 0 {
		args["since"] = since.Seconds()
	}
	rows, err := app.Pool.Query(ctx, app.Schema.SQL(fmt.Sprintf(failedJobs, condition, lastError, notBefore)), args)
	if err != nil {
		return nil, fmt.Errorf("read failed jobs: %w", err)
	}
	failures, err := pgx.CollectRows(rows, pgx.RowToStructByPos[failure])
	if err != nil {
		return nil, fmt.Errorf("read failed jobs: %w", err)
	}
	return failures, nil
}

// failureGroup is the failures of one kind with the same error.
type failureGroup struct {
	Count    int64            `json:"count"`
	Kind     string           `json:"kind"`
	Error    string           `json:"error"` // see sameError
	States   map[string]int64 `json:"states"`
	LastSeen time.Time        `json:"last_seen"`
	// The newest job of the group, and the first line of its error as it is.
	ExampleJob   int64  `json:"example_job"`
	ExampleError string `json:"example_error"`
}

// groupFailures groups failures, which come newest first. The largest group is the first.
func groupFailures(failures []failure) []*failureGroup {
	type key struct{ kind, text string }
	groups := map[key]*failureGroup{}
	for _, f := range failures {
		k := key{f.Kind, sameError(f.Error)}
		g := groups[k]
		if g == nil {
			g = &failureGroup{
				Kind: f.Kind, Error: k.text, States: map[string]int64{}, LastSeen: f.At, ExampleJob: f.ID, ExampleError: firstLine(f.Error),
			}
			groups[k] = g
		}
		g.Count++
		g.States[f.State]++
	}
	return slices.SortedFunc(maps.Values(groups), func(a, b *failureGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.LastSeen.Compare(a.LastSeen), cmp.Compare(b.ExampleJob, a.ExampleJob))
	})
}

func (m *Main) showFailures(groups []*failureGroup, limit int, capped bool) error {
	shown := groups[:min(len(groups), limit)]
	if m.json {
		return m.printJSON(map[string]any{"groups": orEmpty(shown), "capped": capped})
	}
	rows := make([][]string, len(shown))
	for i, g := range shown {
		rows[i] = []string{
			grouped(g.Count), oneLine(g.Kind), g.states(), m.ago(g.LastSeen), clip(oneLine(g.Error), 80), strconv.FormatInt(g.ExampleJob, 10),
		}
	}
	if err := m.table("no failed jobs", []string{"COUNT", "KIND", "STATE", "LAST SEEN", "ERROR", "EXAMPLE"}, rows); err != nil {
		return err
	}
	if left := len(groups) - len(shown); left > 0 {
		fmt.Fprintf(m.Stderr, "%s more; see them with --limit\n", count(int64(left), "group", "groups"))
	}
	if capped {
		fmt.Fprintf(m.Stderr, "only the newest %s failed jobs were looked at; narrow it with --kind or --since\n", grouped(mostFailures))
	}
	return nil
}

func (g *failureGroup) states() string {
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
