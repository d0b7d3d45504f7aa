package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// crew is workers behind wires, each of which is started again when it dies, as a supervisor does.
type crew struct {
	mu        sync.Mutex
	places    []*place
	stopped   bool
	suffers   map[int][]span // what befell each process
	doomed    map[int][]span // processes that were taken for dead while they lived: since when, and until when they could not know
	odd       []string       // ends of processes that nobody caused
	kills     int
	unstarted int // processes
	living    sync.WaitGroup
}

// place is a worker with what takes its place when it dies.
type place struct {
	wire    *wire
	near    string
	cmd     *exec.Cmd
	logs    []*lockedBuffer // of one process after the other
	told    bool            // to end
	suffers time.Time       // until when
}

// span is when something happened.
type span struct{ from, to time.Time }

const forGood = 24 * time.Hour

// newCrew starts workers; command makes one whose database is to be the URL given.
func newCrew(t *testing.T, database string, workers int, command func(near string) *exec.Cmd) *crew {
	t.Helper()
	c := &crew{suffers: map[int][]span{}, doomed: map[int][]span{}}
	for range workers {
		p := &place{}
		p.wire, p.near = newWire(t, database)
		c.places = append(c.places, p)
	}
	t.Cleanup(func() {
		c.mu.Lock()
		c.stopped = true
		for _, p := range c.places {
			if p.cmd != nil {
				_ = p.cmd.Process.Signal(syscall.SIGCONT)
				_ = p.cmd.Process.Kill()
			}
		}
		c.mu.Unlock()
		c.living.Wait()
		if t.Failed() {
			for i, p := range c.places {
				f, err := os.CreateTemp("", fmt.Sprintf("%s-%d-*.log", t.Name(), i))
				if err != nil {
					t.Log(err)
					return
				}
				for _, log := range p.logs {
					_, _ = f.WriteString(log.String())
				}
				_ = f.Close()
				t.Logf("the log of worker %d is in %s", i, f.Name())
			}
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.places {
		if err := c.launch(p, command); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// launch runs with c.mu held.
func (c *crew) launch(p *place, command func(near string) *exec.Cmd) error {
	p.cmd, p.told = command(p.near), false
	log := &lockedBuffer{}
	p.cmd.Stderr, p.logs = log, append(p.logs, log)
	if err := p.cmd.Start(); err != nil {
		return err
	}
	cmd := p.cmd
	// Whatever befalls the place continues for who comes to it.
	c.suffers[cmd.Process.Pid] = append(c.suffers[cmd.Process.Pid], span{time.Now(), p.suffers})
	c.living.Go(func() {
		err := cmd.Wait()
		now := time.Now()
		started := strings.Contains(log.String(), "worker started")
		if !started {
			pause(200 * time.Millisecond)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.suffers[cmd.Process.Pid] = append(c.suffers[cmd.Process.Pid], span{now, now.Add(forGood)})
		if c.stopped {
			return
		}
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		switch {
		case ok && status.Signaled() && status.Signal() == syscall.SIGKILL: // by the plan, or by poison
			c.kills++
		case !started: // it may end when the database is away as it starts
			c.unstarted++
		case !p.told || err != nil:
			c.odd = append(c.odd, "a worker ended by itself: "+cmd.ProcessState.String())
		}
		if err := c.launch(p, command); err != nil {
			c.odd = append(c.odd, err.Error())
		}
	})
	return nil
}

// signal tells a worker something.
func (c *crew) signal(i int, s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.places[i]
	p.told = p.told || s == syscall.SIGTERM
	_ = p.cmd.Process.Signal(s) // it may just have died
}

// suffer notes that something befalls a worker, or all of them (-1), from now on for that long.
func (c *crew) suffer(i int, length time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for n, p := range c.places {
		if i == -1 || n == i {
			pid := p.cmd.Process.Pid
			c.suffers[pid] = append(c.suffers[pid], span{now, now.Add(length)})
			if until := now.Add(length); until.After(p.suffers) {
				p.suffers = until
			}
		}
	}
}

// doom notes that others take a worker for dead, and returns its number.
func (c *crew) doom(i int, until time.Time) (pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pid = c.places[i].cmd.Process.Pid
	c.doomed[pid] = append(c.doomed[pid], span{time.Now(), until})
	return pid
}

// letOff reports whether an attempt that began so may still continue at that time, because others had taken its process for dead
// while it lived, and it could not know.
func (c *crew) letOff(start moment, at time.Time) bool {
	const findsOut = 5 * time.Second
	return slices.ContainsFunc(c.doomed[start.worker], func(s span) bool {
		return start.at.Before(s.to) && at.After(s.from) && at.Before(s.to.Add(findsOut))
	})
}

// suffered reports whether anything befell the process in that time.
func (c *crew) suffered(pid int, from, to time.Time) bool {
	for _, s := range c.suffers[pid] {
		if s.from.Before(to) && s.to.After(from) {
			return true
		}
	}
	return false
}

// pids are the processes that live now.
func (c *crew) pids() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []int
	for _, p := range c.places {
		all = append(all, p.cmd.Process.Pid)
	}
	return all
}
