package metrics

import (
	"maps"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// pools is the collector of the connection pools. It asks them when it is scraped; they answer from memory.
type pools struct {
	connections, most, acquires, waited, waitSeconds *prometheus.Desc

	mu sync.Mutex
	of map[string]*pgxpool.Pool
}

func newPools(b *builder) *pools {
	p := &pools{
		of: map[string]*pgxpool.Pool{},
		connections: b.desc("pool_connections", "gauge", "connections",
			"Connections of a pool of this process, by state: acquired, idle, constructing.", "pool", "state"),
		most:     b.desc("pool_connections_max", "gauge", "connections", "Connections that a pool of this process may have.", "pool"),
		acquires: b.desc("pool_acquires_total", "counter", "acquires", "How often a connection of a pool was taken.", "pool"),
		waited: b.desc("pool_acquires_waited_total", "counter", "acquires",
			"How often a connection of a pool was taken after a wait, because none was idle.", "pool"),
		waitSeconds: b.desc("pool_acquire_wait_seconds_total", "counter", "seconds",
			"How long was waited for connections of a pool, because none was idle.", "pool"),
	}
	b.collectors = append(b.collectors, p)
	return p
}

// SetPool shows a connection pool under a name, in place of the one that had it. A nil pool is shown no more.
func (m *Metrics) SetPool(name string, pool *pgxpool.Pool) {
	m.pools.mu.Lock()
	defer m.pools.mu.Unlock()
	if pool == nil {
		delete(m.pools.of, name)
		return
	}
	m.pools.of[name] = pool
}

// Describe implements prometheus.Collector.
func (p *pools) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.connections, p.most, p.acquires, p.waited, p.waitSeconds} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (p *pools) Collect(ch chan<- prometheus.Metric) {
	p.mu.Lock()
	of := maps.Clone(p.of)
	p.mu.Unlock()
	for name, pool := range of {
		stat := pool.Stat()
		show := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, kind, value, append([]string{name}, labels...)...)
		}
		show(p.connections, prometheus.GaugeValue, float64(stat.AcquiredConns()), "acquired")
		show(p.connections, prometheus.GaugeValue, float64(stat.IdleConns()), "idle")
		show(p.connections, prometheus.GaugeValue, float64(stat.ConstructingConns()), "constructing")
		show(p.most, prometheus.GaugeValue, float64(stat.MaxConns()))
		show(p.acquires, prometheus.CounterValue, float64(stat.AcquireCount()))
		show(p.waited, prometheus.CounterValue, float64(stat.EmptyAcquireCount()))
		show(p.waitSeconds, prometheus.CounterValue, stat.EmptyAcquireWaitTime().Seconds())
	}
}
