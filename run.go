package tidemill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/riverpg"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/metrics"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/rescue"
)

// RunOpts narrows what Run works. The zero value works every configured queue.
type RunOpts struct {
	Queues []string // only these of the configuration
}

// never is how long River's own rescuer waits: rescue owns recovery, and knows better who is alive.
const never = 10 * 365 * 24 * time.Hour

// dropTimeout bounds the wait for a client whose jobs are dropped, before the next one starts.
const dropTimeout = 5 * time.Second

// fetchCooldown is how far apart two fetches of a queue are at least, and two wake-ups by one client.
const fetchCooldown = time.Millisecond

// Run is a worker process: it works jobs until ctx ends, then takes no more, lets the running ones continue for the
// configured drain_timeout and returns. If other processes took this one for dead meanwhile, it continues under a new
// identity.
func (a *App) Run(ctx context.Context, opts *RunOpts) error {
	began := time.Now()
	queues, err := a.queues(opts)
	if err != nil {
		return err
	}
	if err := session.Check(ctx, a.Pool.Config().ConnConfig); err != nil {
		return fmt.Errorf("database: %w", withoutPassword(err))
	}
	a.ownSessions()
	switch err := migrations.Check(ctx, a.Pool, a.schema); {
	case errors.Is(err, migrations.ErrPending):
		return fmt.Errorf("%w; run: tidemill migrate up", err)
	case err != nil:
		return err
	}
	watch, err := a.observe(ctx, queues)
	if err != nil {
		return err
	}
	defer watch.close()
	if err := a.addWorkers(ctx, watch.metrics); err != nil {
		return err
	}
	_, done, err := a.apply(ctx, false)
	if err != nil {
		return err
	}
	if !done {
		defer a.applyLater(ctx)()
	}
	a.checkConns(ctx, queues)
	return a.live(ctx, queues, watch, began)
}

// live works under one process id after the other until ctx ends. Once it has worked, no error ends it: a database that is
// down, read-only or refuses logins may recover, and a worker that gave up would be noticed only then. An error of the first
// start is returned.
func (a *App) live(ctx context.Context, queues map[string]int, watch *watch, began time.Time) error {
	const leastPause, mostPause = time.Second, 10 * time.Second
	started, pause := false, leastPause
	for {
		worked, err := a.runAs(ctx, queues, watch, began)
		started, began = started || worked, time.Time{}
		switch {
		case ctx.Err() != nil:
			return nil
		case !started:
			return err
		case errors.Is(err, rescue.ErrFenced), errors.Is(err, rescue.ErrSilent):
			watch.restarted(err)
			a.logger.WarnContext(ctx, "starting again under a new process id", "reason", err)
			pause = leastPause
			continue
		}
		a.logger.WarnContext(ctx, "the worker could not start again; trying until it can", "error", err, "again_in", pause.String())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, mostPause)
	}
}

