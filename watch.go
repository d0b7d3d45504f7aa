package tidemill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tidemill/tidemill/metrics"
)

// watch is what a worker shows of itself: metrics and probes.
type watch struct {
	health  *metrics.Health
	metrics *metrics.Metrics

	startOnce sync.Once
	startedCh chan struct{}
	cancel    context.CancelFunc
	wait      sync.WaitGroup
}

// observe starts the listener and the report on the whole cluster. Both outlive ctx, so that probes are answered while
// the process drains; close ends them.
func (a *App) observe(ctx context.Context, queues map[string]int) (*watch, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m, err := metrics.New(metrics.Opts{Registerer: registry, Schema: a.schema, Logger: a.logger, Version: Version(), Queues: queues})
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	poolConfig, err := a.poolConfig()
	if err != nil {
		return nil, err
	}
	w := &watch{health: &metrics.Health{}, metrics: m, startedCh: make(chan struct{})}
	w.health.Add("migrations", metrics.CheckMigrations(a.Pool, a.schema))
	w.health.Add("client", metrics.CheckStarted(w.startedCh))
	w.health.Add("database", metrics.CheckDatabase(a.Pool))

	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if listen := a.Config.Metrics.Listen; listen != "" {
		listener, err := net.Listen("tcp", listen)
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf(`metrics.listen: %s is in use, perhaps by another worker on this machine; give each its own address, or "" for none`, listen)
		}
		if err != nil {
			return nil, fmt.Errorf("metrics.listen: %w", err)
		}
		w.wait.Go(func() {
			if err := metrics.Serve(ctx, listener, metrics.Handler(registry, w.health)); err != nil {
				a.logger.ErrorContext(ctx, "metrics listener", "error", err)
			}
		})
		a.logger.InfoContext(ctx, "metrics and probes", "address", listener.Addr().String())
	}
	w.wait.Go(func() {
		if err := m.Report(ctx, poolConfig.ConnConfig); err != nil {
			a.logger.ErrorContext(ctx, "metrics report", "error", err)
		}
	})
	return w, nil
}

// started says that the client works; after a fenced process started again it is said already.
func (w *watch) started() { w.startOnce.Do(func() { close(w.startedCh) }) }

func (w *watch) close() {
	w.cancel()
	w.wait.Wait()
}
