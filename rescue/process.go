package rescue

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/internal/dbclock"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/migrations"
)

// Opts configures Register. Only Conn is required.
type Opts struct {
	// Conn says how to reach the database, directly or through a session pooler. Two connections of the process's own are
	// made from it, so that a busy pool cannot make it look dead: one beats, one watches the others.
	Conn *pgx.ConnConfig
	// Session is shared with other loops by the one that watches the others; default: one of its own, made from Conn.
	Session *session.Keeper
	// Schema says where the tables are; default tidemill.
	Schema migrations.Schema
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Version and Queues (name to number of workers) are for people to see. Config says which configuration it runs.
	Version string
	Config  string
	Queues  map[string]int
	// Knows is what the process can work: kinds of River, and KIND:JOB of a built-in kind, whose arguments name a job. Nil: it does
	// not say, and is taken to know all.
	Knows []string

	// Began is when the process began to start, of time.Now; default: when it registers. From then on it counts as there, for
	// example for ticks that came due before it could fire them.
	Began time.Time

	// Beat is how often the process says that it lives; default 1 s.
	Beat time.Duration
	// Sweep is how often it looks at the others; default 1 s.
	Sweep time.Duration
	// DeadAfter is how long another's beat may stand still before it is taken for dead; default 20 s.
	DeadAfter time.Duration
	// SilentAfter is how long after the last beat that got through the process ends its own jobs, and Run returns ErrSilent;
	// default 4.5 s. It must be less than DeadAfterLostSession by more than the jobs take to end, or they run twice at once.
	SilentAfter time.Duration
	// OrphanAfter is how long a job must have been running here by the database's word only, before it is given back;
	// default 30 s.
	OrphanAfter time.Duration
	// GiveUpAfter is the number of rescues in a row, without progress in between, after which a job is discarded instead
	// of given back; default 5.
	GiveUpAfter int
	// Replaces is the id under which this process was registered before. It is fenced at once, so that what ran under it
	// need not be found dead.
	Replaces string
	// DeadAfterLostSession is as DeadAfter for a process whose session has ended, as it does when a process is killed or cut off;
	// default 7.5 s.
	DeadAfterLostSession time.Duration

	// OnClock, if set, is called with each beat, and by Register, with what the database's clock showed at some moment between sent
	// and received, which are of time.Now. It must not block.
	OnClock func(db, sent, received time.Time)
	// OnMoved, if set, is called for jobs that were moved. It must not block.
	OnMoved func(Moved)
	// OnReconnect, if set, is called when beats go through another session than before: the server may be another one, and
	// other sessions may still be with the old one. It must not block.
	OnReconnect func()
	// OnFenced, if set, is called for each other process that this one has declared dead, by its id. It must not block.
	OnFenced func(id string)
}

// Moved counts jobs that this process took from one that had ended or died, itself included.
type Moved struct {
	Queue  string
	Kind   string
	Result string // their new state: available, cancelled or discarded
	Jobs   int
}

// ErrFenced is returned by Run when another process took this one for dead: its jobs are elsewhere by now. Stop the River
// client, then Register again and continue under the new id.
var ErrFenced = errors.New("this process was taken for dead and its jobs were given to others")

// ErrSilent is returned by Run when the process could not beat for SilentAfter: it cannot know whether others have its
// jobs by now. Do as for ErrFenced.
var ErrSilent = errors.New("this process could not reach the database; others may have its jobs by now")

// Process is this process as the others see it. It is a River plugin; give it to the client.
type Process struct {
	river.PluginDefaults

	id         string
	opts       Opts
	jobs       *jobs
	registered time.Time

	clock   dbclock.Clock
	session *beatSession // that beats; nil while there is none
	// sessionSince is when it began: a sweeper that lost its own must not conclude anything from the loss of another's.
	sessionSince atomic.Pointer[time.Time]
}

var (
	_ rivertype.Plugin           = (*Process)(nil)
	_ rivertype.WorkerMiddleware = (*Process)(nil)
)

// Register makes the process known under a new id. It refuses a pooler that gives no sessions of one's own. Do it before the River client starts, and give the client that id.
func Register(ctx context.Context, opts Opts) (*Process, error) {
	if opts.Conn == nil {
		return nil, errors.New("rescue: Opts.Conn is nil")
	}
	opts.Schema = opts.Schema.Defaults()
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.Beat = cmp.Or(opts.Beat, time.Second)
	opts.Sweep = cmp.Or(opts.Sweep, time.Second)
	opts.DeadAfter = cmp.Or(opts.DeadAfter, 20*time.Second)
	opts.GiveUpAfter = cmp.Or(opts.GiveUpAfter, 5)
	opts.OrphanAfter = cmp.Or(opts.OrphanAfter, 30*time.Second)
	opts.SilentAfter = cmp.Or(opts.SilentAfter, 4500*time.Millisecond)
	opts.DeadAfterLostSession = cmp.Or(opts.DeadAfterLostSession, 7500*time.Millisecond)

	p := &Process{id: newID(), opts: opts, jobs: newJobs()}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	if err := session.Check(ctx, opts.Conn); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := p.register(ctx); err != nil {
		p.session.close(ctx)
		return nil, err
	}
	return p, nil
}

