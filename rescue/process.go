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
	"github.com/tidemill/tidemill/migrations"
)

// Opts configures Register. Only Conn is required.
type Opts struct {
	// Conn says how to reach the database, directly or through a session pooler. Two connections of the process's own are
	// made from it, so that a busy pool cannot make it look dead.
	Conn *pgx.ConnConfig
	// Schema says where the tables are; default tidemill.
	Schema migrations.Schema
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Version and Queues (name to number of workers) are for people to see. Config says which configuration it runs.
	Version string
	Config  string
	Queues  map[string]int

	// Beat is how often the process says that it lives; default 2 s.
	Beat time.Duration
	// Sweep is how often it looks at the others; default 1 s.
	Sweep time.Duration
	// DeadAfter is how long another's beat may stand still before it is taken for dead; default 20 s.
	DeadAfter time.Duration
	// SilentAfter is how long the process may fail to beat before Run returns ErrSilent; default 15 s, less than DeadAfter,
	// so that it stops its own jobs before others take them.
	SilentAfter time.Duration
	// OrphanAfter is how long a job must have been running here by the database's word only, before it is given back;
	// default 30 s. It leaves River's completer time to write what has ended.
	OrphanAfter time.Duration
	// GiveUpAfter is the number of rescues in a row, without progress in between, after which a job is discarded instead
	// of given back; default 5.
	GiveUpAfter int
	// Replaces is the id under which this process was registered before. It is fenced at once, so that what ran under it
	// need not be found dead.
	Replaces string
	// DeadAfterLostLock is as DeadAfter for a process whose lock session has ended, as it does when a process is killed;
	// default 5 s.
	DeadAfterLostLock time.Duration

	// OnClock, if set, is told with each beat, and by Register, what the database's clock showed at some moment between sent
	// and received, which are of time.Now. It must not block.
	OnClock func(db, sent, received time.Time)
	// OnMoved, if set, is told of jobs that were moved. It must not block.
	OnMoved func(Moved)
	// OnFenced, if set, is told of each other process that this one has declared dead, by its id. It must not block.
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
// client, then Register again and go on under the new id.
var ErrFenced = errors.New("this process was taken for dead and its jobs were given to others")

// ErrSilent is returned by Run when the process could not beat for SilentAfter: it cannot know whether others have its
// jobs by now. Do as for ErrFenced.
var ErrSilent = errors.New("this process could not reach the database; others may have its jobs by now")

// Process is this process as the others see it. It is a River plugin; give it to the client.
type Process struct {
	river.PluginDefaults

	id      string
	opts    Opts
	working working

	clock    dbclock.Clock
	beatConn *pgx.Conn
	// lockSince is when the present lock session began, in UnixNano; a sweeper that lost its own lock must not
	// conclude anything from the loss of another's.
	lockSince atomic.Int64
}

var (
	_ rivertype.Plugin           = (*Process)(nil)
	_ rivertype.WorkerMiddleware = (*Process)(nil)
)

// Register makes the process known under a new id. Do it before the River client starts, and give the client that id.
func Register(ctx context.Context, opts Opts) (*Process, error) {
	if opts.Conn == nil {
		return nil, errors.New("rescue: Opts.Conn is nil")
	}
	opts.Schema = opts.Schema.Defaults()
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.Beat = cmp.Or(opts.Beat, 2*time.Second)
	opts.Sweep = cmp.Or(opts.Sweep, time.Second)
	opts.DeadAfter = cmp.Or(opts.DeadAfter, 20*time.Second)
	opts.GiveUpAfter = cmp.Or(opts.GiveUpAfter, 5)
	opts.OrphanAfter = cmp.Or(opts.OrphanAfter, 30*time.Second)
	opts.SilentAfter = cmp.Or(opts.SilentAfter, 15*time.Second)
	opts.DeadAfterLostLock = cmp.Or(opts.DeadAfterLostLock, 5*time.Second)

	p := &Process{id: newID(), opts: opts, working: working{jobs: map[int64]int{}}}
	if err := p.connect(ctx); err != nil {
		return nil, err
	}
	queues, err := json.Marshal(opts.Queues)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	if opts.Replaces != "" {
		_, err = p.beatConn.Exec(ctx, p.sql(`UPDATE {tidemill}.process SET fenced_at = now() WHERE id = $1 AND fenced_at IS NULL`), opts.Replaces)
		if err != nil {
			_ = p.beatConn.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("fence the former process id %s: %w", opts.Replaces, err)
		}
	}
	err = p.askClock(ctx, `INSERT INTO {tidemill}.process (id, host, pid, version, queues, config) VALUES ($1, $2, $3, $4, $5, $6)
		RETURNING clock_timestamp()`, p.id, host, os.Getpid(), opts.Version, queues, opts.Config)
	if err != nil {
		_ = p.beatConn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("register the process: %w", err)
	}
	return p, nil
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
// of river_job through them are refused once it is fenced. Use it for the pool of the River client.
func (p *Process) Tag(config *pgx.ConnConfig) {
	TagSessions(config, p.id)
	config.RuntimeParams["tidemill.client"] = p.id
}

// TagSessions names the sessions of other pools of the process, so that they are ended too when it is dead.
func TagSessions(config *pgx.ConnConfig, id string) {
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	config.RuntimeParams["application_name"] = SessionName(id)
}

// SessionName is the application_name of the sessions that end with the process of that id.
func SessionName(id string) string { return "tidemill:" + id }

const lockKey = `hashtextextended('tidemill process ' || $1, 0)`

// connect opens the session that beats and holds the process's lock. The server gives the lock up when the session ends,
// which for a killed process is at once.
func (p *Process) connect(ctx context.Context) error {
	config := p.opts.Conn.Copy()
	TagSessions(config, p.id)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if _, err := conn.Exec(ctx, "SELECT pg_try_advisory_lock_shared("+lockKey+")", p.id); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return fmt.Errorf("take the process lock: %w", err)
	}
	p.beatConn = conn
	p.lockSince.Store(time.Now().UnixNano())
	return nil
}

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

func (p *Process) beatLoop(ctx context.Context) error {
	tick := time.NewTicker(p.opts.Beat)
	defer tick.Stop()
	// The others count from the beat itself, which is no earlier than its beginning here.
	last := time.Now()
	for {
		began, silentAt := time.Now(), last.Add(p.opts.SilentAfter)
		err := p.beat(ctx, silentAt)
		switch {
		case err == nil:
			last = began
		case errors.Is(err, ErrFenced):
			return err
		case ctx.Err() != nil:
			return nil
		case !time.Now().Before(silentAt):
			return fmt.Errorf("%w: %w", ErrSilent, err)
		default:
			p.opts.Logger.WarnContext(ctx, "beat", "process", p.id, "error", err)
		}
		select {
		case <-tick.C:
		case <-time.After(time.Until(last.Add(p.opts.SilentAfter))): // the last try is cut short, not late
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *Process) beat(ctx context.Context, silentAt time.Time) error {
	const patience, least = 5 * time.Second, 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, max(least, min(patience, time.Until(silentAt))))
	defer cancel()
	if p.beatConn.IsClosed() {
		if err := p.connect(ctx); err != nil {
			return err
		}
	}
	err := p.askClock(ctx, `UPDATE {tidemill}.process SET beat_at = clock_timestamp() WHERE id = $1 AND fenced_at IS NULL RETURNING clock_timestamp()`, p.id)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrFenced
	}
	return err
}

// askClock runs a statement that returns the database's clock, and passes that on.
func (p *Process) askClock(ctx context.Context, query string, args ...any) error {
	var db time.Time
	sent := time.Now()
	if err := p.beatConn.QueryRow(ctx, p.sql(query), args...).Scan(&db); err != nil {
		return err
	}
	received := time.Now()
	p.clock.Learn(db, sent, received)
	if p.opts.OnClock != nil {
		p.opts.OnClock(db, sent, received)
	}
	return nil
}

// Draining tells the others, and people, that the process takes no new jobs.
func (p *Process) Draining(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, p.sql(`UPDATE {tidemill}.process SET draining = true WHERE id = $1`), p.id)
	return err
}

