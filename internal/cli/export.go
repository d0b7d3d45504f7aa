package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/workers/kind"
)

func (m *Main) exportCmd() *cobra.Command {
	var params []string
	var object, out string
	var detach bool
	cmd := &cobra.Command{
		Use:   "export JOB",
		Short: "Write a table or a query into a file, and watch",
		Long: `Starts a run of the export job JOB, shows its progress, and with -o writes the file when it is complete.

A worker does the work and writes into the storage, which this command must reach, too; start one with "tidemill worker"
or "tidemill up". FILE is replaced as a whole, once its SHA-256 is known to be right; - is standard output. Ctrl-C ends the
watching, not the run; "tidemill runs download" fetches its file later, until it expires.

Exit codes: 0 exported, 1 failed, 2 wrong usage.`,
		Example: `  tidemill export export-users -o users.csv
  tidemill export export-users -o - | gzip > users.csv.gz
  tidemill export export-day --param day=2026-01-31 --detach`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := tidemill.StartOpts{}
			var err error
			if opts.Params, err = parseParams(params, object); err != nil {
				return err
			}
			if out == "-" && m.json {
				return &usageError{err: errors.New("--json and -o - both want standard output"), hint: "write to a file, or leave --json out"}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return m.export(ctx, args[0], out, opts, detach)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&out, "output", "o", "", "write the file to `FILE`, - for standard output")
	flags.StringArrayVarP(&params, "param", "p", nil, "a param, as `name=value`; may be given several times")
	flags.StringVar(&object, "params", "", "params as a `JSON` object")
	flags.BoolVar(&detach, "detach", false, "print the run's id and do not wait")
	cmd.MarkFlagsMutuallyExclusive("param", "params")
	cmd.MarkFlagsMutuallyExclusive("output", "detach")
	return cmd
}

func (m *Main) export(ctx context.Context, job, path string, opts tidemill.StartOpts, detach bool) error {
	// The file before the run: a folder that is not there should not cost an export to be noticed.
	target, err := m.openOutput(path)
	if err != nil {
		return err
	}
	defer target.discard()
	app, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer app.Close()
	if def, ok := app.Config.Jobs[job]; ok && kindOf(app, def).Output == nil {
		return withHint(fmt.Errorf("job %s is of kind %s, which writes no file", job, def.Kind), startHint(def))
	}
	started, err := startRun(ctx, app, job, opts)
	if err != nil {
		return m.explainStart(app, job, err)
	}
	if started.Existing {
		m.sayLive(started)
	}
	if detach {
		return m.printStarted(started)
	}
	id := started.ID
	m.output = path
	if path == "-" {
		m.Stdout = m.Stderr // target has the other
	}
	bar := newProgress(m.Stderr)
	if path == "" {
		return m.follow(ctx, app, id, bar)
	}
	if err := m.fetch(ctx, app, id, target, bar); err != nil {
		return err
	}
	if err := m.follow(ctx, app, id, bar); err != nil {
		return err
	}
	return m.keep(target)
}

// fetch copies the file, to a file while the run still writes it, elsewhere when it is complete. It leaves a run that
// writes none, and an end of ctx, to follow.
func (m *Main) fetch(ctx context.Context, app *tidemill.App, id int64, target *output, bar *progress) error {
	m.hintNoWorker(ctx, app, id)
	fetch, err := app.Fetch(ctx, id, target)
	if err != nil {
		return err
	}
	ahead := target.path != ""
	var failed error
	complete := errors.New("complete")
	err = app.Ledger.Watch(ctx, id, 50*time.Millisecond, func(info *batch.Info) error {
		if len(info.Result) > 0 {
			return complete
		}
		if !info.Status.Final() && !m.json {
			bar.show(info)
		}
		if !ahead {
			return nil
		}
		switch err := fetch.Advance(ctx); {
		case isFull(err):
			failed = err
		case err != nil:
			ahead = false // it is for the end to say what is wrong, if it still is
		}
		return failed
	})
	switch {
	case errors.Is(err, complete):
		return m.finish(ctx, fetch, id, bar)
	case failed != nil && ctx.Err() == nil:
		bar.clear()
		return m.explainFetch(id, failed)
	}
	return nil
}

func (m *Main) runsDownloadCmd() *cobra.Command {
	var out string
	cmd := m.withRun(&cobra.Command{
		Use: "download RUN", Short: "Fetch the file of an export",
		Long: `Fetches the file that an export has written, from the storage, and checks its SHA-256. FILE is replaced as a whole or not
at all.`,
		Example: "  tidemill runs download 17 -o users.csv",
		PreRunE: func(*cobra.Command, []string) error {
			if out == "" {
				return &usageError{err: errors.New("-o FILE is missing"), hint: "-o - is standard output"}
			}
			return nil
		},
	}, func(ctx context.Context, app *tidemill.App, id int64) error {
		target, err := m.openOutput(out)
		if err != nil {
			return err
		}
		defer target.discard()
		fetch, err := app.Fetch(ctx, id, target)
		if err != nil {
			return err
		}
		if err := m.finish(ctx, fetch, id, newProgress(m.Stderr)); err != nil {
			return m.explainDownload(ctx, app, id, err)
		}
		return m.keep(target)
	})
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to `FILE`, - for standard output")
	return cmd
}

// finish copies the rest of a file that is complete.
func (m *Main) finish(ctx context.Context, fetch *tidemill.Fetch, id int64, bar *progress) error {
	err := fetch.Finish(ctx, func(done, total int64) {
		bar.text(fmt.Sprintf("writing  %s %3.0f %%  %s", bar24(done, total), percentOf(done, total), size(done)))
	})
	bar.clear()
	return m.explainFetch(id, err)
}

func (m *Main) explainFetch(id int64, err error) error {
	if isFull(err) {
		return withHint(err, fmt.Sprintf("the file stays in the storage; free or add space here, then: tidemill runs download %d -o FILE", id))
	}
	return err
}

// explainDownload says what to do where a run has no file, or none any more.
func (m *Main) explainDownload(ctx context.Context, app *tidemill.App, id int64, err error) error {
	info, infoErr := app.Ledger.Get(ctx, id)
	if infoErr != nil {
		return err
	}
	k := kindOfRun(app, info)
	if k.Output == nil {
		return err
	}
	switch expires := describe(k, info).Expires; {
	case !expires.IsZero() && m.now().After(expires):
		return withHint(fmt.Errorf("the file of run %d was kept until %s", id, expires.Local().Format("2006-01-02 15:04")), "tidemill export "+info.Job)
	case !expires.IsZero():
		return err
	case info.Status.Final():
		return withHint(err, fmt.Sprintf("tidemill runs show %d", id))
	}
	return withHint(err, fmt.Sprintf("tidemill runs watch %d", id))
}

// describe is what the kind says of a run.
func describe(k kind.Kind, info *batch.Info) kind.Description {
	if k.Describe == nil {
		return kind.Description{}
	}
	return k.Describe(info)
}

// keep puts the file in its place.
func (m *Main) keep(target *output) error {
	n, err := target.keep()
	if err == nil && target.path != "" {
		fmt.Fprintf(m.Stderr, "%s written to %s\n", size(n), target.path)
	}
	return err
}

func percentOf(done, total int64) float64 {
	if total <= 0 {
		return 100
	}
	return 100 * float64(done) / float64(total)
}

func bar24(done, total int64) string { return bar(percentOf(done, total) / 100) }

// output is where a file goes: to standard output, or under another name first, so that one that is there is replaced as a
// whole or not at all.
type output struct {
	w    io.Writer
	path string   // empty: nothing is replaced
	file *os.File // nil: standard output, or nothing
}

// openOutput opens path; - is standard output, and "" is nothing.
func (m *Main) openOutput(path string) (*output, error) {
	switch path {
	case "":
		return &output{w: io.Discard}, nil
	case "-":
		return &output{w: m.Stdout}, nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a directory", path)
	case err == nil && !info.Mode().IsRegular(): // a pipe or a device is written to, and not replaced
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &output{w: file, file: file}, err
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails, by its documentation
	beside := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s-%x", filepath.Base(path), random))
	file, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if info != nil {
		_ = file.Chmod(info.Mode().Perm()) // as it was, if it may be
	}
	return &output{w: file, path: path, file: file}, nil
}

func (o *output) Write(p []byte) (int, error) { return o.w.Write(p) }

// Rewind starts over. It is never called for what cannot.
func (o *output) Rewind() error {
	if err := o.file.Truncate(0); err != nil {
		return err
	}
	_, err := o.file.Seek(0, io.SeekStart)
	return err
}

// keep puts the file in its place and returns its size.
func (o *output) keep() (int64, error) {
	if o.path == "" {
		return 0, nil
	}
	n, err := o.file.Seek(0, io.SeekEnd)
	if err = errors.Join(err, o.file.Close()); err != nil {
		return 0, err
	}
	return n, os.Rename(o.file.Name(), o.path)
}

// discard removes what was not kept.
func (o *output) discard() {
	if o.file == nil {
		return
	}
	_ = o.file.Close()
	if o.path != "" {
		_ = os.Remove(o.file.Name())
	}
}
