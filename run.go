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

// fetchCooldown is how far apart two fetches of a queue are at least, and two wake-ups by one client.
const fetchCooldown = time.Millisecond

// Run is a worker process: it works jobs until ctx ends, then takes no more, lets the running ones go on for the
// configured drain_timeout and returns. If other processes took this one for dead meanwhile, it goes on under a new
// identity.
func (a *App) Run(ctx context.Context, opts *RunOpts) error {
	queues, err := a.queues(opts)
	if err != nil {
		return err
	}
	if err := migrations.Check(ctx, a.Pool, a.schema); err != nil {
		return fmt.Errorf("%w; run: tidemill migrate up", err)
	}
	watch, err := a.observe(ctx, queues)
	if err != nil {
		return err
	}
	defer watch.close()
	if err := a.addWorkers(ctx, watch.metrics); err != nil {
		return err
	}
	if _, done, err := a.apply(ctx, false); err != nil {
		return err
	} else if !done {
		a.logger.InfoContext(ctx, "workers with another configuration are alive; it stays applied until: tidemill migrate up")
	}
	for started := false; ; started = true {
		err := a.runAs(ctx, queues, watch)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, rescue.ErrFenced), errors.Is(err, rescue.ErrSilent):
			watch.restarted(err)
			a.logger.WarnContext(ctx, "starting again under a new process id", "reason", err)
		case started && batch.Classify(err) == batch.Transient:
			// A process that was fenced because it had lost the database must not give up because it still has.
			a.logger.WarnContext(ctx, "the database is away; trying again", "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		default:
			return err
		}
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

// runAs works under one process id until ctx ends or the id is fenced.
func (a *App) runAs(ctx context.Context, queues map[string]int, watch *watch) error {
	poolConfig, err := a.poolConfig()
	if err != nil {
		return err
	}
	process, err := rescue.Register(ctx, rescue.Opts{
		Conn: poolConfig.ConnConfig.Copy(), Schema: a.schema, Logger: a.logger, Version: Version(), Config: a.Config.Hash(), Queues: queues,
		Replaces: a.processID(), OnMoved: watch.moved, OnFenced: watch.fenced,
	})
	if err != nil {
		return err
	}
	defer a.leave(ctx, process)
	id := process.ID()
	a.process.Store(&id) // kept when it ends, for the next life to replace
	a.Pool.Reset()       // its sessions take the new name as they are made anew
	process.Tag(poolConfig.ConnConfig)
	poolConfig.MaxConns = max(poolConfig.MaxConns, 16)

	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	// A connection stuck in a job that ignores its context must not hold the process.
	defer func() { go pool.Close() }()
	watch.metrics.SetPool("work", pool)

	engine := batch.New(batch.Opts{Pool: pool, Schema: a.schema, Logger: a.logger})
	client, err := a.workingClient(pool, process, queues, watch.metrics, engine)
	if err != nil {
		return err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start working: %w", err)
	}
	watch.started()
	a.logger.InfoContext(ctx, "worker started", "process", id, "queues", queues)

	sweeping, stopSweep := context.WithCancel(ctx)
	var sweep sync.WaitGroup
	sweep.Go(func() { a.sweeper(poolConfig.ConnConfig, watch.swept).Run(sweeping) })
	sweep.Go(func() { a.expire(sweeping) })
	sweep.Go(func() { a.scheduler(poolConfig.ConnConfig, watch).Run(sweeping) })
	defer sweep.Wait()
	defer stopSweep()

	beating, stopBeat := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBeat()
	ended := make(chan error, 1)
	go func() { ended <- process.Run(beating) }()
	fenced := false
	select {
	case <-ctx.Done():
		err = nil
	case err = <-ended:
		fenced = true
	}
	if !fenced {
		watch.drain()
	}
	a.stop(ctx, client, engine, process, fenced)
	stopBeat()
	if !fenced {
		// The beat goes on while the jobs drain, and ends before the registration does.
		<-ended
	}
	return err
}

// processID is the present or the last id of this process, or "".
func (a *App) processID() string {
	if id := a.process.Load(); id != nil {
		return *id
	}
	return ""
}

// leave ends a registration; what the client could not finish goes back to its queue.
func (a *App) leave(ctx context.Context, process *rescue.Process) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := process.Close(ctx); err != nil {
		a.logger.WarnContext(ctx, "end the process's registration", "process", process.ID(), "error", err)
	}
	a.logger.InfoContext(ctx, "worker stopped", "process", process.ID())
}

// stop drains the client, or, if the process is fenced and may not write any more, drops its jobs at once.
func (a *App) stop(ctx context.Context, client *river.Client[pgx.Tx], engine *batch.Engine, process *rescue.Process, fenced bool) {
	ctx = context.WithoutCancel(ctx)
	engine.Drain()
	if fenced {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := client.StopAndCancel(ctx); err != nil {
			a.logger.WarnContext(ctx, "the fenced client did not stop in time; its jobs can write nothing any more", "error", err)
		}
		return
	}
	if err := process.Draining(ctx, a.Pool); err != nil {
		a.logger.WarnContext(ctx, "say that the process drains", "error", err)
	}
	// SoftStopTimeout cancels what still runs; this bound is for jobs that ignore even that.
	ctx, cancel := context.WithTimeout(ctx, a.Config.DrainTimeout+10*time.Second)
	defer cancel()
	if err := client.Stop(ctx); err != nil {
		a.logger.WarnContext(ctx, "some jobs did not stop in time; they go back to their queues", "error", err)
	}
}

func (a *App) workingClient(pool *pgxpool.Pool, process *rescue.Process, queues map[string]int, m *metrics.Metrics, engine *batch.Engine) (*river.Client[pgx.Tx], error) {
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
		FetchOnlyKnownKinds:  true,
		ID:                   process.ID(),
		Logger:               a.logger,
		MaxAttempts:          a.Config.Retry.MaxAttempts,
		Plugins:              []rivertype.Plugin{m, process, engine, retries, riverpg.NewLimit(a.Config.MaxArgs)}, // metrics first: it sees what the others make of an attempt
		PollOnly:             !a.Config.Database.Notify,
		Queues:               riverQueues,
		RescueStuckJobsAfter: never,
		RetryPolicy:          retries,
		Schema:               a.schema.River,
		SoftStopTimeout:      max(a.Config.DrainTimeout, time.Millisecond),
		Workers:              a.Workers,
	})
	if err != nil {
		return nil, fmt.Errorf("river: %w", err)
	}
	return client, nil
}

func jobNames(cfg *config.Config) []string { return slices.Sorted(maps.Keys(cfg.Jobs)) }
