//go:build unix

package childproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// linger is how long processes that the command leaves behind may continue by themselves, for they are often just
	// about to end: the tee of a script that writes its output to a log.
	linger = time.Second
	// killBound is how long processes may take to end after SIGKILL; one that waits for a dead disk never does.
	killBound = 5 * time.Second
	// lastWords is how long output is awaited once the group has ended: a process that left the group may hold the
	// pipe open forever.
	lastWords = 200 * time.Millisecond
	// lateReads is how often a reader that was busy until then may still read. One read takes what a pipe holds.
	lateReads = 4
	readSize  = 64 << 10
	// The group is looked at often at first, for mostly it ends at once, and then less, for a look may take a while.
	firstPoll = 2 * time.Millisecond
	lastPoll  = 100 * time.Millisecond
)

// Run runs the command to its end. The error is nil if the command has run and ended, no matter how; ask Result.Err.
//
// Run returns a *StartError if the command can never be started, and other errors if it could not be started now. It
// also returns an error, with what is known so far, if the command does not end on SIGKILL.
func Run(ctx context.Context, c *Command) (*Result, error) {
	return run(ctx, c, shell)
}

func run(ctx context.Context, c *Command, shell string) (*Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := start(c, shell)
	if err != nil {
		return nil, err
	}
	defer p.guard.dismiss()
	r := &Result{timeout: c.Timeout}
	p.wait(ctx, r)
	p.finishOutput(r)
	if !p.hasExited() {
		return r, fmt.Errorf("process %d (%s) does not end on SIGKILL", p.group, c.Argv[0])
	}
	r.Duration = p.ended.Sub(p.began)
	r.ExitCode = p.cmd.ProcessState.ExitCode()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		r.Signal = signalName(status.Signal())
	}
	return r, nil
}

// process is a command that was started.
type process struct {
	c     *Command
	cmd   *exec.Cmd
	group int // number of the process and of its group
	guard *guard
	began time.Time

	exited chan struct{} // closed when the process itself has ended; cmd and ended belong to the reader from then on
	ended  time.Time

	output *os.File
	read   chan struct{} // closed when the output is read; lines, kept and last belong to the reader from then on
	lines  lines
	kept   headTail
	last   string
}

