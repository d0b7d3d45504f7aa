package periodic

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/migrations"
)

// Opts configures a Scheduler. Only Conn is required.
type Opts struct {
	// Conn says how to reach the database. The scheduler has a connection of its own, so that a busy pool delays no tick.
	Conn *pgx.ConnConfig
	// Session is shared with other loops; default: one of its own, made from Conn.
	Session *session.Keeper
	// Schema says where the tables are; default tidemill.
	Schema migrations.Schema
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Poll is how often it looks for changes while nothing is due; default 1 s. Ticks are not delayed by it.
	Poll time.Duration
	// OnTick, if set, is called for each tick that this process has handled.
	OnTick func(Tick)
	// OnFailure, if set, is called for each failed attempt to fire a schedule, with the error. The tick is retried.
	OnFailure func(schedule, problem string)
	// Clock replaces the database's, for tests. Nothing else decides what is due.
	Clock func() time.Time
}

// Tick is one due time of a schedule, and what became of it.
type Tick struct {
	Schedule string     `json:"schedule"`
	DueAt    time.Time  `json:"due_at"`
	Outcome  string     `json:"outcome"` // Enqueued, CaughtUp, Waiting, Overlap, Paused or Missed
	Run      *int64     `json:"run"`
	Reason   *string    `json:"reason"`
	Ticks    int        `json:"ticks"` // how many the row stands for: very many missed ones share a row
	At       *time.Time `json:"at"`    // when it was handled
}

// The outcomes of a tick.
const (
	Enqueued = "enqueued"  // on time: a minute late at most, or an interval if no process was there
	CaughtUp = "caught_up" // enqueued later than that
	Waiting  = "waiting"   // for a live run of the job to end
	Overlap  = "overlap"   // left out: a run of the job was live
	Paused   = "paused"    // left out: the schedule was paused
	Missed   = "missed"    // left out: it was too late
)

// Scheduler fires what is due. Any number of processes may run one on the same database, and none of them leads: each
// looks for what is due, and the database lets one of them deal with a tick.
type Scheduler struct {
	opts Opts
	// parsed keeps schedules by their spec in the database.
	parsed map[string]*Schedule
	// failing are the schedules that could not be fired, and when to try them again. They hold up no other.
	failing map[string]*failure
	since   time.Time // of the first look, by the database's clock
}

type failure struct {
	until time.Time // by this process's clock, which decides nothing else
	wait  time.Duration
}

// New returns a scheduler. Its Run does the work.
func New(opts Opts) *Scheduler {
	opts.Schema = opts.Schema.Defaults()
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.Poll = cmp.Or(opts.Poll, time.Second)
	return &Scheduler{opts: opts, parsed: map[string]*Schedule{}, failing: map[string]*failure{}}
}

// Run fires what is due until ctx ends. What goes wrong is logged and tried again: a schedule's tick stays due until it is
// dealt with.
func (s *Scheduler) Run(ctx context.Context) {
	keeper, done := session.Share(s.opts.Session, s.opts.Conn)
	defer done()
	failed := func(err error) {
		s.opts.Logger.WarnContext(ctx, "look for due schedules; it will be retried", "error", err)
	}
	keeper.Loop(ctx, failed, s.step)
}

// fireBatch bounds how long one transaction holds schedules.
const fireBatch = 50

// step deals with what is due now and returns how long nothing will be.
func (s *Scheduler) step(ctx context.Context, conn *pgx.Conn) (time.Duration, error) {
	due, err := s.due(ctx, conn)
	if err != nil {
		return 0, err
	}
	if s.since.IsZero() {
		s.since = due.Now
	}
	if due.Waiting {
		if err := s.report(ctx, conn, `SELECT schedule, due_at, outcome, problem, clock_timestamp() FROM {tidemill}.release_ticks()`); err != nil {
			return 0, fmt.Errorf("start what waited: %w", err)
		}
	}
	// Several processes see the same; in an order of its own each finds something to do.
	rand.Shuffle(len(due.Rows), func(i, k int) { due.Rows[i], due.Rows[k] = due.Rows[k], due.Rows[i] })
	for rows := due.Rows; len(rows) > 0; rows = rows[min(fireBatch, len(rows)):] {
		items := []item{}
		for _, row := range rows[:min(fireBatch, len(rows))] {
			schedule, err := s.schedule(row.Spec)
			if err != nil { // a newer version's notation, perhaps; that version fires it
				s.fail(ctx, row.Name, err.Error())
				continue
			}
			items = append(items, decide(due.Now, due.since(s.since), row, schedule))
		}
		if err := s.report(ctx, conn, `SELECT schedule, due_at, outcome, problem, clock_timestamp() FROM {tidemill}.fire($1)`, items); err != nil {
			return 0, fmt.Errorf("fire: %w", err)
		}
	}
	switch {
	case len(due.Rows) > 0:
		return 0, nil // there may be more, and what others held has to be looked at again
	case due.Next != nil:
		return max(time.Millisecond, min(s.opts.Poll, due.Next.Sub(due.Now))), nil
	default:
		return s.opts.Poll, nil
	}
}

// dueNow is what one look at the schedules finds.
type dueNow struct {
	Now     time.Time
	Next    *time.Time // the first that is not due yet
	Waiting bool       // whether ticks wait for runs to end
	Alive   *time.Time // when the oldest process began that lives
	Rows    []dueRow
}

