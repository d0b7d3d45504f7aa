package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// present runs work and notes, in a file of the job's own, when it does. The file is locked as long as work runs, and the
// kernel frees the lock of whoever dies, so that two at once are seen for certain, without any clock: the second finds it
// locked, and says when it no longer is.
func present(ctx context.Context, dir string, job int64, worker int, work func(context.Context) error) error {
	f, err := os.OpenFile(filepath.Join(dir, strconv.FormatInt(job, 10)), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	attempt := rand.Int64()
	note := func(what string) {
		_, _ = fmt.Fprintf(f, "%s %d %d %d\n", what, worker, attempt, time.Now().UnixMicro())
	}
	note("start")
	watched := make(chan struct{})
	defer func() { <-watched }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(watched)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for beside := false; syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil; {
			if !beside {
				note("beside")
			}
			beside = true
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
			}
			return
		}
		note("alone")
		<-ctx.Done()
	}()
	err = work(ctx)
	if err == nil {
		note("end")
	}
	return err
}

// moment is a line of such a file: start, then beside if another attempt runs, then alone; end if it came to its end.
type moment struct {
	what    string
	worker  int   // process that runs it
	attempt int64 // any number, its own
	at      time.Time
}

// moments are all files of the folder, by job.
func moments(t *testing.T, dir string) map[int64][]moment {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[int64][]moment{}
	for _, entry := range entries {
		job, err := strconv.ParseInt(entry.Name(), 10, 64)
		if err != nil {
			continue // a release
		}
		f, err := os.Open(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var m moment
			var micro int64
			if _, err := fmt.Sscan(lines.Text(), &m.what, &m.worker, &m.attempt, &micro); err != nil {
				t.Fatalf("job %d: %q: %v", job, lines.Text(), err)
			}
			m.at = time.UnixMicro(micro)
			all[job] = append(all[job], m)
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// overlap is an attempt that began while another of the same job ran.
type overlap struct {
	job    int64
	second moment
	others []moment      // beginnings of attempts before it
	length time.Duration // until it was alone, or ended itself
}

func overlaps(all map[int64][]moment) []overlap {
	var found []overlap
	for job, moments := range all {
		for i, m := range moments {
			if m.what != "beside" {
				continue
			}
			o := overlap{job: job, second: m}
			for _, before := range moments[:i] {
				if before.what == "start" && before.attempt != m.attempt {
					o.others = append(o.others, before)
				}
			}
			for _, after := range moments[i+1:] {
				if after.attempt == m.attempt && after.what != "beside" {
					o.length = after.at.Sub(m.at)
					break
				}
			}
			found = append(found, o)
		}
	}
	return found
}

func count(moments []moment, what string) int {
	n := 0
	for _, m := range moments {
		if m.what == what {
			n++
		}
	}
	return n
}

// The variables make this test binary a command that is present in the folder until the release of its round is there, or
// for that long.
const (
	commandVariable  = "CHAOS_PRESENT"
	stubbornVariable = "CHAOS_STUBBORN" // it continues after SIGTERM
	lastVariable     = "CHAOS_LAST"
)

func runAsCommand() {
	dir := os.Getenv(commandVariable)
	if dir == "" {
		return
	}
	if os.Getenv(stubbornVariable) != "" {
		signal.Ignore(syscall.SIGTERM)
	}
	if err := beCommand(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func beCommand(dir string) error {
	run, err := strconv.ParseInt(os.Getenv("TIDEMILL_RUN"), 10, 64)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if last := os.Getenv(lastVariable); last != "" {
		d, err := time.ParseDuration(last)
		if err != nil {
			return err
		}
		return present(ctx, dir, run, os.Getppid(), func(context.Context) error { pause(d); return nil })
	}
	release := releaseOf(dir, os.Getenv("TIDEMILL_PARAM_ROUND"))
	return present(ctx, dir, run, os.Getppid(), func(context.Context) error {
		for {
			if _, err := os.Stat(release); err == nil {
				return nil
			}
			pause(20 * time.Millisecond)
		}
	})
}

func releaseOf(dir, round string) string { return filepath.Join(dir, "release-"+round) }

// command is the definition of a job that runs this binary as a command.
func commandJob(t *testing.T, dir string, variables ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := []string{commandVariable + ": " + strconv.Quote(dir)}
	for i := 0; i < len(variables); i += 2 {
		env = append(env, variables[i]+": "+strconv.Quote(variables[i+1]))
	}
	return fmt.Sprintf("{kind: command, argv: [%q], env: {%s}, params: {round: {type: integer, default: 0}}}", self, strings.Join(env, ", "))
}