func (a *App) queues(opts *RunOpts) (map[string]int, error) {
	all := map[string]int{}
	for name, queue := range a.Config.Queues {
		all[name] = queue.Workers
	}
	if opts == nil || len(opts.Queues) == 0 {
		return all, nil
	}
	some := map[string]int{}
	for _, name := range opts.Queues {
		workers, ok := all[name]
		if !ok {
			return nil, fmt.Errorf("queue %q is not in the configuration, which has %s", name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		}
		some[name] = workers
	}
	return some, nil
}

// runAs works under one process id until ctx ends or the id is fenced. It reports whether it began to work.
func (a *App) runAs(ctx context.Context, queues map[string]int, watch *watch, began time.Time) (worked bool, err error) {
	poolConfig, err := a.poolConfig()
	if err != nil {
		return false, err
	}
	session.Pin(poolConfig.ConnConfig)
	known, err := a.knows()
	if err != nil {
		return false, err
	}
	alive, end := context.WithCancel(ctx)
	defer end()
	pools := lifePools{sessions: newSessions()}
	process, err := rescue.Register(ctx, rescue.Opts{
		Conn: poolConfig.ConnConfig.Copy(), Session: watch.session, Schema: a.schema, Logger: a.logger, Version: Version(),
		Config: a.Config.Hash(), Queues: queues, Knows: known, Began: began,
		Replaces: a.processID(), OnClock: a.learnClock(ctx, watch), OnMoved: watch.moved, OnFenced: watch.fenced,
		OnReconnect: func() { go a.reconnect(alive, &pools) },
	})
	if err != nil {
		return false, err
	}
	lost := false
	defer func() { a.leave(ctx, process, lost) }()
	id := process.ID()
	a.process.Store(&id) // kept when it ends, for the next life to replace
	a.Pool.Reset()       // its sessions take the new name as they are made again
	process.Tag(poolConfig.ConnConfig)
	if err := pools.open(ctx, a.workPool(poolConfig, workersOf(queues)), a.controlPool(poolConfig, len(queues))); err != nil {
		return false, err
	}
	defer pools.close()
	watch.metrics.SetPool("work", pools.work)
	watch.metrics.SetPool("control", pools.control)

	// It beats from the beginning to the end, also while the client starts and while its jobs drain.
	beating, stopBeat := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- process.Run(beating) }()
	defer func() { stopBeat(); <-ended }()

	engine := batch.New(batch.Opts{Pool: pools.work, Schema: a.schema, Logger: a.logger, Clock: a.Now})
	unknown := newUnknownJobs(a)
	client, err := a.workingClient(pools.control, process, queues, watch.metrics, engine, unknown)
	if err != nil {
		return false, err
	}
	starting, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), startTimeout, errors.New("the database did not answer in time"))
	defer cancel()
	if err := startClient(starting, client); err != nil {
		// It may have begun to work, and a database that went away in this moment comes back.
		return batch.Classify(err) != batch.Config, fmt.Errorf("start working: %w", err)
	}
	watch.started()
	a.logger.InfoContext(ctx, "worker started", "process", id, "queues", queues)

	upkeep := a.upkeep(ctx, poolConfig.ConnConfig, queues, watch, unknown)
	defer upkeep()
	select {
	case <-ctx.Done():
		watch.drain()
	case err = <-ended:
		ended <- err // for the deferred wait
		lost = true
	}
	a.stop(ctx, client, engine, process, pools.control, lost)
	return true, err
}

// upkeep runs the background loops until the function that it returns is called.
func (a *App) upkeep(ctx context.Context, conn *pgx.ConnConfig, queues map[string]int, watch *watch, unknown *unknownJobs) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { a.sweeper(conn, watch).Run(ctx) })
	wait.Go(func() { a.loops(ctx) })
	wait.Go(func() { a.redateAhead(ctx, queues) })
	wait.Go(func() { unknown.watch(ctx) })
	wait.Go(func() { a.scheduler(watch).Run(ctx) })
	wait.Go(func() {
		batch.NewUpkeep(batch.UpkeepOpts{Session: watch.session, Schema: a.schema, Logger: a.logger}).Run(ctx)
	})
	return func() { cancel(); wait.Wait() }
}

// startTimeout bounds how long River may take to start; it has no bound of its own.
const startTimeout = 30 * time.Second

// startClient gives up on a start that takes too long. The client works under a context that does not end: jobs are
// drained, not dropped.
func startClient(ctx context.Context, client *river.Client[pgx.Tx]) error {
	started := make(chan error, 1)
	go func() { started <- client.Start(context.WithoutCancel(ctx)) }()
	select {
	case err := <-started:
		return err
	case <-ctx.Done():
		go func() { // whatever it still starts must not stay
			if <-started == nil {
				_ = client.StopAndCancel(context.WithoutCancel(ctx))
			}
		}()
		return context.Cause(ctx)
	}
}

// reconnect is called when beats go through a new session. The pools' sessions may still be with the old primary, or with no
// server: idle ones are opened again, and those that the server does not have are closed, also in use. In the middle of a
// statement the server notices only after a while that its client is gone.
func (a *App) reconnect(ctx context.Context, pools *lifePools) {
	a.Pool.Reset()
	control := pools.reset()
	if control == nil {
		return
	}
	for _, pause := range []time.Duration{0, 4 * time.Second, 12 * time.Second} {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		for _, sessions := range []*sessions{a.sessions, pools.sessions} {
			a.closeLost(ctx, sessions, control)
		}
	}
}

func (a *App) closeLost(ctx context.Context, sessions *sessions, control *pgxpool.Pool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch lost, err := sessions.closeLost(ctx, control); {
	case err != nil:
		a.logger.WarnContext(ctx, "close connections that the server has lost", "error", err)
	case lost > 0:
		a.logger.WarnContext(ctx, "connections that the server does not have any more were closed; what waited on them is tried again", "connections", lost)
	}
}

// lifePools are the connections of one process id.
type lifePools struct {
	sessions      *sessions
	mu            sync.Mutex // the first beats may find that they are not there yet
	work, control *pgxpool.Pool
}