// registerTimeout bounds Register: a server that does not answer may be asked again, perhaps under another address.
const registerTimeout = 15 * time.Second

func (p *Process) register(ctx context.Context) (err error) {
	if p.session, err = p.connect(ctx); err != nil {
		return err
	}
	p.sessionSince.Store(&p.session.since)
	queues, err := json.Marshal(p.opts.Queues)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	if p.opts.Replaces != "" {
		_, err = p.session.conn.Exec(ctx, p.sql(`UPDATE {tidemill}.process SET fenced_at = now() WHERE id = $1 AND fenced_at IS NULL`), p.opts.Replaces)
		if err != nil {
			return fmt.Errorf("fence the former process id %s: %w", p.opts.Replaces, err)
		}
	}
	// What waits for its turn must not come due before the first sweep, after hours in which nobody looked.
	if err := pgx.BeginFunc(ctx, p.session.conn, func(tx pgx.Tx) error { return p.hold(ctx, tx) }); err != nil {
		return fmt.Errorf("hold suspect jobs: %w", err)
	}
	var began time.Time
	if err := p.session.conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&began); err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	if !p.opts.Began.IsZero() {
		began = began.Add(-time.Since(p.opts.Began))
	}
	p.registered = time.Now()
	err = p.askClock(ctx, p.session, `INSERT INTO {tidemill}.process (id, host, pid, version, queues, config, knows, started_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING clock_timestamp()`,
		p.id, host, os.Getpid(), p.opts.Version, queues, p.opts.Config, p.opts.Knows, began)
	if err != nil {
		return fmt.Errorf("register the process: %w", err)
	}
	return nil
}

// newID keeps to what fits, with a prefix, into an application_name of 63 bytes.
func newID() string {
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, host)
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails, by its documentation
	return fmt.Sprintf("%.24s-%d-%s", cmp.Or(host, "host"), os.Getpid(), hex.EncodeToString(random[:]))
}

// ID is the process's id, for river.Config.ID.
func (p *Process) ID() string { return p.id }

// Clock tells the time by the database's clock, learned with each beat. Give it to the client as river.Config.Test.Time, which
// is what River has for this, and its Now to batch and retry: then jobs are due at their time however wrong this machine's is.
func (p *Process) Clock() rivertype.TimeGenerator { return &p.clock }

// Tag makes the sessions of a connection configuration this process's: they can be ended when it is dead, and updates
// of river_job through them are refused once it is fenced. Use it for the pool of the River client. A session is named
// after it was connected, and refused if it does not keep its name.
func (p *Process) Tag(config *pgx.ConnConfig) {
	session.Set(config, SessionSettings(p.id))
}

// SessionSettings are what Tag gives sessions.
func SessionSettings(id string) map[string]string {
	return map[string]string{"application_name": SessionName(id), "tidemill.client": id}
}

// TagSessions names the sessions of other pools of the process, so that they are ended too when it is dead.
func TagSessions(config *pgx.ConnConfig, id string) {
	session.Set(config, map[string]string{"application_name": SessionName(id)})
}

// SessionName is the application_name of the sessions that end with the process of that id.
func SessionName(id string) string { return "tidemill:" + id }

// Run beats and watches the others until ctx ends (nil), this process is found fenced (ErrFenced) or cannot beat any more
// (ErrSilent).
func (p *Process) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		p.sweepLoop(ctx)
	}()
	err := p.beatLoop(ctx)
	cancel(err)
	<-swept
	return err
}

// Draining tells the others, and people, that the process takes no new jobs.
func (p *Process) Draining(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, p.sql(`UPDATE {tidemill}.process SET draining = true WHERE id = $1`), p.id)
	return err
}

// Close ends the registration after the River client has stopped and Run has returned. What the client still left running
// goes back to its queue, as after a death; what has ended and could not be stored yet is left to the others to store.
func (p *Process) Close(ctx context.Context) error {
	if err := p.end(ctx); err != nil {
		return fmt.Errorf("end the process %s: %w", p.id, err)
	}
	return nil
}

func (p *Process) end(ctx context.Context) error {
	s, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	if _, err := s.conn.Exec(ctx, p.sql(`UPDATE {tidemill}.process SET fenced_at = coalesce(fenced_at, now()) WHERE id = $1`), p.id); err != nil {
		return err
	}
	if err := p.settle(ctx, s.conn); err != nil {
		return err
	}
	if _, err := p.moveJobs(ctx, s.conn, never, ofFenced); err != nil {
		return err
	}
	_, err = s.conn.Exec(ctx, p.sql(`DELETE FROM {tidemill}.process p WHERE id = $1 AND NOT EXISTS (SELECT FROM {river}.river_job j
		WHERE j.state = 'running' AND j.attempted_by[array_upper(j.attempted_by, 1)] = p.id)`), p.id)
	return err
}

func (p *Process) sql(query string) string { return p.opts.Schema.SQL(query) }
