package childproc

import (
	"fmt"
	"time"
)

// Command is a program to run. Only Argv is required.
type Command struct {
	// Argv is the program and its arguments. A program without a slash is searched in the PATH of Env; one with a
	// slash that is not absolute is relative to Dir.
	Argv  []string
	Dir   string   // empty: that of this process
	Env   []string // NAME=value, the last of a name counts; nil: that of this process
	Stdin []byte   // empty: nothing to read

	Timeout time.Duration // 0: none
	// Grace is the time between SIGTERM and SIGKILL; default 10 s.
	Grace time.Duration
	// StopGrace takes the place of Grace once the context has ended; default 4 s.
	StopGrace time.Duration
	// OrphanGrace takes the place of Grace once this process is gone, in steps of 100 ms; default 3 s.
	OrphanGrace time.Duration

	// MaxOutput is how many bytes of output are kept.
	MaxOutput int
	// OnLine, if set, gets each line of output as it comes, from one goroutine, never after Run has returned. A slow
	// one slows the command down. What it gets is what Result says of Output, in pieces of at most 8 KiB.
	OnLine func(line string)
}

// Result is how a command ended.
type Result struct {
	ExitCode int    // -1: ended by a signal
	Signal   string // that ended it, such as SIGKILL; empty: none
	// TimedOut and Interrupted tell that Run ended the command: after its timeout, or because the context ended.
	// Whatever exit code the command chose then does not say that it has done its work.
	TimedOut    bool
	Interrupted bool
	// Output is what was written, as UTF-8: invalid bytes and NUL are replaced by U+FFFD, and a carriage return starts
	// its line again, so that of a progress bar the last state is left. Of more than MaxOutput bytes the first quarter
	// and the last three quarters of MaxOutput are kept, and the gap is marked.
	Output    string
	Truncated bool          // the output has a gap
	LastLine  string        // last line of the output that is not blank, shortened
	Duration  time.Duration // until the command itself had ended, without what it left behind
	// Survivors tells that processes of the group are left, because they may not be signalled or cannot end.
	Survivors bool

	timeout time.Duration
}

// Err is nil if the command exited with 0 by itself, else it says how it ended, with its last line.
func (r *Result) Err() error {
	said := ""
	if r.LastLine != "" {
		said = ": " + r.LastLine
	}
	switch {
	case r.TimedOut:
		return fmt.Errorf("ended after %s (timeout)%s", r.timeout, said)
	case r.Interrupted:
		return fmt.Errorf("interrupted%s", said)
	case r.Signal == "SIGKILL":
		return fmt.Errorf("ended by SIGKILL, perhaps for want of memory%s", said)
	case r.Signal != "":
		return fmt.Errorf("ended by %s%s", r.Signal, said)
	case r.ExitCode != 0:
		return fmt.Errorf("exit status %d%s", r.ExitCode, said)
	}
	return nil
}

// StartError is returned by Run for a command that cannot be started as it is described, however often it is tried. Its
// message says what to do.
type StartError struct{ message string }

// Error implements error.
func (e *StartError) Error() string { return e.message }

func startError(format string, args ...any) error {
	return &StartError{fmt.Sprintf(format, args...)}
}
