package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	seededFor     = flag.Duration("chaos.for", 30*time.Second, "how long TestSeeded makes trouble")
	seededWorkers = flag.Int("chaos.workers", 4, "workers under TestSeeded")
)

// The stalls are short because a statement on a connection that stays silent for good waits until then.
const seededConfig = `
database: {url: "${DATABASE_URL}"}
storage: {url: "file://${CHAOS_DIR}/storage"}
metrics: {listen: ""}
queues: {default: 12}
drain_timeout: 10s
retry: {max_attempts: 100, backoff: constant, delay: 500ms}
jobs:
  beat: {kind: touch, args: {most: 50}}
  child: {kind: touch, args: {most: 300}}
  fan: {kind: each, query: SELECT id FROM public.numbers WHERE id <= 60, order_by: [id], enqueue: {job: child}, then: {always: [after]}}
  after: {kind: touch, args: {most: 10}}
  wade: {kind: wade}
  drop: {kind: import, source: "file://${CHAOS_DIR}/drop/*.csv", table: public.dropped, match: [id], on_conflict: skip, reject_limit: {rows: 1000}}
schedules:
  first: {job: beat, every: 1s, overlap: allow, catch_up: all}
  second: {job: beat, every: 1s, overlap: allow, catch_up: all}
  look: {job: drop, every: 4s}
`

const seededTables = `
CREATE TABLE public.numbers AS SELECT generate_series(1::bigint, 1000) AS id;
ALTER TABLE public.numbers ADD PRIMARY KEY (id);
CREATE TABLE public.waded (run bigint NOT NULL, id bigint NOT NULL);
CREATE TABLE public.dropped (id bigint PRIMARY KEY, n int NOT NULL);
CREATE TABLE public.revived (job bigint NOT NULL, was text NOT NULL, became text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION public.revive() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO public.revived (job, was, became) VALUES (NEW.id, OLD.state::text, NEW.state::text); RETURN NULL; END $$;
CREATE TRIGGER revive AFTER UPDATE ON tidemill.river_job FOR EACH ROW
	WHEN (OLD.finalized_at IS NOT NULL AND OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION public.revive();`

// seeded is the state of one TestSeeded.
type seeded struct {
	*jobBundle
	server  *ownServer
	crew    *crew
	load    *load
	records string
	began   time.Time
	ticked  time.Duration // from began until the schedules were paused
	events  []event
}

// event is something to do at a time from the beginning.
type event struct {
	at time.Duration
	do func()
}

// Workers run jobs of all sorts, fire schedules and import files while one fault after the other befalls them, their network
// and their database, drawn by a seed. Then all is left to settle, and everything must add up: nothing is lost, nothing that
// has ended runs again, nothing runs twice at once, no tick is lost or doubled, counters balance, and no worker has ended by
// itself.
//
//	go test ./internal/chaos -run TestSeeded -chaos.for 10m -timeout 30m -v
//	go test ./internal/chaos -run TestSeeded -chaos.for 10m -chaos.seed 42 -timeout 30m -v
func TestSeeded(t *testing.T) {
	t.Parallel()

	number := *seed
	if number == 0 {
		number = uint64(time.Now().UnixNano())
	}
	plan := draw(number, *seededFor, *seededWorkers)
	var text strings.Builder
	for _, step := range plan {
		fmt.Fprintln(&text, step)
	}
	t.Logf("-chaos.seed %d, %d steps in %s:\n%s", number, len(plan), *seededFor, &text)

	server := startServer(t)
	s := &seeded{jobBundle: setupJobsAt(t, server.url(t)), server: server}
	s.records = recordsIn(t, s.dir)
	s.write(t, "drop/.keep", "")
	commands := "  call: " + commandJob(t, s.records, lastVariable, "1500ms") + "\n" +
		"  stubborn: " + commandJob(t, s.records, lastVariable, "4s", stubbornVariable, "1") + "\n"
	s.write(t, "tidemill.yaml", strings.Replace(seededConfig, "jobs:\n", "jobs:\n"+commands, 1))
	s.exec(t, seededTables)
	worker := s.worker(t)
	s.crew = newCrew(t, s.url, *seededWorkers, worker)
	for _, pid := range s.crew.pids() {
		s.until(t, 1, time.Minute, livingWorker, pid)
	}
	s.until(t, 2, time.Minute, `SELECT count(DISTINCT schedule) FROM tidemill.tick WHERE schedule IN ('first', 'second')`)

	s.load = newLoad(s)
	s.began = time.Now()
	for _, step := range plan {
		s.events = append(s.events, event{step.at, func() { s.befall(t, step) }})
	}
	s.events = append(s.events, event{*seededFor, func() {}})
	for len(s.events) > 0 {
		slices.SortStableFunc(s.events, func(a, b event) int { return int(a.at - b.at) })
		next := s.events[0]
		s.events = s.events[1:]
		pause(time.Until(s.began.Add(next.at)))
		next.do()
	}
	b := &broken{began: s.began, of: map[string][]breach{}}
	s.settle(t, b)
	s.check(t, b)
}

// worker makes worker processes: this test binary, or what -chaos.without has made of it.
func (s *seeded) worker(t *testing.T) func(near string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if *without != "" {
		path = disable(t, s.jobBundle, *without)
	}
	return func(near string) *exec.Cmd {
		cmd := exec.Command(path)
		cmd.Dir = s.dir
		cmd.Env = append(os.Environ(), workerVariable+"=1", "DATABASE_URL="+near, "CHAOS_DIR="+s.dir)
		return cmd
	}
}

// later does something after that time, and not before.
func (s *seeded) later(d time.Duration, do func()) {
	s.events = append(s.events, event{time.Since(s.began) + d, do})
}

