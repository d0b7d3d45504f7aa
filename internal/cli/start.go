package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
)

func (m *Main) startCmd() *cobra.Command {
	var params []string
	var object, at string
	var in time.Duration
	var wait bool
	var due dueTime
	var opts tidemill.StartOpts
	cmd := &cobra.Command{
		Use:   "start JOB",
		Short: "Start a configured job",
		Long: `Starts a run of the configured job JOB and prints its id; with --wait it shows the run until it has ended.

Of a job that is unique the live run is returned, if there is one. A start of an import looks for new files in its source; one
without source takes a file: tidemill import.

Exit codes: 0 started (with --wait: succeeded), 1 failed, 2 wrong usage.`,
		Example: `  tidemill start daily-report
  tidemill start stats --param day=2026-01-31 --wait
  tidemill start sync-users --params '{"record": 17}' --in 10m`,
		Args: args(1, 1),
		PreRunE: func(*cobra.Command, []string) (err error) {
			if opts.Params, err = parseParams(params, object); err != nil {
				return err
			}
			due, err = parseDue(at, in)
			return err
		},
		RunE: m.watching(func(ctx context.Context, app *tidemill.App, args []string) error {
			opts.At = due.time(app)
			started, err := startRun(ctx, app, args[0], opts)
			if err != nil {
				return m.explainStart(app, args[0], err)
			}
			if started.Existing {
				m.sayLive(started)
			}
			if wait {
				return m.follow(ctx, app, started.ID, newProgress(m.Stderr))
			}
			return m.printStarted(started)
		}),
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&params, "param", "p", nil, "a param, as `name=value`; may be given several times")
	flags.StringVar(&object, "params", "", "params as a `JSON` object")
	flags.StringVar(&at, "at", "", "when it is due, as `2026-01-31T09:00:00+09:00`")
	flags.DurationVar(&in, "in", 0, "how long until it is due")
	flags.StringVar(&opts.Queue, "queue", "", "queue in place of the job's own")
	flags.IntVar(&opts.Priority, "priority", 0, "1 to 4, 1 first, in place of the job's own")
	flags.BoolVar(&wait, "wait", false, "show the run until it has ended")
	cmd.MarkFlagsMutuallyExclusive("at", "in")
	cmd.MarkFlagsMutuallyExclusive("param", "params")
	return cmd
}

// startRun starts a run of a job in a transaction of its own.
func startRun(ctx context.Context, app *tidemill.App, job string, opts tidemill.StartOpts) (started *batch.Started, err error) {
	opts.Trigger = "cli"
	err = pgx.BeginFunc(ctx, app.Pool, func(tx pgx.Tx) error {
		started, err = app.StartWith(ctx, tx, job, opts)
		return err
	})
	return started, err
}

func (m *Main) sayLive(started *batch.Started) {
	fmt.Fprintf(m.Stderr, "run %d of this job is live; it is not started again\n", started.ID)
}

// printStarted prints the id of a run that nobody waits for.
func (m *Main) printStarted(started *batch.Started) error {
	if m.json {
		return m.printJSON(map[string]any{"id": started.ID, "existing": started.Existing})
	}
	_, err := fmt.Fprintln(m.Stdout, started.ID)
	return err
}

// startHint is how a job of any kind is started.
func startHint(job *config.Job) string {
	if job.NeedsFile() != nil {
		return fmt.Sprintf("tidemill import %s FILE", job.Name)
	}
	return "tidemill start " + job.Name
}

func (m *Main) explainStart(app *tidemill.App, job string, err error) error {
	def, ok := app.Config.Jobs[job]
	var param *config.ParamError
	switch {
	case !ok:
		return m.explainImport(app, job, err)
	case def.NeedsFile() != nil:
		return withHint(err, startHint(def))
	case errors.As(err, &param):
		return &usageError{err: err}
	}
	return err
}

// parseParams reads --param and --params.
func parseParams(pairs []string, object string) (map[string]any, error) {
	if object != "" {
		var raw map[string]json.RawMessage
		if err := json.Unmarshal([]byte(object), &raw); err != nil || raw == nil {
			return nil, &usageError{err: errors.New("--params is not a JSON object"), hint: `write it like --params '{"name": "value"}'`}
		}
		params := map[string]any{}
		for name, value := range raw {
			params[name] = value
		}
		return params, nil
	}
	var params map[string]any
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, &usageError{err: fmt.Errorf("--param %q is not name=value", pair)}
		}
		if params == nil {
			params = map[string]any{}
		}
		if _, twice := params[name]; twice {
			return nil, &usageError{err: fmt.Errorf("--param %s is given twice", name)}
		}
		params[name] = value
	}
	return params, nil
}

// dueTime is --at or --in.
type dueTime struct {
	at time.Time
	in time.Duration
}

// time is the time as the database's clock will show it; zero: at once.
func (d dueTime) time(app *tidemill.App) time.Time {
	if d.in > 0 {
		return app.Now().Add(d.in)
	}
	return d.at
}

func parseDue(at string, in time.Duration) (dueTime, error) {
	if in < 0 {
		return dueTime{}, &usageError{err: errors.New("--in is negative")}
	}
	if at == "" {
		return dueTime{in: in}, nil
	}
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return dueTime{}, &usageError{err: fmt.Errorf("--at %q is not a time", at), hint: "write it like 2026-01-31T09:00:00Z or 2026-01-31T09:00:00+09:00"}
	}
	return dueTime{at: when}, nil
}
