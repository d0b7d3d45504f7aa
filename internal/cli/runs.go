package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
)

func (m *Main) runsCmd() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "runs",
		Short: "Show and manage runs",
		Example: `  tidemill runs list --job import-users
  tidemill runs watch 42
  tidemill runs pause 42`,
	})
	cmd.AddCommand(m.runsListCmd(), m.runsShowCmd(), m.runsWatchCmd(), m.runsRejectsCmd(), m.runsDownloadCmd(), m.runsRetryCmd(),
		m.steerCmd("cancel", "End a run; what is committed is kept", "cancellation asked for", (*batch.Ledger).Cancel),
		m.steerCmd("pause", "Stop a run after its current chunk, until it is resumed", "pause asked for", (*batch.Ledger).Pause),
		m.steerCmd("resume", "Let a paused run continue", "resumed", (*batch.Ledger).Resume))
	return cmd
}

// withRun makes fn what a command does with the run that its argument names, once it is connected.
func (m *Main) withRun(cmd *cobra.Command, fn func(ctx context.Context, app *tidemill.App, id int64) error) *cobra.Command {
	var id int64
	check := cmd.PreRunE
	cmd.Args = args(1, 1)
	cmd.PreRunE = func(cmd *cobra.Command, args []string) (err error) {
		if id, err = strconv.ParseInt(args[0], 10, 64); err != nil {
			return &usageError{err: fmt.Errorf("%q is not a run's id", args[0]), hint: "tidemill runs list"}
		}
		if check != nil {
			return check(cmd, args)
		}
		return nil
	}
	cmd.RunE = m.watching(func(ctx context.Context, app *tidemill.App, _ []string) error { return fn(ctx, app, id) })
	return cmd
}

func (m *Main) runsListCmd() *cobra.Command {
	var opts batch.ListOpts
	var status string
	cmd := &cobra.Command{
		Use: "list", Short: "List runs, the newest first", Args: args(0, 0),
		PreRunE: func(*cobra.Command, []string) error {
			opts.Status = batch.Status(status)
			if status != "" && !slices.Contains(statuses(), opts.Status) {
				return &usageError{err: fmt.Errorf("%q is not a status of a run", status), hint: "one of " + joinStatuses()}
			}
			return nil
		},
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, _ []string) error {
			infos, err := app.Ledger.List(ctx, opts)
			if err != nil {
				return err
			}
			return list(m, infos, "no runs", []string{"RUN", "JOB", "STATUS", "PROGRESS", "ROWS", "REJECTED", "STARTED", "TOOK", "ERROR"}, m.runRow)
		}),
	}
	cmd.Flags().StringVar(&opts.Job, "job", "", "only of this job")
	cmd.Flags().StringVar(&status, "status", "", "only with this status, for example failed")
	cmd.Flags().IntVarP(&opts.Limit, "limit", "n", 20, "how many at most")
	return cmd
}

func statuses() []batch.Status {
	return []batch.Status{
		batch.Enqueued, batch.Running, batch.Pausing, batch.Paused, batch.Cancelling, batch.Retrying,
		batch.Succeeded, batch.SucceededWithRejects, batch.Failed, batch.Cancelled,
	}
}

func joinStatuses() string {
	var names []string
	for _, status := range statuses() {
		names = append(names, string(status))
	}
	return strings.Join(names, ", ")
}

func (m *Main) runRow(info *batch.Info) []string {
	progress, started, took, failure := "", "", "", ""
	if percent, ok := info.Percent(); ok {
		progress = fmt.Sprintf("%.0f %%", percent)
	}
	if info.StartedAt != nil {
		started = m.ago(*info.StartedAt)
		end := m.now()
		if info.FinishedAt != nil {
			end = *info.FinishedAt
		}
		took = span(end.Sub(*info.StartedAt))
	}
	if info.Error != nil {
		failure = clip(oneLine(*info.Error), 60)
	} else if info.Waits != nil {
		failure = clip(*info.Waits, 60)
	}
	return []string{
		strconv.FormatInt(info.ID, 10), info.Job, string(info.Status), progress, grouped(info.Counters.Read),
		grouped(info.Counters.Rejected), started, took, failure,
	}
}

func oneLine(text string) string { return printable(strings.Join(strings.Fields(text), " ")) }

func (m *Main) runsShowCmd() *cobra.Command {
	return m.withRun(&cobra.Command{Use: "show RUN", Short: "Show one run"}, func(ctx context.Context, app *tidemill.App, id int64) error {
		info, err := app.Ledger.Get(ctx, id)
		if err != nil {
			return err
		}
		if m.json {
			return m.printJSON(info)
		}
		m.summary(m.Stdout, app, info)
		fmt.Fprintf(m.Stdout, "job %s (%s), started by %s, enqueued %s\n", info.Job, info.Kind, info.Trigger, m.ago(info.EnqueuedAt))
		if due, waits, err := app.Ledger.Due(ctx, id); err != nil {
			return err
		} else if waits {
			fmt.Fprintf(m.Stdout, "due %s\n", m.when(due))
		}
		if info.Waits != nil {
			fmt.Fprintf(m.Stdout, "waits: %s\n", *info.Waits)
		}
		if info.RetryOf != nil {
			fmt.Fprintf(m.Stdout, "resumes from run %d\n", *info.RetryOf)
		}
		if percent, ok := info.Percent(); ok {
			fmt.Fprintf(m.Stdout, "progress %.1f %%: %s of %s %s in %s\n", percent, grouped(info.Done), grouped(*info.Total), *info.Unit,
				count(info.Seq, "chunk", "chunks"))
		}
		fmt.Fprintf(m.Stdout, "params %s\n", info.Params)
		return nil
	})
}