// since is from when on a process was there: own, or another that has not left since.
func (d *dueNow) since(own time.Time) time.Time {
	if d.Alive != nil && d.Alive.Before(own) {
		return *d.Alive
	}
	return own
}

// dueRow is a schedule that is due.
type dueRow struct {
	Name    string          `json:"name"`
	Spec    json.RawMessage `json:"spec"`
	CatchUp string          `json:"catch_up"`
	Window  float64         `json:"window"` // seconds
	NextAt  time.Time       `json:"next_tick_at"`
}

func (s *Scheduler) due(ctx context.Context, conn *pgx.Conn) (*dueNow, error) {
	var clock *time.Time
	if s.opts.Clock != nil {
		now := s.opts.Clock()
		clock = &now
	}
	d := &dueNow{}
	err := conn.QueryRow(ctx, s.opts.Schema.SQL(`
		WITH clock AS MATERIALIZED (SELECT coalesce($1, clock_timestamp()) AS now)
		SELECT now, (SELECT min(next_tick_at) FROM {tidemill}.schedule WHERE next_tick_at > now),
		       EXISTS (SELECT FROM {tidemill}.tick WHERE outcome = 'waiting'),
		       (SELECT min(started_at) FROM {tidemill}.process
		         WHERE fenced_at IS NULL AND NOT draining AND beat_at > clock_timestamp() - interval '4500 milliseconds'),
		       (SELECT coalesce(jsonb_agg(d), '[]') FROM (
				SELECT name, spec, catch_up, extract(epoch FROM catch_up_for) AS window, next_tick_at FROM {tidemill}.schedule
				 WHERE next_tick_at <= now AND name <> ALL ($2) ORDER BY next_tick_at LIMIT 1000) d)
		  FROM clock`), clock, s.notNow()).Scan(&d.Now, &d.Next, &d.Waiting, &d.Alive, &d.Rows)
	if err != nil {
		return nil, fmt.Errorf("look for what is due: %w", err)
	}
	return d, nil
}

// notNow are the schedules that failed a moment ago.
func (s *Scheduler) notNow() []string {
	names := []string{}
	for name, f := range s.failing {
		if time.Until(f.until) > 0 {
			names = append(names, name)
		}
	}
	return names
}

func (s *Scheduler) fail(ctx context.Context, name, problem string) {
	f := s.failing[name]
	if f == nil {
		f = &failure{}
		s.failing[name] = f
	}
	f.wait = max(250*time.Millisecond, min(2*f.wait, time.Minute))
	f.until = time.Now().Add(f.wait)
	if s.opts.OnFailure != nil {
		s.opts.OnFailure(name, problem)
	}
	s.opts.Logger.WarnContext(ctx, "fire a schedule; its tick stays due", "schedule", name, "error", problem, "again_in", f.wait.String())
}

// schedule parses a spec once.
func (s *Scheduler) schedule(spec json.RawMessage) (*Schedule, error) {
	if known := s.parsed[string(spec)]; known != nil {
		return known, nil
	}
	parsed, err := parseStored(spec)
	if err != nil {
		return nil, err
	}
	if len(s.parsed) > 100_000 {
		clear(s.parsed)
	}
	s.parsed[string(spec)] = parsed
	return parsed, nil
}

// report runs one of the functions that deal with ticks, and tells what they did.
func (s *Scheduler) report(ctx context.Context, conn *pgx.Conn, query string, args ...any) error {
	rows, err := conn.Query(ctx, s.opts.Schema.SQL(query), args...)
	if err != nil {
		return err
	}
	type done struct {
		Schedule string
		DueAt    time.Time
		Outcome  string
		Problem  *string
		At       time.Time
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[done])
	if err != nil {
		return err
	}
	failed := map[string]bool{}
	for _, d := range all {
		if d.Problem != nil {
			failed[d.Schedule] = true
			s.fail(ctx, d.Schedule, *d.Problem)
		}
	}
	for _, d := range all {
		if failed[d.Schedule] {
			continue
		}
		delete(s.failing, d.Schedule)
		if s.opts.OnTick != nil {
			s.opts.OnTick(Tick{Schedule: d.Schedule, DueAt: d.DueAt, Outcome: d.Outcome, Ticks: 1, At: &d.At})
		}
	}
	return nil
}

// storedSpec is a Spec in the database.
type storedSpec struct {
	Cron     string `json:"cron,omitempty"`
	Every    int64  `json:"every,omitempty"` // seconds
	Timezone string `json:"timezone,omitempty"`
}

func parseStored(spec json.RawMessage) (*Schedule, error) {
	var stored storedSpec
	if err := json.Unmarshal(spec, &stored); err != nil {
		return nil, fmt.Errorf("schedule in the database: %w", err)
	}
	schedule, err := Parse(Spec{Cron: stored.Cron, Every: time.Duration(stored.Every) * time.Second, Timezone: stored.Timezone})
	if err != nil {
		return nil, fmt.Errorf("schedule in the database: %w", err)
	}
	return schedule, nil
}

// ErrNoSchedule is returned for a name that no schedule has.
var ErrNoSchedule = errors.New("no such schedule")
