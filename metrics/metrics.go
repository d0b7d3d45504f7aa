package metrics

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/tidwall/gjson"

	"github.com/tidemill/tidemill/migrations"
)

// Opts configures Metrics. Only Registerer is required.
type Opts struct {
	// Registerer receives all series. The Go runtime's and the process's own are for the caller to add.
	Registerer prometheus.Registerer
	// Schema says where the tables are; default tidemill. Without Tidemill's own tables there, what they would tell is
	// left out.
	Schema migrations.Schema
	// Logger; default slog.Default().
	Logger *slog.Logger

	// Version is shown by build_info; default that of the main module.
	Version string
	// Queues are the queues that this process works, with their number of workers. Their series begin at 0.
	Queues map[string]int
	// Schedules are the schedules that are known beforehand. Their series begin at 0, so that a first failure is an increase.
	Schedules []string
	// Kinds, if given, are all kinds that are counted by name; others are counted as "other".
	Kinds []string
	// JobLabel returns the name of the configured job that a River job belongs to, "" for none; default JobName.
	JobLabel func(*rivertype.JobRow) string
	// Interval is how often the state of the cluster is read; default 15 s. A jitter of 10 % is added.
	Interval time.Duration
	// SessionName, if set, returns the application_name that Report's session shall have, "" for that of its configuration.
	// With the name of a rescue.Process the session ends with that process: one that is frozen keeps nobody from reporting.
	SessionName func() string
}

// Metrics counts what a River client does. Put it first among river.Config.Plugins, so that it sees what the other
// plugins made of an attempt.
type Metrics struct {
	river.PluginDefaults

	opts    Opts
	cluster *cluster
	pools   *pools

	queues, kinds, jobs, schedules *names

	inserted  *prometheus.CounterVec
	outcomes  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	queueWait *prometheus.HistogramVec
	fetch     *prometheus.HistogramVec
	slots     *prometheus.GaugeVec
	busy      *prometheus.GaugeVec
	rows      *prometheus.CounterVec

	ticks        *prometheus.CounterVec
	tickFailures *prometheus.CounterVec
	lateness     prometheus.Observer

	rescued  *prometheus.CounterVec
	fenced   prometheus.Counter
	restarts *prometheus.CounterVec
	draining prometheus.Gauge
	deleted  *prometheus.CounterVec

	clockSkew prometheus.Gauge

	build       *prometheus.GaugeVec
	reporter    prometheus.Gauge
	refreshErrs prometheus.Counter

	attempts sync.Map // attemptKey to *attemptSeries; bounded by names
	chunks   sync.Map // admitted job to *rowSeries
}

var (
	_ rivertype.Plugin              = (*Metrics)(nil)
	_ rivertype.WorkerMiddleware    = (*Metrics)(nil)
	_ rivertype.JobInsertMiddleware = (*Metrics)(nil)
	_ rivertype.HookMetricEmit      = (*Metrics)(nil)
)

// New returns Metrics whose series are registered. It fails without a Registerer, and with one that has such series
// already: one Metrics serves all clients of a process.
func New(opts Opts) (*Metrics, error) {
	if opts.Registerer == nil {
		return nil, errors.New("metrics: Opts.Registerer is nil")
	}
	if opts.Interval < 0 {
		return nil, fmt.Errorf("metrics: Opts.Interval is %s; it must be positive, or 0 for the default", opts.Interval)
	}
	opts.Schema = opts.Schema.Defaults()
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.Version = cmp.Or(opts.Version, mainVersion())
	opts.Interval = cmp.Or(opts.Interval, 15*time.Second)
	if opts.JobLabel == nil {
		opts.JobLabel = JobName
	}
	b := &builder{}
	m := build(b, opts)
	if err := register(opts.Registerer, b.collectors); err != nil {
		return nil, err
	}
	m.begin()
	return m, nil
}