// befall begins a step, and sees to its end.
func (s *seeded) befall(t *testing.T, step step) {
	t.Helper()
	const afterwards = 3 * time.Second  // in which a process may still suffer from what is over
	const soon = 100 * time.Millisecond // in which it begins what it had fetched
	switch step.what {
	case "kill":
		s.crew.signal(step.victim, syscall.SIGKILL)
	case "end":
		s.crew.signal(step.victim, syscall.SIGTERM)
	case "freeze", longFreeze:
		s.crew.suffer(step.victim, step.length+afterwards)
		if step.what == longFreeze {
			s.crew.doom(step.victim, time.Now().Add(step.length+soon))
		}
		s.crew.signal(step.victim, syscall.SIGSTOP)
		s.later(step.length, func() { s.crew.signal(step.victim, syscall.SIGCONT) })
	case mistaken: // by another that was in error
		s.crew.suffer(step.victim, afterwards)
		pid := s.crew.doom(step.victim, time.Now().Add(soon))
		_, _ = s.pool.Exec(t.Context(), `UPDATE tidemill.process SET fenced_at = now() WHERE pid = $1 AND fenced_at IS NULL`, pid)
	case string(cut), string(stall), string(halfOpen), string(forgotten):
		s.crew.suffer(step.victim, step.length+10*time.Second) // half-open connections outlive the fault
		wire := s.crew.places[step.victim].wire
		wire.set(fault(step.what))
		s.later(step.length, func() { wire.set(fine) })
	case fastRestart, crashRestart:
		s.crew.suffer(-1, 15*time.Second)
		s.server.stopBy(t, map[string]string{fastRestart: "fast", crashRestart: "immediate"}[step.what])
		s.server.start(t)
	case "poison":
		s.load.aside("poison", s.insertOne(poisonArgs{}))
	case "results that cannot be stored":
		s.load.aside("nul", s.insertOne(nulArgs{}))
		s.load.aside("panic", s.insertOne(nulArgs{Panic: true}))
	default:
		s.hold(t, step)
	}
}

// hold takes a lock, in a session of its own.
func (s *seeded) hold(t *testing.T, step step) {
	t.Helper()
	const running = `(SELECT id FROM tidemill.river_job WHERE state = 'running' AND kind IN ('touch', 'tidemill.command') ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)`
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		t.Logf("%s: %v", step, err) // the server is being restarted
		return
	}
	name := fmt.Sprintf("held-%d", step.at.Milliseconds())
	statements := map[string][]string{
		"row lock":             {`UPDATE tidemill.river_job SET priority = priority WHERE id = ` + running},
		"open cancel":          {`SELECT tidemill.cancel(id) FROM ` + running + ` job`},
		"prepared transaction": {`UPDATE tidemill.river_job SET priority = priority WHERE id = ` + running, `PREPARE TRANSACTION '` + name + `'`},
		"vacuum full":          {`SELECT FROM tidemill.river_job LIMIT 1`},
	}[step.what]
	if step.what == "prepared transaction" { // whether or not the answer comes
		s.later(step.length, func() { s.load.retry(func(ctx context.Context) error { return s.forget(ctx, name) }) })
	}
	for _, sql := range append([]string{"BEGIN"}, statements...) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Logf("%s: %v", step, err)
			_ = conn.Close(context.Background())
			return
		}
	}
	switch step.what {
	case "prepared transaction":
		_ = conn.Close(ctx)
		return
	case "vacuum full":
		// Longer holders of rows are in its way, too, and everybody waits for it; it is not given their time.
		ctx, cancel := context.WithTimeout(context.Background(), step.length+time.Second)
		go func() {
			defer cancel()
			_, _ = s.pool.Exec(ctx, `VACUUM FULL tidemill.river_job`)
		}()
	}
	s.later(step.length, func() { _ = conn.Close(context.Background()) })
}

// forget ends a prepared transaction, if it is still there.
func (s *seeded) forget(ctx context.Context, name string) error {
	var there bool
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_prepared_xacts WHERE gid = $1)`, name).Scan(&there); err != nil || !there {
		return err
	}
	_, err := s.pool.Exec(ctx, `ROLLBACK PREPARED '`+name+`'`)
	return err
}

// settle ends the load and waits until all of it has been handled.
func (s *seeded) settle(t *testing.T, b *broken) {
	t.Helper()
	began := time.Now()
	s.load.stop()
	s.jobBundle.settle(t)
	s.pool.Reset()
	wait := func(want int, limit time.Duration, complaint, query string, args ...any) {
		for asked := time.Now(); ; pause(50 * time.Millisecond) {
			n := s.count(t, query, args...)
			if n == want {
				return
			}
			if time.Since(asked) > limit {
				b.add(allEnds, "%s after %s: %d", complaint, limit, n)
				return
			}
		}
	}
	for _, pid := range s.crew.pids() {
		wait(1, time.Minute, fmt.Sprintf("process %d does not beat", pid), livingWorker, pid)
	}
	s.exec(t, `UPDATE tidemill.schedule SET paused_at = now()`)
	s.ticked = time.Since(s.began)
	s.exec(t, `SELECT tidemill.start('drop')`)
	const open, events = `SELECT count(*) FROM tidemill.river_job WHERE finalized_at IS NULL`, `SELECT count(*) FROM tidemill.event`
	// What was beside a poisonous job twice comes back one at a time, and there are more such in a longer run.
	wait(0, 3*time.Minute+*seededFor/2, "jobs that have not ended", open)
	wait(0, time.Minute, "runs that nothing follows yet", events)
	wait(0, time.Minute, "jobs that have not ended", open)
	t.Logf("all had ended %s after the last fault", time.Since(began).Round(100*time.Millisecond))
}

// dropFolder is where files for the import are put.
func (s *seeded) dropFolder() string { return filepath.Join(s.dir, "drop") }
