package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/rogpeppe/go-internal/testscript"
)

// peakMemory is the highest resident memory that a process has had, in KiB.
func peakMemory(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
		}
	}
	return 0, errors.New("/proc names no VmHWM")
}

// smalldisk DIR makes DIR a file system of 1 MiB. Without the right to mount, LIMIT is set to a shell command that
// limits files to this size instead; with it, LIMIT does nothing.
func cmdSmallDisk(ts *testscript.TestScript, args []string) error {
	dir := ts.MkAbs(args[0])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ts.Setenv("LIMIT", ":")
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")
	if errors.Is(err, syscall.EPERM) {
		ts.Setenv("LIMIT", "ulimit -f 1024")
		return nil
	}
	if err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	ts.Defer(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			ts.Logf("unmount %s: %v", dir, err)
		}
	})
	return nil
}

// tty CODE PROGRAM [ARG…] is exits with a terminal for standard output and error; what it showed is the standard output.
func cmdTTY(ts *testscript.TestScript, args []string) error {
	return onTerminal(ts, "", args)
}

// answer TEXT CODE PROGRAM [ARG…] is tty with a terminal for standard input too, at which somebody types TEXT and Enter.
func cmdAnswer(ts *testscript.TestScript, args []string) error {
	return onTerminal(ts, args[0]+"\n", args[1:])
}

func onTerminal(ts *testscript.TestScript, typed string, args []string) error {
	master, terminal, err := openTerminal()
	if err != nil {
		return fmt.Errorf("open a terminal: %w", err)
	}
	defer master.Close()
	program, err := lookPath(ts.Getenv, args[1])
	if err != nil {
		return errors.Join(err, terminal.Close())
	}
	cmd := exec.Command(program, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(worldOf(ts).environ(ts), "TERM=xterm", "NO_COLOR="+ts.Getenv("NO_COLOR"))
	cmd.Stdout, cmd.Stderr = terminal, terminal
	if typed != "" {
		cmd.Stdin = terminal
		if _, err := master.WriteString(typed); err != nil { // kept by the terminal until it is read
			return errors.Join(err, terminal.Close())
		}
	}
	err = cmd.Start()
	terminal.Close()
	if err != nil {
		return err
	}
	var shown bytes.Buffer
	_, _ = io.Copy(&shown, master) // ends with EIO when the program has closed the terminal
	code, err := exitCode(cmd.Wait())
	if err != nil {
		return err
	}
	if _, err := ts.Stdout().Write(shown.Bytes()); err != nil {
		return err
	}
	if strconv.Itoa(code) != args[0] {
		return fmt.Errorf("exit code %d, want %s", code, args[0])
	}
	return nil
}

// openTerminal returns the two ends of a pseudo-terminal.
func openTerminal() (master, terminal *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err != nil {
		return nil, nil, err
	}
	var number uint32
	var locked int32
	for request, argument := range map[uintptr]unsafe.Pointer{
		syscall.TIOCGPTN:   unsafe.Pointer(&number),
		syscall.TIOCSPTLCK: unsafe.Pointer(&locked),
	} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(argument)); errno != 0 {
			master.Close()
			return nil, nil, errno
		}
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, terminal, nil
}