// Close ends the registration after the River client has stopped. What the client still left running goes back to its
// queue, as after a death.
func (p *Process) Close(ctx context.Context) error {
	defer func() { _ = p.beatConn.Close(context.WithoutCancel(ctx)) }()
	if p.beatConn.IsClosed() {
		if err := p.connect(ctx); err != nil {
			return err
		}
	}
	if _, err := p.beatConn.Exec(ctx, p.sql(`UPDATE {tidemill}.process SET fenced_at = coalesce(fenced_at, now()) WHERE id = $1`), p.id); err != nil {
		return fmt.Errorf("end the process %s: %w", p.id, err)
	}
	if _, err := p.moveJobs(ctx, p.beatConn, never, ofFenced); err != nil {
		return fmt.Errorf("end the process %s: %w", p.id, err)
	}
	_, err := p.beatConn.Exec(ctx, p.sql(`DELETE FROM {tidemill}.process p WHERE id = $1 AND NOT EXISTS (SELECT FROM {river}.river_job j
		WHERE j.state = 'running' AND j.attempted_by[array_upper(j.attempted_by, 1)] = p.id)`), p.id)
	if err != nil {
		return fmt.Errorf("end the process %s: %w", p.id, err)
	}
	return nil
}

func (p *Process) sql(query string) string { return p.opts.Schema.SQL(query) }
