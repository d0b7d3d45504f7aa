//go:build unix

package childproc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// script is a command that keeps all that a test writes.
func script(text string) *Command {
	return &Command{
		Argv: []string{"/bin/sh", "-c", text}, MaxOutput: 1 << 20,
		Grace: 30 * time.Second, // what a test does not end itself fails it by its time
	}
}

func mustRun(t *testing.T, c *Command) *Result {
	t.Helper()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// alive reports whether the process is there and not just waiting to be collected.
func alive(pid int) bool {
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil && bytes.Contains(status, []byte("\nState:\tZ")) {
		return false
	}
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// waitDead waits until the processes have ended.
func waitDead(t *testing.T, pids ...int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, pid := range pids {
		for alive(pid) {
			if <-tick.C; time.Now().After(deadline) {
				t.Fatalf("process %d is still there", pid)
			}
		}
	}
}

// numbers are the lines of the output that are one.
func numbers(output string) (all []int) {
	for line := range strings.Lines(output) {
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			all = append(all, n)
		}
	}
	return all
}

func TestRun(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name, script string
		want         Result
		err          string
	}{
		{"nothing", "", Result{}, ""},
		{"order of both outputs", "echo 1; echo 2 >&2; echo 3; echo 4 >&2; printf 5",
			Result{Output: "1\n2\n3\n4\n5", LastLine: "5"}, ""},
		{"exit status", "echo so; echo '  broken  ' >&2; echo; exit 3",
			Result{ExitCode: 3, Output: "so\n  broken  \n\n", LastLine: "broken"}, "exit status 3: broken"},
		{"exit status in silence", "exit 75", Result{ExitCode: 75}, "exit status 75"},
		{"invalid UTF-8", `printf 'caf\351\0!\n'`, Result{Output: "caf\ufffd\ufffd!\n", LastLine: "caf\ufffd\ufffd!"}, ""},
		{"progress", `printf '1 %%\r2 %%\r3 %%\n'`, Result{Output: "3 %\n", LastLine: "3 %"}, ""},
		{"killed", "echo working; kill -KILL $$", Result{ExitCode: -1, Signal: "SIGKILL", Output: "working\n", LastLine: "working"},
			"ended by SIGKILL, perhaps for want of memory: working"},
		{"crashed", "kill -SEGV $$", Result{ExitCode: -1, Signal: "SIGSEGV"}, "ended by SIGSEGV"},
		{"reads nothing when there is nothing", "cat", Result{}, ""},
		{"a session of its own", `[ "$(ps -o sid= -p $$)" -eq $$ ]`, Result{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := mustRun(t, script(tt.script))
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreUnexported(Result{}), cmpopts.IgnoreFields(Result{}, "Duration")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err := got.Err(); err == nil && tt.err != "" || err != nil && err.Error() != tt.err {
				t.Errorf("error is %v, want %q", err, tt.err)
			}
		})
	}
}

func TestRunGivesWhatIsAsked(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/bin/sh", filepath.Join(bin, "my-shell")); err != nil {
		t.Fatal(err)
	}
	var lines []string
	c := &Command{
		Argv: []string{"my-shell", "-c", `echo "$1"; pwd -P; echo "$PWD"; echo "$WHO"; cat`, "name", "an 'argument' $HOME"},
		Dir:  dir, Env: []string{"WHO=nobody", "PATH=relative:" + bin + ":/usr/bin:/bin", "WHO=me"},
		Stdin: []byte("input\n"), MaxOutput: 1000, OnLine: func(line string) { lines = append(lines, line) },
	}
	r := mustRun(t, c)
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"an 'argument' $HOME", real, dir, "me", "input"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Output != strings.Join(want, "\n")+"\n" {
		t.Errorf("output is %q", r.Output)
	}

	c.Argv = []string{"./bin/my-shell", "-c", "echo relative to dir"}
	if r = mustRun(t, c); r.LastLine != "relative to dir" {
		t.Errorf("output is %q", r.Output)
	}
}

func TestRunDoesNotWaitForInputToBeRead(t *testing.T) {
	t.Parallel()

	c := script("head -c 5")
	c.Stdin = []byte(strings.Repeat("input", 1<<20))
	if r := mustRun(t, c); r.Output != "input" || r.Err() != nil {
		t.Errorf("%q, %v", r.Output, r.Err())
	}
}