// build makes all series there are; b holds their collectors then.
func build(b *builder, opts Opts) *Metrics {
	m := &Metrics{
		opts:      opts,
		queues:    newNames(maxQueues, false, slices.Sorted(maps.Keys(opts.Queues))...),
		kinds:     newNames(maxNames, len(opts.Kinds) > 0, opts.Kinds...),
		jobs:      newNames(maxNames, false),
		schedules: newNames(maxNames, false, firstNames(opts.Schedules)...),

		inserted: b.counter("jobs_inserted_total", "jobs",
			"Jobs inserted through this process's clients; those of a transaction that was rolled back later are included.", "queue", "kind"),
		outcomes: b.counter("job_attempts_total", "attempts",
			"Attempts of jobs that ended, by how: ok, error, panic, discarded, cancelled, snoozed, interrupted.", "queue", "kind", "job", "outcome"),
		duration: b.histogram("job_duration_seconds", "How long an attempt took.", durationBuckets, "queue", "kind", "job"),
		queueWait: b.histogram("job_queue_wait_seconds",
			"From when a job was due to when its attempt began, by the database's clock.", waitBuckets, "queue"),
		fetch: b.histogram("job_fetch_duration_seconds", "How long it took to lock the next jobs of a queue.", fetchBuckets, "queue"),
		slots: b.gauge("worker_slots", "jobs", "Jobs of a queue that this process works at the same time at most.", "queue"),
		busy:  b.gauge("worker_slots_busy", "jobs", "Jobs of a queue that this process works now.", "queue"),
		rows:  b.counter("run_rows_total", "rows", "Rows in committed chunks, by what became of them; read is their sum.", "kind", "job", "result"),

		ticks: b.counter("schedule_ticks_total", "ticks",
			"Ticks that this process handled, by what became of them: enqueued, caught_up, waiting, overlap, paused, missed. One that waited counts again when it is started.",
			"schedule", "outcome"),
		tickFailures: b.counter("schedule_failures_total", "tries",
			"Tries of this process to fire a schedule that failed; its tick stays due.", "schedule"),
		lateness: b.histogram("schedule_lateness_seconds",
			"From when a tick was due to when this process started its run, of ticks that were started.", latenessBuckets).WithLabelValues(),

		rescued: b.counter("jobs_rescued_total", "jobs",
			"Jobs that this process took from a process that had ended or died, by what became of them: available, cancelled, discarded.", "queue", "kind", "result"),
		fenced: b.counter("processes_fenced_total", "processes", "Other processes that this one declared dead.").WithLabelValues(),
		restarts: b.counter("process_restarts_total", "restarts",
			"How often this process began again under a new id, and why: fenced (others took it for dead) or silent (it could not reach the database).", "reason"),
		draining: b.gauge("process_draining", "0 or 1", "1 while this process takes no new jobs and waits for those it works.").WithLabelValues(),
		clockSkew: b.gauge("clock_skew_seconds", "seconds",
			"How far the clock of this process's machine is ahead of the database's; negative: behind. Jobs go by the database's.").WithLabelValues(),
		deleted: b.counter("retention_deleted_total", "rows",
			"Rows that this process deleted because they were kept long enough: jobs, runs, rejects, messages.", "what"),
	}
	m.pools = newPools(b)
	m.build = b.gauge("build_info", "1", "Always 1; the labels say what this process was built from.", "version", "go_version")
	m.reporter = b.gauge("metrics_reporter", "0 or 1", "1 if this process is the one that reports the series of the cluster.").WithLabelValues()
	m.refreshErrs = b.counter("metrics_refresh_errors_total", "tries",
		"Attempts of this process to read the state of the cluster that failed.").WithLabelValues()
	m.cluster = newCluster(b)
	return m
}

// begin makes the series that are known from the start. What counts from 0 is seen when it first happens.
func (m *Metrics) begin() {
	m.build.WithLabelValues(m.opts.Version, runtime.Version()).Set(1)
	for queue, workers := range m.opts.Queues {
		m.slots.WithLabelValues(queue).Set(float64(workers))
		m.busy.WithLabelValues(queue)
		m.queueWait.WithLabelValues(queue)
		m.fetch.WithLabelValues(queue)
	}
	for _, schedule := range firstNames(m.opts.Schedules) {
		m.beginSchedule(schedule)
	}
	for _, reason := range restartReasons {
		m.restarts.WithLabelValues(reason)
	}
	for _, what := range deletedWhat {
		m.deleted.WithLabelValues(what)
	}
}

// register registers all or nothing.
func register(to prometheus.Registerer, all []prometheus.Collector) error {
	for i, c := range all {
		if err := to.Register(c); err != nil {
			for _, done := range all[:i] {
				to.Unregister(done)
			}
			return fmt.Errorf("metrics: register: %w", err)
		}
	}
	return nil
}

// firstNames are the first of names in their order, as many as get series of their own.
func firstNames(all []string) []string {
	sorted := slices.Compact(slices.Sorted(slices.Values(all)))
	return sorted[:min(len(sorted), maxNames)]
}

// JobName returns the name of the configured job that is in a River job's metadata, {"tidemill": {"job": "…"}}, or "".
func JobName(job *rivertype.JobRow) string {
	// Metadata can hold megabytes of logs, hence no decoding of all of it.
	name := gjson.GetBytes(job.Metadata, "tidemill.job")
	if name.Type != gjson.String {
		return ""
	}
	return name.Str
}

func mainVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return cmp.Or(info.Main.Version, "unknown")
}
