package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// snapshot is the state of the cluster as read once, ready to be scraped.
type snapshot struct {
	until   time.Time // not to be shown any more from then on
	metrics []prometheus.Metric
}

// cluster is the collector of the cluster's state. It shows the last snapshot, and nothing when there is none or it is old.
type cluster struct {
	latest atomic.Pointer[snapshot]

	jobs, capped, oldestAvailable, oldestOverdue, paused *prometheus.Desc
	runs, processes                                      *prometheus.Desc
	refreshDuration, refreshTimestamp                    *prometheus.Desc
}

func newCluster() *cluster {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &cluster{
		jobs:   desc("jobs", "Jobs that are not finished, counted up to 100000 for each queue and state.", "queue", "state"),
		capped: desc("jobs_capped", "1 if there are more jobs than were counted.", "queue", "state"),
		oldestAvailable: desc("queue_oldest_available_timestamp_seconds",
			"When the job that waits longest for a worker was due; absent if none waits.", "queue"),
		oldestOverdue: desc("queue_oldest_overdue_timestamp_seconds",
			"When the oldest scheduled or retryable job that should be available by now was due; absent if there is none.", "queue"),
		paused:           desc("queue_paused", "1 if the queue is paused.", "queue"),
		runs:             desc("runs", "Runs that are not finished, counted up to 10000 in all.", "status"),
		processes:        desc("processes", "Worker processes that are registered.", "state"),
		refreshDuration:  desc("metrics_refresh_duration_seconds", "How long it took to read the state of the cluster."),
		refreshTimestamp: desc("metrics_refresh_timestamp_seconds", "When the state of the cluster was read."),
	}
}

// Describe implements prometheus.Collector.
func (c *cluster) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.jobs, c.capped, c.oldestAvailable, c.oldestOverdue, c.paused, c.runs, c.processes,
		c.refreshDuration, c.refreshTimestamp} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *cluster) Collect(ch chan<- prometheus.Metric) {
	s := c.latest.Load()
	if s == nil || !time.Now().Before(s.until) {
		return
	}
	for _, m := range s.metrics {
		ch <- m
	}
}

// snapshot makes a snapshot of a state that is shown for at most validFor.
func (c *cluster) snapshot(s *state, validFor time.Duration) *snapshot {
	out := &snapshot{until: s.readAt.Add(validFor)}
	add := func(desc *prometheus.Desc, value float64, labels ...string) {
		out.metrics = append(out.metrics, prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...))
	}
	for _, q := range s.queues {
		for _, n := range q.counts {
			add(c.jobs, float64(min(n.jobs, jobLimit)), q.name, n.state)
			add(c.capped, number(n.jobs > jobLimit), q.name, n.state)
		}
		if !q.oldestAvailable.IsZero() {
			add(c.oldestAvailable, seconds(q.oldestAvailable), q.name)
		}
		if !q.oldestOverdue.IsZero() {
			add(c.oldestOverdue, seconds(q.oldestOverdue), q.name)
		}
		add(c.paused, number(q.paused), q.name)
	}
	for _, n := range s.runs {
		add(c.runs, float64(n.count), n.label)
	}
	for _, n := range s.processes {
		add(c.processes, float64(n.count), n.label)
	}
	add(c.refreshDuration, s.took.Seconds())
	add(c.refreshTimestamp, seconds(s.readAt))
	return out
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
