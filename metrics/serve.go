package metrics

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves /metrics, /livez and /readyz. /livez asks nothing but the process itself, never the database: an outage
// of the database must not make a process manager restart every worker. A nil health is always ready.
func Handler(g prometheus.Gatherer, health *Health) http.Handler {
	if health == nil {
		health = &Health{}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{CoalesceGather: true}))
	mux.HandleFunc("GET /livez", serveLive)
	mux.HandleFunc("GET /readyz", health.serveReady)
	return mux
}

const shutdownTimeout = 5 * time.Second

// Serve serves h on ln until ctx ends; requests then have 5 s to finish. It closes ln. It returns nil when ctx ended it.
//
// A process that drains should answer its probes until it is done: end ctx last.
func Serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(ln)
	if stop() {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	<-stopped
	return nil
}