func (p *lifePools) open(ctx context.Context, work, control *pgxpool.Config) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	always := func() bool { return true }
	p.sessions.watch(work, always)
	p.sessions.watch(control, always)
	if p.work, err = pgxpool.NewWithConfig(ctx, work); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if p.control, err = pgxpool.NewWithConfig(ctx, control); err != nil {
		p.work.Close()
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// reset returns the pool for control, or nil if there is none yet.
func (p *lifePools) reset() *pgxpool.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.work == nil || p.control == nil {
		return nil
	}
	p.work.Reset()
	p.control.Reset()
	return p.control
}

// close does not wait: a connection stuck in a job that ignores its context must not hold the process.
func (p *lifePools) close() {
	go p.work.Close()
	go p.control.Close()
}

// processID is the present or the last id of this process, or "".
func (a *App) processID() string {
	if id := a.process.Load(); id != nil {
		return *id
	}
	return ""
}

// leave ends a registration; what the client could not finish goes back to its queue. One that is lost is ended by the next,
// which does not wait for a database that may be away.
func (a *App) leave(ctx context.Context, process *rescue.Process, lost bool) {
	defer a.logger.InfoContext(ctx, "worker stopped", "process", process.ID())
	if lost {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := process.Close(ctx); err != nil {
		a.logger.WarnContext(ctx, "end the process's registration", "process", process.ID(), "error", err)
	}
}

// stop drains the client, or, if the process is lost and may not write any more, drops its jobs at once.
func (a *App) stop(
	ctx context.Context, client *river.Client[pgx.Tx], engine *batch.Engine, process *rescue.Process, control *pgxpool.Pool, lost bool,
) {
	ctx = context.WithoutCancel(ctx)
	engine.Drain()
	if lost {
		ctx, cancel := context.WithTimeout(ctx, dropTimeout)
		defer cancel()
		if err := client.StopAndCancel(ctx); err != nil {
			a.logger.WarnContext(ctx, "the lost client did not stop in time; its jobs can write nothing any more", "error", err)
		}
		return
	}
	saying, said := context.WithTimeout(ctx, 5*time.Second)
	if err := process.Draining(saying, control); err != nil {
		a.logger.WarnContext(ctx, "say that the process drains", "error", err)
	}
	said()
	// SoftStopTimeout cancels what still runs; this bound is for jobs that ignore even that.
	ctx, cancel := context.WithTimeout(ctx, a.Config.DrainTimeout+10*time.Second)
	defer cancel()
	if err := client.Stop(ctx); err != nil {
		a.logger.WarnContext(ctx, "some jobs did not stop in time; they go back to their queues", "error", err)
	}
}

func (a *App) workingClient(
	pool *pgxpool.Pool, process *rescue.Process, queues map[string]int, m *metrics.Metrics, engine *batch.Engine, unknown *unknownJobs,
) (*river.Client[pgx.Tx], error) {
	riverQueues := map[string]river.QueueConfig{}
	for name, workers := range queues {
		riverQueues[name] = river.QueueConfig{MaxWorkers: workers}
	}
	retries := a.retries()
	client, err := river.NewClient(a.driver(pool), &river.Config{
		// None of River's own: retention keeps each job for as long as the configuration says.
		CancelledJobRetentionPeriod: -1,
		CompletedJobRetentionPeriod: -1,
		DiscardedJobRetentionPeriod: -1,
		// River's 100 ms cap 100 workers at 1,000 jobs a second, and an insert inside the cooldown waits for the poll.
		FetchCooldown:     fetchCooldown,
		FetchPollInterval: 100 * time.Millisecond,
		// Another program's kinds may share the queue; they wait for their own workers.
		FetchOnlyKnownKinds: true,
		ID:                  process.ID(),
		Logger:              a.logger,
		MaxAttempts:         a.Config.Retry.MaxAttempts,
		// Metrics first: it sees what the others make of an attempt. What is unknown is settled before any of them sees it.
		Plugins:              []rivertype.Plugin{m, process, engine, retries, riverpg.NewLimit(a.Config.MaxArgs), unknown},
		PollOnly:             !a.Config.Database.Notify,
		Queues:               riverQueues,
		RescueStuckJobsAfter: never,
		RetryPolicy:          retries,
		Schema:               a.schema.River,
		SoftStopTimeout:      max(a.Config.DrainTimeout, time.Millisecond),
		Test:                 a.byDatabaseClock(),
		Workers:              a.Workers,
	})
	if err != nil {
		return nil, fmt.Errorf("river: %w", err)
	}
	return client, nil
}

func jobNames(cfg *config.Config) []string { return slices.Sorted(maps.Keys(cfg.Jobs)) }