func start(c *Command, shell string) (_ *process, err error) {
	env := c.Env
	if env == nil {
		env = os.Environ()
	}
	path, err := c.find(env)
	if err != nil {
		return nil, err
	}
	if filepath.IsAbs(c.Dir) {
		env = append(env[:len(env):len(env)], "PWD="+c.Dir)
	}
	p := &process{c: c, exited: make(chan struct{}), read: make(chan struct{}), kept: headTail{max: c.MaxOutput}}
	p.cmd = &exec.Cmd{
		Path: path, Args: c.Argv, Dir: c.Dir, Env: env,
		// Without a terminal nothing stops to ask for a password, and Ctrl-C is for this process to decide on.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	var stdin io.WriteCloser
	if len(c.Stdin) > 0 {
		if stdin, err = p.cmd.StdinPipe(); err != nil {
			return nil, fmt.Errorf("start %s: %w", path, err)
		}
	}
	output, outputEnd, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	defer outputEnd.Close()
	p.output, p.cmd.Stdout, p.cmd.Stderr = output, outputEnd, outputEnd

	if p.guard, err = startGuard(shell, cmp.Or(c.OrphanGrace, 3*time.Second)); err != nil {
		output.Close()
		return nil, err
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		p.guard.dismiss()
		output.Close()
		return nil, explain(path, err)
	}
	p.group = p.cmd.Process.Pid
	go p.reap()
	go p.readOutput()
	if stdin != nil {
		go func() {
			// A command need not read its input, and the end of the command closes the pipe.
			_, _ = stdin.Write(c.Stdin)
			_ = stdin.Close()
		}()
	}
	if err := p.guard.watch(p.group); err != nil {
		p.signal(syscall.SIGKILL)
		<-p.exited
		p.finishOutput(&Result{})
		p.guard.dismiss()
		return nil, err
	}
	return p, nil
}

func (p *process) reap() {
	_ = p.cmd.Wait() // cmd.ProcessState says it all
	p.ended = time.Now()
	close(p.exited)
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// wait returns when the command and what it started have ended.
func (p *process) wait(ctx context.Context, r *Result) {
	var timeout <-chan time.Time
	if p.c.Timeout > 0 {
		timer := time.NewTimer(p.c.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	timedOut := false
	select {
	case <-p.exited:
	case <-timeout:
		timedOut = true
	case <-ctx.Done():
	}
	if p.hasExited() { // also if the other came at the same time
		if p.waitGone(ctx, linger) {
			return
		}
	} else {
		r.TimedOut, r.Interrupted = timedOut, !timedOut
	}
	p.signal(syscall.SIGTERM)
	if p.waitGone(ctx, cmp.Or(p.c.Grace, 10*time.Second)) {
		return
	}
	p.signal(syscall.SIGKILL)
	r.Survivors = !p.waitGone(context.WithoutCancel(ctx), killBound)
}

// waitGone waits until the command and its group are gone, for at most d, or StopGrace from when ctx ends.
func (p *process) waitGone(ctx context.Context, d time.Duration) bool {
	deadline := time.Now().Add(d)
	stopped, exited := ctx.Done(), p.exited
	for pause := firstPoll; !p.gone(); pause = min(2*pause, lastPoll) {
		if !time.Now().Before(deadline) {
			return false
		}
		select {
		case <-exited:
			exited = nil
		case <-stopped:
			stopped = nil
			if sooner := time.Now().Add(p.stopGrace(ctx)); sooner.Before(deadline) {
				deadline = sooner
			}
		case <-time.After(min(pause, time.Until(deadline))):
		}
	}
	return true
}

// stopGrace is shorter when whoever ended ctx says that it must be.
func (p *process) stopGrace(ctx context.Context) time.Duration {
	grace := cmp.Or(p.c.StopGrace, 4*time.Second)
	var hurry interface{ StopWithin() time.Duration }
	if errors.As(context.Cause(ctx), &hurry) {
		return min(grace, hurry.StopWithin())
	}
	return grace
}

// gone reports whether nothing of the group is left.
func (p *process) gone() bool {
	if !p.hasExited() {
		return false
	}
	// The first process of a container gets the orphans of all others, and nobody else collects them. For any other
	// process this finds nothing.
	for {
		if pid, err := syscall.Wait4(-p.group, nil, syscall.WNOHANG, nil); pid <= 0 && !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	return errors.Is(syscall.Kill(-p.group, 0), syscall.ESRCH) || onlyZombies(p.group)
}

// signal reaches the whole group. The number of a group is not given to another process while the group has a member;
// without any, it was given up so shortly before that it cannot have come round again.
func (p *process) signal(s syscall.Signal) {
	_ = syscall.Kill(-p.group, s) // the group may end in this moment, and waitGone sees if it does not
}

func (p *process) readOutput() {
	defer close(p.read)
	p.lines.emit = func(text string, end bool) {
		p.kept.write(text)
		if end {
			p.kept.write("\n")
		}
		if strings.TrimSpace(text) != "" {
			p.last = text
		}
		if p.c.OnLine != nil {
			p.c.OnLine(text)
		}
	}
	defer p.lines.close()
	buf := make([]byte, readSize)
	for late := 0; ; {
		n, err := p.output.Read(buf)
		p.lines.write(buf[:n])
		switch {
		case err == nil && late == 0:
			continue
		case err != nil && (late > 0 || !errors.Is(err, os.ErrDeadlineExceeded)), late == lateReads:
			return
		}
		// Past a deadline nothing is read even if there is something.
		late++
		if p.output.SetReadDeadline(time.Now().Add(lastWords/lateReads)) != nil {
			return
		}
	}
}

// finishOutput takes what is in the pipe when the command has ended.
func (p *process) finishOutput(r *Result) {
	if err := p.output.SetReadDeadline(time.Now().Add(lastWords)); err != nil {
		p.output.Close()
	}
	<-p.read
	p.output.Close()
	r.Output, r.Truncated, r.LastLine = p.kept.text(), p.kept.truncated(), shorten(p.last)
}

func signalName(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGABRT: "SIGABRT", syscall.SIGALRM: "SIGALRM", syscall.SIGBUS: "SIGBUS", syscall.SIGFPE: "SIGFPE", syscall.SIGHUP: "SIGHUP",
		syscall.SIGILL: "SIGILL", syscall.SIGINT: "SIGINT", syscall.SIGKILL: "SIGKILL", syscall.SIGPIPE: "SIGPIPE", syscall.SIGQUIT: "SIGQUIT",
		syscall.SIGSEGV: "SIGSEGV", syscall.SIGSYS: "SIGSYS", syscall.SIGTERM: "SIGTERM", syscall.SIGTRAP: "SIGTRAP", syscall.SIGUSR1: "SIGUSR1",
		syscall.SIGUSR2: "SIGUSR2", syscall.SIGXCPU: "SIGXCPU", syscall.SIGXFSZ: "SIGXFSZ",
	}
	if name, ok := names[s]; ok {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}
