//go:build linux || darwin

package devdb

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// parentOpts makes this binary a process that starts a server with the options in it, prints what it started and
// waits to be killed.
const parentOpts = "TIDEMILL_DEVDB_TEST_PARENT"

type started struct {
	PID int
	URL string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(parentOpts); text != "" {
		if err := parent(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func parent(text string) error {
	var opts Opts
	if err := json.Unmarshal([]byte(text), &opts); err != nil {
		return err
	}
	db, err := Start(context.Background(), &opts)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := json.NewEncoder(os.Stdout).Encode(started{PID: db.server.pid, URL: db.URL()}); err != nil {
		return err
	}
	select {}
}

// startParent starts such a process, which is killed by kill or at the end of the test.
func startParent(t *testing.T, opts *Opts) (out *bufio.Reader, kill func()) {
	t.Helper()
	text, err := json.Marshal(opts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentOpts+"="+string(text))
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	return bufio.NewReader(pipe), kill
}

func readStarted(t *testing.T, out *bufio.Reader) started {
	t.Helper()
	line, err := out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var s started
	if err := json.Unmarshal(line, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParentKilled(t *testing.T) {
	t.Parallel()
	temp := shortDir(t)
	out, kill := startParent(t, &Opts{TempDir: temp})
	s := readStarted(t, out)
	// A session at work must not keep the server.
	ended := sleepIn(t, s.URL)
	processes := family(t, s.PID)
	if len(processes) < 3 || len(entries(t, temp)) == 0 {
		t.Fatalf("processes %v, folders %v: that cannot be all", processes, entries(t, temp))
	}
	kill()
	if err := <-ended; err == nil {
		t.Error("the statement ended well")
	}
	eventually(t, "the server's processes have ended", func() bool { return len(alive(t, processes)) == 0 })
	eventually(t, "the folder is removed", func() bool { return len(entries(t, temp)) == 0 })
}

func TestParentKilledDuringInitdb(t *testing.T) {
	t.Parallel()
	temp := shortDir(t)
	binDir, begun := stuckPrograms(t)
	_, kill := startParent(t, &Opts{BinDir: binDir, TempDir: temp})
	eventually(t, "initdb runs", func() bool { _, err := os.Stat(begun); return err == nil })
	list := entries(t, temp)
	if len(list) != 1 {
		t.Fatalf("folders %v, want one", list)
	}
	var processes []int
	eventually(t, "initdb is listed", func() bool {
		processes = mentioning(t, list[0])
		return len(processes) > 0
	})
	kill()
	eventually(t, "the folder is removed", func() bool { return len(entries(t, temp)) == 0 })
	eventually(t, "initdb and the watchdog have ended", func() bool { return len(alive(t, processes)) == 0 })
}

func TestParentKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	opts := &Opts{Dir: shortDir(t), Durable: true}
	out, kill := startParent(t, opts)
	execute(t, readStarted(t, out).URL, "CREATE TABLE kept AS SELECT 7 AS x")
	kill()
	// The first server is still on its way down.
	db := startTest(t, opts)
	if got := query[int](t, db.URL(), "SELECT x FROM kept"); got != 7 {
		t.Errorf("x = %d", got)
	}
}
