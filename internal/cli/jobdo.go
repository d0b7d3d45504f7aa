package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/internal/operate"
)

// jobBulk is a verb that is about to be done to the jobs of a filter.
type jobBulk struct {
	app     *tidemill.App
	verb    *jobVerb
	filter  operate.JobFilter
	highest int64 // id at the time of the count
}

// bulkOpts say how much asking a bulk needs.
type bulkOpts struct{ all, dryRun, yes bool }

func (m *Main) jobVerbCmd(verb *jobVerb) *cobra.Command {
	var filter operate.JobFilter
	var opts bulkOpts
	cmd := &cobra.Command{
		Use: verb.Name + " [ID...]", Short: verb.short, Args: cobra.ArbitraryArgs,
		Long: verb.long + `

Name jobs by id, or give a filter: matching jobs are counted first, and on a terminal you are asked to confirm.
Jobs that change in the meantime are skipped. Ctrl-C stops after the current ` + grouped(operate.BulkSize) + ` jobs and says how far it got.

Exit codes: 0 done, 1 failed, a job named by its id was skipped or the answer was no, 2 wrong usage, 130 ended by Ctrl-C.`,
		PreRunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := checkJobFilter(cmd, &filter); err != nil {
				return err
			}
			for _, arg := range args {
				id, err := parseJobID(arg)
				if err != nil {
					return err
				}
				filter.IDs = append(filter.IDs, id)
			}
			filter, err = verb.prepare(filter, opts.all)
			return err
		},
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, _ []string) error {
			return m.bulk(ctx, &jobBulk{app: app, verb: verb, filter: filter}, opts)
		}),
	}
	addJobFilter(cmd, &filter, verb.Possible())
	flags := cmd.Flags()
	flags.BoolVar(&opts.all, "all", false, "without a filter: all jobs that "+verb.usually)
	flags.BoolVar(&opts.dryRun, "dry-run", false, "only say how many jobs match")
	flags.BoolVarP(&opts.yes, "yes", "y", false, "do not ask")
	return cmd
}

// prepare refuses what would take other jobs than were meant, and narrows the filter to the verb's states.
func (v *jobVerb) prepare(filter operate.JobFilter, all bool) (operate.JobFilter, error) {
	others := filter
	others.IDs = nil
	named := len(filter.IDs) > 0
	switch {
	case named && (all || !others.Empty()):
		return filter, &usageError{err: fmt.Errorf("jobs %s takes ids or a filter, not both", v.Name)}
	case all && !others.Empty():
		return filter, &usageError{err: errors.New("--all and a filter exclude each other")}
	case !named && !all && others.Empty():
		return filter, &usageError{err: errors.New("which jobs? none is named"), hint: "name ids, give a filter such as --kind, or --all; see tidemill jobs " + v.Name + " --help"}
	}
	filter, err := v.Narrow(filter)
	if err != nil {
		return filter, &usageError{err: err, hint: "only those that are " + strings.Join(v.Possible(), ", ")}
	}
	return filter, nil
}

func (m *Main) bulk(ctx context.Context, b *jobBulk, opts bulkOpts) error {
	counted, err := operate.CountBulk(ctx, cluster(b.app), b.verb.JobVerb, b.filter)
	if err != nil {
		return err
	}
	b.highest = counted.Highest
	out := &bulkJSON{Matched: counted.Matched, States: counted.States, DryRun: opts.dryRun, Reasons: []operate.SkippedJob{}}
	named := len(b.filter.IDs) > 0
	switch {
	case opts.dryRun && m.json:
		return m.printJSON(out)
	case opts.dryRun:
		_, err := fmt.Fprintln(m.Stdout, out.matches())
		return err
	case !named && out.Matched > 0 && !opts.yes:
		if err := m.confirm(b.verb, out); err != nil {
			return err
		}
	}
	return m.doBulk(ctx, b, out)
}

