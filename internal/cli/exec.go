package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
)

func (m *Main) execCmd() *cobra.Command {
	var timeout time.Duration
	var metadata string
	cmd := &cobra.Command{
		Use:   "exec NAME -- PROGRAM [ARG…]",
		Short: "Run a program and record it in the ledger",
		Long: `Runs a program, as cron does, and records its start, its end, its exit code and its last lines of output as a run
named NAME. "runs list" shows it beside the others.

The program has standard input, output and error of this command, and its exit code is passed on (127: not found, 126: cannot
be run, 128 + n: ended by signal n). If the database cannot be reached the program runs all the same, with a warning.`,
		Example: `  tidemill exec nightly-backup -- pg_dump -f /backup/app.sql app
  0 3 * * *  tidemill exec cleanup --timeout 1h -- /srv/app/bin/cleanup`,
		Args: args(1, 1000),
		RunE: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); at != 1 {
				return &usageError{err: errors.New("put -- between the name and the program"), hint: "usage: " + cmd.UseLine()}
			}
			if len(args) < 2 {
				return &usageError{err: errors.New("the program is missing"), hint: "usage: " + cmd.UseLine()}
			}
			var about map[string]any
			if err := json.Unmarshal([]byte(metadata), &about); err != nil || about == nil {
				return &usageError{err: errors.New("--metadata is not a JSON object")}
			}
			if timeout <= 0 {
				return &usageError{err: errors.New("--timeout is not positive")}
			}
			return m.exec(cmd.Context(), args[0], args[1:], batch.OutsideOpts{Metadata: about, Timeout: timeout}, about)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 24*time.Hour, "after which an unfinished run counts as lost; the program is not stopped")
	cmd.Flags().StringVar(&metadata, "metadata", "{}", "what else to record, a `JSON` object")
	return cmd
}

// execResult is the result of a recorded program.
type execResult struct {
	ExitCode int      `json:"exit_code"`
	Signal   string   `json:"signal,omitempty"`
	Output   []string `json:"output"`
}

func (m *Main) exec(ctx context.Context, name string, argv []string, opts batch.OutsideOpts, about map[string]any) error {
	host, _ := os.Hostname()
	about["argv"], about["host"], about["pid"] = argv, host, os.Getpid()
	began := time.Now()
	app, run := m.recordBegin(ctx, name, opts)
	if app != nil {
		defer app.Close()
	}

	tail := &tailWriter{}
	result, runErr := m.runProgram(argv, tail)
	result.Output = tail.lines()
	if run == nil { // the database may be back
		about["began"] = began.UTC().Format(time.RFC3339)
		if app, run = m.recordBegin(ctx, name, opts); app != nil {
			defer app.Close()
		}
	}
	if run != nil {
		m.recordEnd(ctx, run, result, runErr)
	}
	switch {
	case runErr != nil:
		fmt.Fprintf(m.Stderr, "tidemill: %v\n", runErr)
		return &exitError{code: result.ExitCode}
	case result.ExitCode != 0:
		return &exitError{code: result.ExitCode}
	}
	return nil
}

// recordBegin enters the run, and returns nil with a warning if that cannot be done within a few seconds.
func (m *Main) recordBegin(ctx context.Context, name string, opts batch.OutsideOpts) (*tidemill.App, *batch.Outside) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	app, err := m.open(ctx)
	if err != nil {
		m.warnUnrecorded(name, err)
		return nil, nil
	}
	run, err := app.Ledger.Begin(ctx, name, opts)
	if err != nil {
		app.Close()
		m.warnUnrecorded(name, plainError(err))
		return nil, nil
	}
	return app, run
}

func (m *Main) warnUnrecorded(name string, err error) {
	fmt.Fprintf(m.Stderr, "tidemill: %s is not recorded: %s\n", name, printable(err.Error()))
}

func (m *Main) recordEnd(ctx context.Context, run *batch.Outside, result execResult, runErr error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	reason := runErr
	if reason == nil && result.ExitCode != 0 {
		text := fmt.Sprintf("exit code %d", result.ExitCode)
		if result.Signal != "" {
			text = "ended by signal: " + result.Signal
		}
		if n := len(result.Output); n > 0 {
			text += ": " + result.Output[n-1]
		}
		reason = errors.New(text)
	}
	var err error
	if reason == nil {
		err = run.Finish(ctx, result)
	} else {
		err = run.Fail(ctx, reason, result)
	}
	if err != nil {
		fmt.Fprintf(m.Stderr, "tidemill: the end is not recorded: %s\n", printable(err.Error()))
	}
}

// runProgram runs argv with our own streams. The error says why it could not run; an exit code is no error.
func (m *Main) runProgram(argv []string, tail io.Writer) (execResult, error) {
	program := exec.Command(argv[0], argv[1:]...)
	program.Stdin = m.Stdin
	program.Stdout, program.Stderr = io.MultiWriter(m.Stdout, tail), io.MultiWriter(m.Stderr, tail)
	// A child of the program that keeps its output open must not keep us.
	program.WaitDelay = 10 * time.Second

	// An interrupt from the terminal reaches the program by itself; what is sent to us alone is passed on.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := program.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return execResult{ExitCode: 127}, err
		}
		return execResult{ExitCode: 126}, err
	}
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				if s != os.Interrupt || !isTerminal(m.Stdin) {
					_ = program.Process.Signal(s)
				}
			case <-ended:
				return
			}
		}
	}()
	err := program.Wait()
	close(ended)
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return execResult{ExitCode: program.ProcessState.ExitCode()}, nil
	case !errors.As(err, &exit):
		return execResult{ExitCode: exitFailed}, err
	}
	result := execResult{ExitCode: exit.ExitCode()}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.ExitCode, result.Signal = 128+int(status.Signal()), status.Signal().String()
	}
	return result, nil
}

// tailWriter keeps the last lines of what is written, by either stream.
type tailWriter struct {
	mu  sync.Mutex
	buf []byte
}

const (
	tailBytes = 16 << 10
	tailLines = 20
)

func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p[max(0, len(p)-tailBytes):]...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tailWriter) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.ReplaceAll(string(bytes.ToValidUTF8(t.buf, []byte("\uFFFD"))), "\x00", "")
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(all) == 1 && all[0] == "" {
		return []string{}
	}
	return all[max(0, len(all)-tailLines):]
}