func TestTimeoutEndsAll(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name, script string
		grace        time.Duration
		signal       string
		code         int
	}{
		{"with its child", "sleep 1000 & echo $!; echo $$; sleep 1000", 0, "SIGTERM", -1},
		{"deep down", "(sh -c '(sleep 1000 & echo $!; sleep 1000)'; :) & echo $$; wait", 0, "SIGTERM", -1},
		{"all ignore SIGTERM", "trap '' TERM; sleep 1000 & echo $!; echo $$; sleep 1000", 100 * time.Millisecond, "SIGKILL", -1},
		{"an orphan ignores SIGTERM", "(trap '' TERM; sleep 1000 & echo $!); echo $$; exec sleep 1000", 100 * time.Millisecond, "SIGTERM", -1},
		{"cleans up", "trap 'kill $!; echo cleaned; exit 0' TERM; sleep 1000 & echo $!; wait", 0, "", 0},
		{"stopped", "echo $$; kill -STOP $$", 100 * time.Millisecond, "SIGKILL", -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := script(tt.script)
			c.Timeout = 2 * time.Second // it must have said its numbers by then
			if tt.grace != 0 {
				c.Grace = tt.grace
			}
			r := mustRun(t, c)
			if !r.TimedOut || r.Interrupted || r.Survivors || r.Signal != tt.signal || r.ExitCode != tt.code {
				t.Errorf("%+v", r)
			}
			if err := r.Err(); err == nil || !strings.HasPrefix(err.Error(), "ended after 2s (timeout): ") {
				t.Errorf("error is %v", err)
			}
			pids := numbers(r.Output)
			if len(pids) == 0 {
				t.Fatalf("the command said nothing: %q", r.Output)
			}
			for _, pid := range pids {
				if alive(pid) {
					t.Errorf("process %d is still there", pid)
				}
			}
		})
	}
}

func TestContextEndsAll(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancel(t.Context())
	c := script("trap '' TERM; sleep 1000 & echo $!; sleep 1000")
	c.StopGrace = 100 * time.Millisecond
	c.OnLine = func(string) { cancel() }
	r, err := Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.TimedOut || r.Signal != "SIGKILL" || r.Err() == nil {
		t.Errorf("%+v", r)
	}
	for _, pid := range numbers(r.Output) {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("a command is started after the end of its context: %v", err)
	}
}

// The context may also end while processes are awaited that do not heed SIGTERM.
func TestContextShortensTheGrace(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancel(t.Context())
	c := script("trap 'echo told; while :; do sleep 1000; done' TERM; sleep 1000 & wait")
	c.Timeout, c.Grace, c.StopGrace = 2*time.Second, time.Hour, 100*time.Millisecond
	c.OnLine = func(string) { cancel() }
	r, err := Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if !r.TimedOut || r.Signal != "SIGKILL" || r.LastLine != "told" {
		t.Errorf("%+v", r)
	}
}

