//go:build linux || darwin

package devdb

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed supervise.sh
var supervise string

var errPortTaken = errors.New("the port is taken")

const (
	poll = 10 * time.Millisecond
	// stopGrace is longer than supervise.sh takes in the worst case.
	stopGrace = 20 * time.Second
	// exitGrace bounds the wait for the watchdog to be collected, which the first process of a container may never do.
	exitGrace = 100 * time.Millisecond
)

// server is the process of PostgreSQL together with its watchdog. Nothing in this process waits for it in the
// background: it is looked at while it starts and stops.
type server struct {
	home    *home
	logFile string
	order   *os.File // the pipe whose end is the order to stop
	pid     int      // of the server, and of its process group
	watch   *os.File // the pipe whose end says that the watchdog is gone

	mu       sync.Mutex
	closed   bool
	closeErr error
	reaped   bool
}

// launch starts the script that becomes the server.
func launch(h *home, progs programs, args []string) (*server, error) {
	s := &server{home: h, logFile: h.logFile()}
	log, err := openLog(s.logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	script, err := writeScript(h.scratch)
	if err != nil {
		return nil, err
	}
	orderEnd, order, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer orderEnd.Close()
	watch, watchEnd, err := os.Pipe()
	if err != nil {
		order.Close()
		return nil, err
	}
	defer watchEnd.Close()

	argv := []string{script, h.scratch, h.dataDir(), progs.initdb(), progs.postgres()}
	cmd := exec.Command("/bin/sh", append(argv, args...)...)
	cmd.Dir = "/" // the account may not enter the folder of this process
	cmd.Env = serverEnvironment(os.Environ())
	cmd.Stdin = orderEnd
	cmd.Stdout = log
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{watchEnd}
	// A session of its own: Ctrl-C and the end of a terminal reach this process only, which decides.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: h.account, Setsid: true}
	if err := cmd.Start(); err != nil {
		order.Close()
		watch.Close()
		return nil, err
	}
	s.pid = cmd.Process.Pid
	s.order = order
	s.watch = watch
	_ = cmd.Process.Release() // the server is collected by reap
	return s, nil
}

// writeScript puts the script in a file rather than an argument, which would fill every list of processes.
func writeScript(dir string) (string, error) {
	path := filepath.Join(dir, "supervise.sh")
	file, err := createIn(path)
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(supervise)
	// The account reads it, whatever the umask.
	return path, errors.Join(err, file.Chmod(0o644), file.Close())
}

// createIn makes a new file in a folder that belongs to the server's account: if this process is root it must not be led
// elsewhere by a link.
func createIn(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
}

// waitReady returns when the server accepts connections, with the end of its log if it does not come to that.
func (s *server) waitReady(ctx context.Context) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		s.mu.Lock()
		gone := s.reap()
		s.mu.Unlock()
		if gone {
			return s.startError()
		}
		if p := readPIDFile(s.home.dataDir()); p.pid == s.pid && p.ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (s *server) startError() error {
	tail := logTail(s.logFile)
	err := fmt.Errorf("the server ended; its log says:\n%s", tail)
	if strings.Contains(tail, "could not bind IPv4 address") {
		return errors.Join(errPortTaken, err)
	}
	if strings.Contains(tail, `"postmaster.pid" already exists`) {
		return errors.Join(runningError(readPIDFile(s.home.dataDir()).pid), err)
	}
	return err
}

// reap collects the server if it has ended, and reports whether it has. The caller holds the mutex. Until it is collected
// its number is not given to another process.
func (s *server) reap() bool {
	for !s.reaped {
		pid, err := syscall.Wait4(s.pid, nil, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if pid == 0 && err == nil {
			return false
		}
		s.reaped = true // an error means that somebody else collected it
	}
	return true
}

// close leaves the work to the watchdog, so that every end of a server takes the same way, and steps in only if there
// is no watchdog any more.
func (s *server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.closeErr
	}
	s.closed = true
	s.order.Close()
	s.waitGone(stopGrace)
	if !s.reap() {
		s.signalGroup(syscall.SIGINT)
		if !s.waitReaped(stopGrace / 2) {
			s.signalGroup(syscall.SIGKILL)
			if !s.waitReaped(stopGrace / 2) {
				s.closeErr = fmt.Errorf("process %d does not end", s.pid)
			}
		}
	}
	s.watch.Close()
	s.closeErr = errors.Join(s.closeErr, s.home.close())
	return s.closeErr
}

// waitGone returns when the watchdog is gone, having collected the server meanwhile. The watchdog closes its pipe a
// moment before it is no process any more.
func (s *server) waitGone(bound time.Duration) {
	for end := time.Now().Add(bound); time.Now().Before(end); {
		s.reap()
		if err := s.watch.SetReadDeadline(time.Now().Add(poll)); err != nil {
			return
		}
		if _, err := s.watch.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(exitGrace); s.reap() && time.Now().Before(end); <-tick.C {
		if errors.Is(syscall.Kill(-s.pid, 0), syscall.ESRCH) {
			return
		}
	}
}

func (s *server) waitReaped(bound time.Duration) bool {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for end := time.Now().Add(bound); time.Now().Before(end); <-tick.C {
		if s.reap() {
			return true
		}
	}
	return s.reap()
}

// signalGroup must only be called while the server is not collected: its number could be another's otherwise.
func (s *server) signalGroup(sig syscall.Signal) {
	// The group may be gone in this moment, which is what the signal is for.
	_ = syscall.Kill(-s.pid, sig)
}

// serverEnvironment leaves out what would change how initdb and the server work or speak: messages are read here.
func serverEnvironment(environ []string) []string {
	var kept []string
	for _, entry := range environ {
		switch {
		case strings.HasPrefix(entry, "PG"), strings.HasPrefix(entry, "LC_"), strings.HasPrefix(entry, "LANG"):
		default:
			kept = append(kept, entry)
		}
	}
	return append(kept, "LC_ALL=C")
}
