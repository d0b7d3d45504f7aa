//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// worker is a worker process in the background.
type worker struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended, with err set
	err   error
	idle  int // peak of memory when it had started, KiB
	log   string
}

// worker start|up NAME [FLAG…] starts a worker process (by tidemill worker, or up) and waits until it works. worker plain
// starts one without the race detector.
// worker term|kill|hup NAME sends a signal. worker wait NAME waits for its end, which must be in order unless it was killed.
// worker stop NAME is term and wait. worker fails NAME waits for an end with exit code 1. worker memory NAME MIB allows it that much more memory, at its peak, than it had idle.
func cmdWorker(ts *testscript.TestScript, args []string) error {
	w, name := worldOf(ts), args[1]
	if start, ok := map[string][]string{"start": {w.program, "worker"}, "plain": {w.plain, "worker"}, "up": {w.program, "up"}}[args[0]]; ok {
		if w.workers[name] != nil {
			return fmt.Errorf("there is a worker %s already", name)
		}
		started, err := startWorker(ts, name, append(start, args[2:]...))
		if started != nil {
			w.workers[name] = started
		}
		return err
	}
	running := w.workers[name]
	if running == nil {
		return fmt.Errorf("there is no worker %s", name)
	}
	switch args[0] {
	case "hup":
		return running.cmd.Process.Signal(syscall.SIGHUP)
	case "term":
		return running.cmd.Process.Signal(syscall.SIGTERM)
	case "kill":
		return running.cmd.Process.Signal(syscall.SIGKILL)
	case "wait":
		delete(w.workers, name)
		return running.wait()
	case "stop":
		delete(w.workers, name)
		return errors.Join(running.cmd.Process.Signal(syscall.SIGTERM), running.wait())
	case "fails":
		delete(w.workers, name)
		if err := running.wait(); running.cmd.ProcessState.ExitCode() != 1 {
			return fmt.Errorf("worker %s: %w, want exit code 1", name, err)
		}
		return nil
	case "memory":
		return running.checkMemory(ts, args[2])
	}
	return fmt.Errorf("worker %s: no such action", args[0])
}

func startWorker(ts *testscript.TestScript, name string, args []string) (*worker, error) {
	started := &worker{ended: make(chan struct{}), log: ts.MkAbs(name + ".log")}
	file, err := os.Create(started.log)
	if err != nil {
		return nil, err
	}
	alive := &signalWriter{w: file, word: []byte(`"msg":"worker started"`), seen: make(chan struct{})}
	started.cmd = exec.Command(args[0], args[1:]...)
	started.cmd.Dir = ts.MkAbs(".")
	started.cmd.Env = worldOf(ts).environ(ts)
	started.cmd.Stderr = alive
	if err := started.cmd.Start(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	go func() {
		started.err = started.cmd.Wait()
		file.Close()
		close(started.ended)
	}()
	select {
	case <-alive.seen:
	case <-started.ended:
		return started, fmt.Errorf("worker %s ended at once: %w", name, started.err)
	case <-time.After(patience):
		return started, fmt.Errorf("worker %s did not start within %s", name, patience)
	}
	started.idle, err = peakMemory(started.cmd.Process.Pid)
	return started, err
}

func (w *worker) wait() error {
	select {
	case <-w.ended:
	case <-time.After(patience):
		return fmt.Errorf("the worker did not end within %s", patience)
	}
	var exit *exec.ExitError
	if errors.As(w.err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return nil
	}
	return w.err
}

func (w *worker) checkMemory(ts *testscript.TestScript, allowed string) error {
	limit, err := strconv.Atoi(allowed)
	if err != nil {
		return err
	}
	peak, err := peakMemory(w.cmd.Process.Pid)
	if err != nil {
		return err
	}
	ts.Logf("memory: idle %d KiB, peak %d KiB", w.idle, peak)
	if peak > w.idle+limit<<10 {
		return fmt.Errorf("peak of memory %d KiB, %d KiB above idle; %d MiB are allowed", peak, peak-w.idle, limit)
	}
	return nil
}

func lookPath(getenv func(string) string, name string) (string, error) {
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in PATH: %s", name, getenv("PATH"))
}

// signalWriter passes lines on and closes seen when word was among them.
type signalWriter struct {
	w    io.Writer
	word []byte
	seen chan struct{}
	once sync.Once
	line []byte
}

func (s *signalWriter) Write(p []byte) (int, error) {
	s.line = append(s.line, p...)
	if bytes.Contains(s.line, s.word) {
		s.once.Do(func() { close(s.seen) })
	}
	s.line = s.line[bytes.LastIndexByte(s.line, '\n')+1:]
	return s.w.Write(p)
}