func (m *Main) runsWatchCmd() *cobra.Command {
	return m.withRun(&cobra.Command{Use: "watch RUN", Short: "Show a run's progress until it ends"}, func(ctx context.Context, app *tidemill.App, id int64) error {
		return m.follow(ctx, app, id, newProgress(m.Stderr))
	})
}

func (m *Main) steerCmd(verb, short, done string, steer func(*batch.Ledger, context.Context, int64) error) *cobra.Command {
	return m.withRun(&cobra.Command{Use: verb + " RUN", Short: short}, func(ctx context.Context, app *tidemill.App, id int64) error {
		if err := steer(app.Ledger, ctx, id); err != nil {
			return err
		}
		return m.said(ctx, app, id, done)
	})
}

func (m *Main) runsRetryCmd() *cobra.Command {
	var fromStart bool
	cmd := m.withRun(&cobra.Command{
		Use: "retry RUN", Short: "Let a failed or cancelled run resume where it stopped",
		Long: `Lets a failed or cancelled run resume from its last committed chunk, or starts one that waits for its retry at once.

If its River job was cleaned away meanwhile, a new run continues in its place.`,
	}, func(ctx context.Context, app *tidemill.App, id int64) error {
		retried, err := app.Ledger.Retry(ctx, id, batch.RetryOpts{FromStart: fromStart})
		if err != nil {
			return err
		}
		return m.said(ctx, app, retried, "retried")
	})
	cmd.Flags().BoolVar(&fromStart, "from-start", false, "start over, as a new run")
	return cmd
}

// said confirms what was asked, with the status that the run has by then.
func (m *Main) said(ctx context.Context, app *tidemill.App, id int64, done string) error {
	info, err := app.Ledger.Get(ctx, id)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(info)
	}
	_, err = fmt.Fprintf(m.Stdout, "run %d: %s; it is %s\n", id, done, info.Status)
	return err
}

func (m *Main) runsRejectsCmd() *cobra.Command {
	var limit int
	var out string
	cmd := m.withRun(&cobra.Command{
		Use: "rejects RUN", Short: "Show the rows that a run put aside, and why",
		Long: `Shows the rows that a run put aside, and why. With -o FILE (- for standard output) it writes all of them as a file of the
same form with one more field, _error. Fix it and give it back: tidemill import JOB FILE --rejects-of RUN`,
		Example: `  tidemill runs rejects 17
  tidemill runs rejects 17 -o bad.csv`,
	}, func(ctx context.Context, app *tidemill.App, id int64) error {
		if out != "" {
			return m.saveRejects(ctx, app, id, out)
		}
		info, err := app.Ledger.Get(ctx, id)
		if err != nil {
			return err
		}
		rejects, err := app.Ledger.Rejects(ctx, id, 0, limit)
		if err != nil {
			return err
		}
		if m.json {
			return m.printJSON(rejectsJSON(rejects))
		}
		rows := make([][]string, len(rejects))
		for i, r := range rejects {
			rows[i] = []string{strconv.FormatInt(r.Line, 10), r.Code, oneLine(r.Reason), clip(oneLine(string(r.Raw)), 60)}
		}
		if err := m.table("no rejects", []string{"LINE", "CODE", "REASON", "ROW"}, rows); err != nil {
			return err
		}
		if left := info.Counters.Rejected - int64(len(rejects)); left > 0 {
			fmt.Fprintf(m.Stderr, "%s more; see them with --limit\n", grouped(left))
		}
		return nil
	})
	cmd.Flags().IntVarP(&limit, "limit", "n", 100, "how many at most")
	cmd.Flags().StringVarP(&out, "output", "o", "", "write all of them to `FILE`, to be fixed")
	return cmd
}

// saveRejects writes the file under another name first, so that one that is there is replaced as a whole or not at all.
func (m *Main) saveRejects(ctx context.Context, app *tidemill.App, id int64, path string) error {
	info, err := app.Ledger.Get(ctx, id)
	if err != nil {
		return err
	}
	input := kindOfRun(app, info).Input
	switch {
	case input == nil:
		return fmt.Errorf("run %d kept nothing of the form of its file; its rejects can only be listed", id)
	case path == "-":
		_, err := input.WriteRejects(ctx, app.Ledger, id, m.Stdout)
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	n, err := input.WriteRejects(ctx, app.Ledger, id, file)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	fmt.Fprintf(m.Stderr, "%s written to %s; correct them, then: tidemill import JOB %s --rejects-of %d\n", count(n, "row", "rows"), path, path, id)
	return nil
}

type rejectJSON struct {
	batch.Reject
	Raw    string `json:"raw"`
	Base64 []byte `json:"raw_base64,omitempty"` // if the row is no valid text
}

func rejectsJSON(rejects []batch.Reject) []rejectJSON {
	out := make([]rejectJSON, len(rejects))
	for i, r := range rejects {
		out[i] = rejectJSON{Reject: r, Raw: strings.ToValidUTF8(string(r.Raw), "\uFFFD")}
		if !utf8.Valid(r.Raw) {
			out[i].Base64 = r.Raw
		}
	}
	return out
}