// confirm asks whether to continue; where nobody can be asked, --yes must have said so.
func (m *Main) confirm(verb *jobVerb, out *bulkJSON) error {
	if m.json || !isTerminal(m.Stdin) || !isTerminal(m.Stderr) {
		return &usageError{
			err:  fmt.Errorf("%s; %s them without being asked needs --yes", out.matches(), verb.doing),
			hint: "see what they are with: tidemill jobs list, and the same filter",
		}
	}
	fmt.Fprintf(m.Stderr, "%s; %s them? [y/N] ", out.matches(), verb.Name)
	answer, err := bufio.NewReader(m.Stdin).ReadString('\n')
	if err != nil {
		fmt.Fprintln(m.Stderr) // the terminal's own line was not ended
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	fmt.Fprintln(m.Stderr, "nothing was done")
	return &exitError{code: exitFailed}
}

func (m *Main) doBulk(ctx context.Context, b *jobBulk, out *bulkJSON) error {
	ctx, stop := untilSignal(ctx, m.Stderr)
	defer stop()
	unsaid := context.AfterFunc(ctx, func() { fmt.Fprintln(m.Stderr, "\nending after the jobs in hand; a second Ctrl-C ends at once") })
	bar := newProgress(m.Stderr)
	did, err := operate.Bulk(ctx, cluster(b.app), operate.BulkOpts{
		Verb: b.verb.JobVerb, Filter: b.filter, Highest: b.highest,
		Progress: func(done int64) {
			bar.text(fmt.Sprintf("%s %s of %s", b.verb.Done, grouped(done), grouped(out.Matched)))
		},
	})
	unsaid()
	bar.clear()
	out.Interrupted = errors.Is(err, context.Canceled)
	if err != nil && !out.Interrupted {
		return fmt.Errorf("%s were %s, then: %w", count(did.Done, "job", "jobs"), b.verb.Done, err)
	}
	out.Done, out.Running, out.Skipped = did.Done, did.Running, did.Skipped
	out.Reasons = append(out.Reasons, did.Reasons...)
	if err := m.saidBulk(b, out); err != nil {
		return err
	}
	switch {
	case out.Interrupted:
		return &exitError{code: 130}
	case len(b.filter.IDs) > 0 && out.Skipped > 0:
		return &exitError{code: exitFailed}
	}
	return nil
}

func (m *Main) saidBulk(b *jobBulk, out *bulkJSON) error {
	if m.json {
		return m.printJSON(out)
	}
	if out.Matched == 0 && len(b.filter.IDs) == 0 {
		_, err := fmt.Fprintln(m.Stderr, "no job matches")
		return err
	}
	for _, job := range out.Reasons {
		fmt.Fprintf(m.Stderr, "job %d skipped: %s\n", job.ID, job.Reason)
	}
	if left := out.Skipped - int64(len(out.Reasons)); left > 0 {
		fmt.Fprintf(m.Stderr, "%s more skipped\n", grouped(left))
	}
	if out.Interrupted {
		fmt.Fprintf(m.Stderr, "interrupted: %s of %s; the same command takes the rest\n", grouped(out.Done), count(out.Matched, "job", "jobs"))
	}
	switch {
	case out.Running == 1:
		fmt.Fprintln(m.Stderr, "1 of them is running; it ends when its worker notices")
	case out.Running > 1:
		fmt.Fprintf(m.Stderr, "%s of them are running; they end when their workers notice\n", grouped(out.Running))
	}
	_, err := fmt.Fprintf(m.Stdout, "%s %s\n", b.verb.Done, count(out.Done, "job", "jobs"))
	return err
}

// bulkJSON is the outcome of a bulk as --json shows it.
type bulkJSON struct {
	Matched     int64                `json:"matched"` // when counted
	States      map[string]int64     `json:"states"`
	DryRun      bool                 `json:"dry_run"`
	Done        int64                `json:"done"`
	Running     int64                `json:"running"` // of those done: asked to end
	Skipped     int64                `json:"skipped"`
	Reasons     []operate.SkippedJob `json:"reasons"` // of the first skipped
	Interrupted bool                 `json:"interrupted"`
}

// matches says how many jobs match, and in which states if there are several.
func (b *bulkJSON) matches() string {
	text := count(b.Matched, "job matches", "jobs match")
	if len(b.States) < 2 {
		return text
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(b.States)) {
		parts = append(parts, grouped(b.States[state])+" "+state)
	}
	return text + " (" + strings.Join(parts, ", ") + ")"
}