func TestWhatACommandLeavesBehind(t *testing.T) {
	t.Parallel()

	t.Run("is ended", func(t *testing.T) {
		t.Parallel()
		r := mustRun(t, script("sleep 1000 & echo $!"))
		if r.Err() != nil || r.Survivors || r.Duration > linger {
			t.Errorf("%+v", r)
		}
		if pid := numbers(r.Output)[0]; alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	})
	t.Run("may finish what it is about", func(t *testing.T) {
		t.Parallel()
		r := mustRun(t, script("(sleep 0.2; echo late) & echo early"))
		if r.Output != "early\nlate\n" {
			t.Errorf("output is %q", r.Output)
		}
	})
	t.Run("is not awaited when it has left the group", func(t *testing.T) {
		t.Parallel()
		c := script("setsid sh -c 'echo $$; while :; do sleep 0.01; echo still here; done' & until [ -e left ]; do sleep 0.01; done")
		c.Dir = t.TempDir()
		c.OnLine = func(line string) {
			if line == "still here" {
				_ = os.WriteFile(filepath.Join(c.Dir, "left"), nil, 0o600)
			}
		}
		r := mustRun(t, c)
		pid := numbers(r.Output)[0]
		if !alive(pid) {
			t.Errorf("process %d ended before Run did", pid)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
		if r.Err() != nil {
			t.Error(r.Err())
		}
	})
}

func TestSlowReaderGetsAll(t *testing.T) {
	t.Parallel()

	c := script("i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo line $i; done")
	slow := true
	c.OnLine = func(string) {
		if slow {
			slow = false
			<-time.After(5 * lastWords) // longer than the command takes, and than its output is awaited
		}
	}
	if r := mustRun(t, c); r.LastLine != "line 1000" {
		t.Errorf("the last line is %q", r.LastLine)
	}
}

func TestHugeOutput(t *testing.T) {
	t.Parallel()

	const line = 99
	c := &Command{
		Argv:      []string{"/bin/sh", "-c", "echo first; yes " + strings.Repeat("x", line) + " | head -n 1000000; echo last"},
		MaxOutput: 64 << 10,
	}
	count, most := 0, uint64(0)
	c.OnLine = func(string) {
		if count++; count%100_000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		}
	}
	r := mustRun(t, c)
	if count != 1_000_002 || !r.Truncated || r.LastLine != "last" {
		t.Errorf("%d lines, truncated %t, the last is %q", count, r.Truncated, r.LastLine)
	}
	if !strings.HasPrefix(r.Output, "first\nxxx") || !strings.HasSuffix(r.Output, "xxx\nlast\n") ||
		!strings.Contains(r.Output, "\n… 99934475 bytes left out …\n") || len(r.Output) > c.MaxOutput+64 {
		t.Errorf("%d bytes are kept: %.20q … %q", len(r.Output), r.Output, r.Output[len(r.Output)-20:])
	}
	if most > 64<<20 {
		t.Errorf("took %d MiB of memory", most>>20)
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := file("plain", "#!/bin/sh\n", 0o644)
	lost := file("lost", "#!/no/such/interpreter\n", 0o755)
	bare := file("bare", "echo no first line\n", 0o755)
	sh := []string{"/bin/sh", "-c", "echo started"}
	tests := []struct {
		name string
		c    Command
		want string
	}{
		{"no argv", Command{}, "argv names no program"},
		{"not in PATH", Command{Argv: []string{"no-such"}, Env: []string{"PATH=/bin:/usr/bin"}},
			"program no-such is not in PATH (/bin:/usr/bin); write its full path in argv, or set PATH in env"},
		{"not executable in PATH", Command{Argv: []string{"plain"}, Env: []string{"PATH=/bin:" + dir}},
			"program " + plain + " is not executable; run: chmod +x " + plain},
		{"not there", Command{Argv: []string{"/no/such"}}, "program /no/such does not exist on this machine"},
		{"not there in dir", Command{Argv: []string{"bin/no-such"}, Dir: dir}, "program " + dir + "/bin/no-such does not exist on this machine"},
		{"below a file", Command{Argv: []string{plain + "/x"}}, "program " + plain + "/x does not exist on this machine"},
		{"directory", Command{Argv: []string{dir}}, "program " + dir + " is a directory"},
		{"not executable", Command{Argv: []string{plain}}, "program " + plain + " is not executable; run: chmod +x " + plain},
		{"no interpreter", Command{Argv: []string{lost}},
			"program " + lost + ": the interpreter that it names does not exist; look at its first line (#!)"},
		{"no format", Command{Argv: []string{bare}},
			"program " + bare + " is neither for this machine nor a script with an interpreter in its first line (#!)"},
		{"no dir", Command{Argv: sh, Dir: "/no/such"}, "dir /no/such does not exist on this machine"},
		{"file as dir", Command{Argv: sh, Dir: plain}, "dir " + plain + " is not a directory"},
		{"too long", Command{Argv: sh, Env: []string{"X=" + strings.Repeat("x", 4<<20)}},
			"program /bin/sh: the arguments and the environment are too long"},
		{"NUL", Command{Argv: []string{"/bin/sh", "a\x00b"}},
			"program /bin/sh: argv, dir or env contains a NUL byte, or the file is broken: fork/exec /bin/sh: invalid argument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Run(t.Context(), &tt.c)
			if _, ok := errors.AsType[*StartError](err); !ok || err.Error() != tt.want {
				t.Errorf("error is %T %q\nwant %q", err, err, tt.want)
			}
		})
	}
}

// A runner that is killed cannot end its command, but the command must not continue while others do the work again.
func TestKilledRunnerLeavesNothing(t *testing.T) {
	t.Parallel()

	tests := []struct{ name, script string }{
		{"that ends on SIGTERM", "sleep 1000 & echo $!; echo $$; sleep 1000"},
		{"that ignores SIGTERM", "trap '' TERM; sleep 1000 & echo $!; echo $$; sleep 1000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			runner := exec.Command(exe)
			runner.Env = append(os.Environ(), runnerVariable+"="+tt.script)
			out, err := runner.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := runner.Start(); err != nil {
				t.Fatal(err)
			}
			var pids []int
			reader := bufio.NewReader(out)
			for len(pids) < 2 {
				line, err := reader.ReadString('\n')
				if err != nil {
					t.Fatalf("the runner said %v and ended: %v", pids, err)
				}
				pids = append(pids, numbers(line)...)
			}
			if err := runner.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, reader)
			_ = runner.Wait()
			waitDead(t, pids...)
		})
	}
}

func TestRunWithoutShellForTheGuard(t *testing.T) {
	t.Parallel()

	r, err := run(t.Context(), script("echo fine"), "/no/such/shell")
	if err != nil || r.Output != "fine\n" {
		t.Errorf("%+v, %v", r, err)
	}
}

func BenchmarkRun(b *testing.B) {
	c := &Command{Argv: []string{"true"}}
	for b.Loop() {
		if r, err := Run(b.Context(), c); err != nil || r.Err() != nil {
			b.Fatal(err, r)
		}
	}
}
