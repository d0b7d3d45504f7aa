package commandjob

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/internal/childproc"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// RiverKind is the River kind of commands.
const RiverKind = "tidemill.command"

const (
	commandGrace = 10 * time.Second
	// commandStopGrace is short because a worker that is asked to stop has little time. One that has lost its database has
	// less: the end of its jobs' contexts says how much (rescue: SilentAfter).
	commandStopGrace = 4 * time.Second
	// commandOrphanGrace is shorter than the 7.5 s after which others have the jobs of a killed process (rescue:
	// DeadAfterLostSession).
	commandOrphanGrace = 3 * time.Second
	// commandMargin is what River waits beyond the timeout of a definition: the grace, and the end of what a command
	// leaves behind.
	commandMargin = 3 * commandGrace
)

// Args are the arguments of a job of kind command.
type Args struct{ kind.Args }

// Kind is RiverKind.
func (Args) Kind() string { return RiverKind }

// Worker runs a program on the worker's machine. There is no shell, and params never become arguments.
//
// The program's standard input is the JSON that a job of kind http sends: id, run, job, params, attempt, scheduled_for. Its
// environment is the worker's own, then env of the definition, then TIDEMILL_JOB, TIDEMILL_ID (the same for all attempts, and
// no other run's), TIDEMILL_RUN (its number), TIDEMILL_ATTEMPT, TIDEMILL_SCHEDULED_FOR (RFC 3339), TIDEMILL_PARAMS (the JSON object, absent if it is longer than an
// environment takes) and TIDEMILL_PARAM_NAME for each param that is no object, array or null.
//
// Exit status 0 is success, everything else a failed attempt. A program that cannot be started as it is configured fails
// the run at once. On a timeout, when the run is cancelled and when the worker stops, the program and its children get
// SIGTERM and then SIGKILL; package childproc says what is beyond reach. An attempt that the end of the worker interrupts
// is given back. As with every kind, an attempt may be repeated after its program had done its work: the program must
// stand that, and TIDEMILL_ID helps it.
type Worker struct {
	river.WorkerDefaults[Args]

	deps *kind.Deps
}

// NewWorker returns the worker.
func NewWorker(deps *kind.Deps) *Worker {
	return &Worker{deps: deps.WithDefaults()}
}

// Timeout is longer than the definition's, which ends the program with more care.
func (w *Worker) Timeout(job *river.Job[Args]) time.Duration {
	def, ok := w.deps.Jobs(job.Args.Job)
	switch {
	case !ok || def.Kind != kindName:
		return 0
	case def.Spec.(*Config).Timeout == 0:
		return -1
	}
	return def.Spec.(*Config).Timeout + commandMargin
}

// Result is what is kept of an attempt.
type Result struct {
	ExitCode   int    `json:"exit_code"` // -1: ended by a signal
	Signal     string `json:"signal,omitempty"`
	Output     string `json:"output"` // the beginning and the end, up to max_output
	Truncated  bool   `json:"truncated"`
	DurationMS int64  `json:"duration_ms"`
}

// Work runs one attempt.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	def, err := w.deps.Jobs.Find(job.Args.Job, kindName)
	if err != nil {
		return err
	}
	logger := w.deps.Logger.With("job", def.Name, "run_id", job.ID, "attempt", job.Attempt)
	command, err := w.command(job, def)
	if err != nil {
		return retry.Permanent(err)
	}
	output := &outputLog{logger: logger, most: def.Spec.(*Config).MaxOutput, began: time.Now()}
	command.OnLine = func(line string) { output.line(ctx, line) }

	result, err := childproc.Run(ctx, command)
	output.tell(ctx)
	if result != nil {
		w.record(ctx, logger, result)
	}
	if _, ok := errors.AsType[*childproc.StartError](err); ok {
		return retry.Permanent(err)
	}
	if err != nil {
		return err
	}
	if result.Survivors {
		logger.WarnContext(ctx, "processes of the command are left; they may not be signalled by this user, or hang")
	}
	if result.Interrupted {
		return fmt.Errorf("command interrupted: %w", ctx.Err()) // River gives the attempt back if it is stopping
	}
	return result.Err()
}

func (w *Worker) record(ctx context.Context, logger *slog.Logger, result *childproc.Result) {
	err := river.RecordOutput(ctx, Result{
		ExitCode: result.ExitCode, Signal: result.Signal,
		Output: result.Output, Truncated: result.Truncated, DurationMS: result.Duration.Milliseconds(),
	})
	if err != nil {
		logger.WarnContext(ctx, "the command's output is not kept", "error", err)
	}
}
