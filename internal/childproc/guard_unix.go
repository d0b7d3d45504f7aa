//go:build unix

package childproc

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

//go:embed guard.sh
var guardScript []byte

const shell = "/bin/sh"

// guard ends the group of a command if this process dies.
type guard struct {
	cmd   *exec.Cmd
	order *os.File // its end is the order
}

// startGuard returns nil if there is no shell.
func startGuard(shell string, grace time.Duration) (*guard, error) {
	if _, err := os.Stat(shell); err != nil {
		return nil, nil
	}
	scriptEnd, script, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	defer scriptEnd.Close()
	defer script.Close()
	// The pipe holds much more than the script, so this does not wait for the shell.
	if _, err := script.Write(guardScript); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	orderEnd, order, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	defer orderEnd.Close()

	cmd := exec.Command(shell, "-s", strconv.FormatInt(int64(grace/(100*time.Millisecond)), 10))
	cmd.Dir = "/" // it must not keep a folder from being unmounted
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.Stdin = scriptEnd
	cmd.ExtraFiles = []*os.File{orderEnd}
	// What is meant for the group or the terminal of this process must not reach the guard.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		order.Close()
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return &guard{cmd: cmd, order: order}, nil
}

func (g *guard) watch(group int) error {
	if g == nil {
		return nil
	}
	if _, err := fmt.Fprintln(g.order, group); err != nil {
		return fmt.Errorf("tell the guard what to watch: %w", err)
	}
	return nil
}

// dismiss ends the guard without it ending the group.
func (g *guard) dismiss() {
	if g == nil {
		return
	}
	// First of all: the end of the pipe would be the order. It may be gone already, and its status says nothing.
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
	g.order.Close()
}
