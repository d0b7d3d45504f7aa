package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	splits      = flag.String("chaos.splits", "8s", "how long TestSplit keeps a worker from its database, one after the other")
	splitRounds = flag.Int("chaos.splitrounds", 1, "how often TestSplit does each of them")
)

// fleet is a database and workers that reach it through wires of their own.
type fleet struct {
	*jobBundle
	records string // folder of what present notes
	members []*member
}

type member struct {
	*worker
	wire *wire
	near string // URL of the database for it
}

// newFleet starts so many workers with that configuration.
func newFleet(t *testing.T, database, config string, workers int) *fleet {
	t.Helper()
	f := &fleet{jobBundle: setupJobsAt(t, database)}
	f.records = recordsIn(t, f.dir)
	config = jobConfig + strings.ReplaceAll(config, "RECORDS", f.records)
	if err := os.WriteFile(filepath.Join(f.dir, "tidemill.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for range workers {
		m := &member{}
		m.wire, m.near = newWire(t, database)
		m.worker = f.startAt(t, m.near)
		f.members = append(f.members, m)
	}
	for _, m := range f.members {
		f.until(t, 1, time.Minute, livingWorker, m.cmd.Process.Pid)
	}
	return f
}

func recordsIn(t *testing.T, dir string) string {
	t.Helper()
	records := filepath.Join(dir, "records")
	if err := os.Mkdir(records, 0o700); err != nil {
		t.Fatal(err)
	}
	return records
}

// startAt starts a worker of this test binary that reaches the database at that URL.
func (b *jobBundle) startAt(t *testing.T, database string) *worker {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), workerVariable+"=1", "DATABASE_URL="+database, "CHAOS_DIR="+b.dir)
	return launch(t, cmd)
}

// runningAt counts the running jobs of a process.
const runningAt = `SELECT count(*) FROM tidemill.river_job j JOIN tidemill.process p ON p.id = j.attempted_by[array_upper(j.attempted_by, 1)]
	WHERE j.state = 'running' AND p.fenced_at IS NULL AND p.pid = $1`

// Two workers run commands, half of which do not heed SIGTERM, and one of the two loses its database for a while. The other
// may start none of its commands before the last of them has ended.
//
//	go test ./internal/chaos -run TestSplit -chaos.splits 3s,8s,15s,25s,60s -chaos.splitrounds 5 -timeout 60m -v
func TestSplit(t *testing.T) {
	t.Parallel()

	for _, state := range []fault{cut, stall, halfOpen, forgotten} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, startTCPServer(t), "jobs:\n  polite: "+commandJob(t, "RECORDS")+"\n  stubborn: "+commandJob(t, "RECORDS", stubbornVariable, "1")+"\n", 2)
			round := 0
			for _, text := range strings.Split(*splits, ",") {
				length, err := time.ParseDuration(text)
				if err != nil {
					t.Fatal(err)
				}
				for range *splitRounds {
					round++
					f.split(t, round, state, length)
				}
			}
		})
	}
}

func (f *fleet) split(t *testing.T, round int, state fault, length time.Duration) {
	t.Helper()
	const each = 4
	ctx := context.Background()
	before := moments(t, f.records)
	if _, err := f.pool.Exec(ctx, `SELECT tidemill.start(job, jsonb_build_object('round', $1::int)) FROM unnest('{polite,stubborn}'::text[]) job, generate_series(1, $2::int)`,
		round, each); err != nil {
		t.Fatal(err)
	}
	f.untilRecorded(t, len(before)+2*each)
	victim, has := f.members[0], 0
	for _, m := range f.members {
		if n := f.count(t, runningAt, m.cmd.Process.Pid); n > has {
			victim, has = m, n
		}
	}
	began := time.Now()
	victim.wire.set(state)
	pause(length)
	victim.wire.set(fine)

	// Both are at work again, and so are all commands; only then may they end.
	for _, m := range f.members {
		f.until(t, 1, time.Minute, livingWorker, m.cmd.Process.Pid)
	}
	f.until(t, 2*each, 90*time.Second, `SELECT count(*) FROM tidemill.river_job j JOIN tidemill.process p ON p.id = j.attempted_by[array_upper(j.attempted_by, 1)]
		WHERE j.state = 'running' AND p.fenced_at IS NULL`)
	if err := os.WriteFile(releaseOf(f.records, fmt.Sprint(round)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.until(t, len(before)+2*each, 90*time.Second, `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed'`)

	now := moments(t, f.records)
	again, first := 0, time.Duration(0)
	for job, moments := range now {
		if before[job] != nil {
			delete(now, job)
			continue
		}
		if n := count(moments, "start"); n > 1 {
			again++
		}
		for _, m := range moments {
			if took := m.at.Sub(began); m.what == "start" && took > 0 && (first == 0 || took < first) {
				first = took
			}
		}
	}
	bad, longest := overlaps(now), time.Duration(0)
	for _, o := range bad {
		longest = max(longest, o.length)
	}
	t.Logf("%s for %s of the worker with %d of %d commands: %d ran again, the first after %s; %d at two places at once, for up to %s",
		state, length, has, 2*each, again, first.Round(10*time.Millisecond), len(bad), longest.Round(10*time.Millisecond))
	if len(bad) > 0 {
		t.Errorf("%s for %s: %d commands ran at two places at once", state, length, len(bad))
	}
}

// untilRecorded waits until so many jobs have begun.
func (f *fleet) untilRecorded(t *testing.T, want int) {
	t.Helper()
	for began := time.Now(); ; pause(20 * time.Millisecond) {
		n := len(moments(t, f.records))
		if n >= want {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%d of %d commands have begun", n, want)
		}
	}
}
