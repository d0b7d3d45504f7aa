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

	jobs, capped, oldestAvailable, oldestOverdue, paused, workers *prometheus.Desc
	runs, lastSuccess, processes                                  *prometheus.Desc
	events, oldestEvent                                           *prometheus.Desc
	schedules, overdue, nextTick, lastTick, schedulePaused        *prometheus.Desc
	refreshDuration, refreshTimestamp                             *prometheus.Desc
}

func newCluster(b *builder) *cluster {
	const unix = "seconds since 1970"
	c := &cluster{
		jobs:   b.clusterGauge("jobs", "jobs", "Jobs that are not finished, counted up to 25000 for each queue and state.", "queue", "state"),
		capped: b.clusterGauge("jobs_capped", "0 or 1", "1 if there are more jobs than were counted.", "queue", "state"),
		oldestAvailable: b.clusterGauge("queue_oldest_available_timestamp_seconds", unix,
			"When the job that waits longest for a worker was due; absent if none waits.", "queue"),
		oldestOverdue: b.clusterGauge("queue_oldest_overdue_timestamp_seconds", unix,
			"When the oldest scheduled or retryable job that should be available by now was due; absent if there is none.", "queue"),
		paused: b.clusterGauge("queue_paused", "0 or 1", "1 if the queue is paused.", "queue"),
		workers: b.clusterGauge("queue_workers", "jobs",
			"Jobs of a queue that all processes that are alive and do not drain work at the same time at most; 0 if none works it.", "queue"),
		runs: b.clusterGauge("runs", "runs", "Runs that are not finished, counted up to 10000 in all.", "status"),
		lastSuccess: b.clusterGauge("job_last_success_timestamp_seconds", unix,
			"When the newest successful run of a configured job ended; absent if none of its newest 100 runs is known to have succeeded. At most 500 jobs, by name.", "job"),
		processes: b.clusterGauge("processes", "processes", "Worker processes that are registered, by state: alive, draining, dead.", "state"),
		events:    b.clusterGauge("events", "events", "Ends of runs whose followers are not started yet, counted up to 10000."),
		oldestEvent: b.clusterGauge("events_oldest_timestamp_seconds", unix,
			"When the oldest run ended whose followers are not started yet; absent if there is none."),
		schedules: b.clusterGauge("schedules", "schedules", "Schedules that there are, counted up to 100000."),
		overdue: b.clusterGauge("schedules_overdue", "schedules",
			"Schedules, those that are paused left out, with a tick that was due more than 60 s ago and that nobody has handled."),
		nextTick: b.clusterGauge("schedule_next_tick_timestamp_seconds", unix,
			"The first tick of a schedule that has not been handled; absent if there is none any more. At most 500 schedules, by name.", "schedule"),
		lastTick: b.clusterGauge("schedule_last_tick_timestamp_seconds", unix,
			"The newest tick of a schedule that has been handled; absent before the first.", "schedule"),
		schedulePaused:   b.clusterGauge("schedule_paused", "0 or 1", "1 if the schedule is paused.", "schedule"),
		refreshDuration:  b.clusterGauge("metrics_refresh_duration_seconds", "seconds", "How long it took to read the state of the cluster."),
		refreshTimestamp: b.clusterGauge("metrics_refresh_timestamp_seconds", unix, "When the state of the cluster was read."),
	}
	b.collectors = append(b.collectors, c)
	return c
}

// Describe implements prometheus.Collector.
func (c *cluster) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.jobs, c.capped, c.oldestAvailable, c.oldestOverdue, c.paused, c.workers,
		c.runs, c.lastSuccess, c.processes, c.events, c.oldestEvent, c.schedules, c.overdue, c.nextTick, c.lastTick, c.schedulePaused,
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
		if s.tables.process {
			add(c.workers, float64(s.workers[q.name]), q.name)
		}
	}
	for _, n := range s.runs {
		add(c.runs, float64(n.count), n.label)
	}
	for _, n := range s.processes {
		add(c.processes, float64(n.count), n.label)
	}
	for job, at := range s.successes {
		if !at.IsZero() {
			add(c.lastSuccess, seconds(at), job)
		}
	}
	if s.tables.event {
		add(c.events, float64(s.events))
	}
	if s.oldestEvent != nil {
		add(c.oldestEvent, seconds(*s.oldestEvent))
	}
	if s.tables.schedule {
		add(c.schedules, float64(s.schedules.all))
		add(c.overdue, float64(s.schedules.overdue))
	}
	for _, x := range s.schedules.first {
		if x.next != nil {
			add(c.nextTick, seconds(*x.next), x.name)
		}
		if x.last != nil {
			add(c.lastTick, seconds(*x.last), x.name)
		}
		add(c.schedulePaused, number(x.paused), x.name)
	}
	add(c.refreshDuration, s.took.Seconds())
	add(c.refreshTimestamp, seconds(s.asOf))
	return out
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
