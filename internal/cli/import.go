package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/rescue"
)

func (m *Main) importCmd() *cobra.Command {
	var force, detach, dryRun bool
	var rejectsOf int64
	cmd := &cobra.Command{
		Use:   "import JOB [FILE]",
		Short: "Load a file into a table, and watch",
		Long: `Stores FILE (- for standard input), starts a run of the import job JOB and shows its progress. Without FILE it scans
the source of the job for new files, and shows the runs that this starts.

A worker does the work; start one with "tidemill worker" or "tidemill up". Ctrl-C ends the watching, not the run.
A file with the content of the job's last import is not imported again, unless the job's definition has changed or the table is
empty: the last run is shown. Older files are imported again. See --force, and again: always of the job.

Exit codes: 0 imported, 1 failed, 2 wrong usage, 3 imported but rows were rejected, or with --dry-run would be.`,
		Example: `  tidemill import import-users users.csv
  zcat users.csv.gz | tidemill import import-users -
  tidemill import import-users users.csv --dry-run
  tidemill import import-users users.csv --detach --json
  tidemill import import-drop                            what is new in the source
  tidemill runs rejects 17 -o bad.csv                    fix bad.csv, then
  tidemill import import-users bad.csv --rejects-of 17`,
		Args: args(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if len(args) == 1 {
				if force || dryRun || rejectsOf != 0 {
					return &usageError{err: errors.New("--force, --dry-run and --rejects-of need a FILE")}
				}
				return m.importNew(ctx, args[0], detach)
			}
			if dryRun {
				return m.previewImport(ctx, args[0], args[1])
			}
			return m.importFile(ctx, args[0], args[1], tidemill.ImportOpts{Force: force, RejectsOf: rejectsOf}, detach)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "import again what was imported before")
	cmd.Flags().Int64Var(&rejectsOf, "rejects-of", 0, "the file holds the corrected rejects of this `run`, as \"runs rejects -o\" writes them; the field _error is left out")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would happen to the first rows, and write nothing")
	cmd.Flags().BoolVar(&detach, "detach", false, "print the run's id and do not wait")
	return cmd
}

func (m *Main) importFile(ctx context.Context, job, path string, opts tidemill.ImportOpts, detach bool) error {
	// The file before the database: a mistyped name should not need a connection to be noticed.
	file, name, total, err := m.openInput(path)
	if err != nil {
		return err
	}
	defer file.Close()
	app, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer app.Close()

	bar := newProgress(m.Stderr)
	opts.Progress = func(done int64) { bar.stored(done, total) }
	opts.Trigger = "cli"
	started, err := app.ImportFile(ctx, job, name, file, opts)
	bar.clear()
	if err != nil {
		return m.explainImport(app, job, err)
	}
	if started.Existing {
		fmt.Fprintf(m.Stderr, "run %d has this content already and is the last import of this job, so nothing is imported; --force imports it again, again: always in the job each time\n", started.ID)
	}
	if detach {
		return m.printStarted(started)
	}
	return m.follow(ctx, app, started.ID, bar)
}

func (m *Main) openInput(path string) (io.ReadCloser, string, int64, error) {
	if path == "-" {
		return io.NopCloser(m.Stdin), "stdin", 0, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, "", 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, "", 0, err
	}
	if info.IsDir() {
		return nil, "", 0, fmt.Errorf("%s is a directory", path)
	}
	return file, filepath.Base(path), info.Size(), nil
}

func (m *Main) explainImport(app *tidemill.App, job string, err error) error {
	if _, ok := app.Config.Jobs[job]; ok {
		return err
	}
	names := make([]string, 0, len(app.Config.Jobs))
	for name := range app.Config.Jobs {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return withHint(err, "no jobs are configured; is this the right tidemill.yaml?")
	}
	return withHint(err, "configured jobs: "+strings.Join(names, ", "))
}

// follow watches a run to its end and turns that into output and an exit code.
func (m *Main) follow(ctx context.Context, app *tidemill.App, id int64, bar *progress) error {
	last, err := m.await(ctx, app, id, bar)
	if err != nil {
		return err
	}
	if m.json {
		if err := m.printJSON(last); err != nil {
			return err
		}
	} else {
		m.summary(m.Stdout, app, last)
	}
	return exitOf(last)
}

// await shows the progress of a run until it has ended.
func (m *Main) await(ctx context.Context, app *tidemill.App, id int64, bar *progress) (*batch.Info, error) {
	m.hintNoWorker(ctx, app, id)
	var last *batch.Info
	said := false
	err := app.Ledger.Watch(ctx, id, 100*time.Millisecond, func(info *batch.Info) error {
		last = info
		switch {
		case info.Waits != nil && !said:
			said = true
			bar.clear()
			fmt.Fprintf(m.Stderr, "hint: run %d waits: %s\n", id, *info.Waits)
		case info.Waits != nil || info.Status.Final() || m.json: // a worker that looks at it now and then is no progress
		default:
			bar.show(info)
		}
		return nil
	})
	bar.clear()
	switch {
	case ctx.Err() != nil && m.output != "":
		fmt.Fprintf(m.Stderr, "run %d continues; fetch its file with: tidemill runs download %d -o %s\n", id, id, m.output)
		return nil, &exitError{code: 130}
	case ctx.Err() != nil:
		fmt.Fprintf(m.Stderr, "run %d continues; watch it with: tidemill runs watch %d\n", id, id)
		return nil, &exitError{code: 130}
	case err != nil && batch.Classify(err) == batch.Transient:
		return nil, withHint(fmt.Errorf("lost the database while watching run %d: %w", id, err),
			fmt.Sprintf("the worker continues by itself when the database is back; then: tidemill runs watch %d", id))
	}
	return last, err
}

func exitOf(info *batch.Info) error {
	switch info.Status {
	case batch.Succeeded:
		return nil
	case batch.SucceededWithRejects:
		return &exitError{code: exitRejects}
	default:
		return &exitError{code: exitFailed}
	}
}

// hintNoWorker says so if nobody is there to take the run's queue.
func (m *Main) hintNoWorker(ctx context.Context, app *tidemill.App, id int64) {
	info, err := app.Ledger.Get(ctx, id)
	if err != nil || info.Status != batch.Enqueued {
		return
	}
	job, ok := app.Config.Jobs[info.Job]
	if !ok {
		return
	}
	processes, err := rescue.List(ctx, app.Pool, app.Schema())
	if err != nil {
		return
	}
	for _, process := range processes {
		var queues map[string]int
		_ = json.Unmarshal(process.Queues, &queues)
		if _, takes := queues[job.Queue]; takes && process.Alive() && !process.Draining {
			return
		}
	}
	fmt.Fprintf(m.Stderr, "hint: no live worker takes queue %q; start one with: tidemill worker\n", job.Queue)
}

func noteOf(info *batch.Info) string {
	var result struct {
		Note string `json:"note"`
	}
	_ = json.Unmarshal(info.Result, &result)
	return result.Note
}
