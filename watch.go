package tidemill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/retention"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/metrics"
	"github.com/tidemill/tidemill/periodic"
	"github.com/tidemill/tidemill/rescue"
)

// watch is what a worker shows of itself: metrics and probes.
type watch struct {
	health  *metrics.Health
	metrics *metrics.Metrics
	skew    skewWatch

	// session is the one that the loops of all lives share.
	session *session.Keeper

	probes    *pgxpool.Pool
	report    func() // on the whole cluster, until close
	startOnce sync.Once
	startedCh chan struct{}
	cancel    context.CancelFunc
	wait      sync.WaitGroup
}

// observe starts the listener; started starts the report on the whole cluster. Both outlive ctx, so that probes are
// answered while the process drains; close ends them.
func (a *App) observe(ctx context.Context, queues map[string]int) (*watch, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	schedules, err := a.definitions()
	if err != nil {
		return nil, err
	}
	m, err := metrics.New(metrics.Opts{
		Registerer: registry, Schema: a.schema, Logger: a.logger, Version: Version(), Queues: queues,
		Schedules: scheduleNames(schedules),
	})
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	m.SetPool("app", a.Pool)
	poolConfig, err := a.poolConfig()
	if err != nil {
		return nil, err
	}
	session.Pin(poolConfig.ConnConfig)
	probes, err := a.probePool(ctx)
	if err != nil {
		return nil, err
	}
	w := &watch{
		health: &metrics.Health{Logger: a.logger}, metrics: m, skew: skewWatch{logger: a.logger, metrics: m},
		session: session.NewKeeper(poolConfig.ConnConfig, a.sessionSettings), probes: probes, startedCh: make(chan struct{}),
	}
	w.health.Add("migrations", metrics.CheckMigrations(probes, a.schema))
	w.health.Add("client", metrics.CheckStarted(w.startedCh))
	w.health.Add("database", metrics.CheckDatabase(probes))

	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	listener, err := a.listen(ctx)
	if err != nil {
		probes.Close()
		return nil, err
	}
	if listener != nil {
		w.wait.Go(func() {
			if err := metrics.Serve(ctx, listener, metrics.Handler(registry, w.health)); err != nil {
				a.logger.ErrorContext(ctx, "metrics listener", "error", err)
			}
		})
		a.logger.InfoContext(ctx, "metrics and probes", "address", listener.Addr().String())
	}
	w.report = func() { m.ReportOn(ctx, w.session) }
	return w, nil
}

// listen opens metrics.listen; nil if that is none. An address that nobody has asked for is no reason not to work: where it is
// taken, by another worker on this machine, any free port will do.
func (a *App) listen(ctx context.Context) (net.Listener, error) {
	address := a.Config.Metrics.Listen
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	taken := errors.Is(err, syscall.EADDRINUSE)
	if taken && !a.Config.Given("metrics", "listen") && address == config.Default().Metrics.Listen {
		a.logger.WarnContext(ctx, "the default of metrics.listen is in use, perhaps by another worker on this machine; metrics and probes are at a free port; "+
			"to choose it, give each worker its own address", "in_use", address)
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	switch {
	case err == nil:
		return listener, nil
	case taken:
		return nil, fmt.Errorf(`metrics.listen: %s is in use, perhaps by another worker on this machine; give each its own address, or "" for none`, address)
	}
	return nil, fmt.Errorf("metrics.listen: %w", err)
}

// started says that the client works; after a fenced process started again it is said already. The report begins now that
// the process has an id by which its session can be found and ended.
func (w *watch) started() {
	w.startOnce.Do(func() {
		close(w.startedCh)
		w.wait.Go(w.report)
	})
}

// drain says that the process takes no new jobs.
func (w *watch) drain() {
	w.health.Drain()
	w.metrics.SetDraining(true)
}

// restarted says that the process begins again under a new id, because of err.
func (w *watch) restarted(err error) {
	reason := metrics.RestartFenced
	if errors.Is(err, rescue.ErrSilent) {
		reason = metrics.RestartSilent
	}
	w.metrics.ObserveRestart(reason)
}

func (w *watch) tick(t periodic.Tick) {
	var late time.Duration
	if t.At != nil {
		late = t.At.Sub(t.DueAt)
	}
	w.metrics.ObserveTick(t.Schedule, t.Outcome, late)
}

func (w *watch) tickFailed(schedule, _ string) { w.metrics.ObserveScheduleFailure(schedule) }

func (w *watch) moved(m rescue.Moved) { w.metrics.ObserveRescued(m.Queue, m.Kind, m.Result, m.Jobs) }

func (w *watch) fenced(string) { w.metrics.ObserveFenced() }

func (w *watch) swept(d retention.Deleted) {
	w.metrics.ObserveDeleted("jobs", d.Jobs)
	w.metrics.ObserveDeleted("runs", d.Runs)
	w.metrics.ObserveDeleted("rejects", d.Rejects)
	w.metrics.ObserveDeleted("messages", d.Messages)
}

func scheduleNames(defs []periodic.Definition) []string {
	names := make([]string, 0, len(defs))
	for _, def := range defs {
		names = append(names, def.Name)
	}
	return names
}

// sessionSettings make sessions those of the present process id, once it has one.
func (a *App) sessionSettings() map[string]string {
	if id := a.processID(); id != "" {
		return rescue.SessionSettings(id)
	}
	return nil
}

func (w *watch) close() {
	w.cancel()
	w.wait.Wait()
	w.session.Close()
	w.probes.Close()
}

// probePool is for the probes: a worker whose jobs have all connections is busy, not ill.
func (a *App) probePool(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := a.poolConfig()
	if err != nil {
		return nil, err
	}
	config.MaxConns = 2
	config.BeforeConnect = a.ownSession
	return pgxpool.NewWithConfig(ctx, config)
}
