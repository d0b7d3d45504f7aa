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
	// Schema says where the tables are; default tidemill. Without Tidemill's own tables there, runs and processes are
	// left out.
	Schema migrations.Schema
	// Logger; default slog.Default().
	Logger *slog.Logger

	// Version is shown by build_info; default that of the main module.
	Version string
	// Queues are the queues that this process works, with their number of workers. Their series begin at 0.
	Queues map[string]int
	// Kinds, if given, are all kinds that are counted by name; others are counted as "other".
	Kinds []string
	// JobLabel returns the name of the configured job that a River job belongs to, "" for none; default JobName.
	JobLabel func(*rivertype.JobRow) string
	// Interval is how often the state of the cluster is read; default 15 s. A jitter of 10 % is added.
	Interval time.Duration
}

// Metrics counts what a River client does. Put it first among river.Config.Plugins, so that it sees what the other
// plugins made of an attempt.
type Metrics struct {
	river.PluginDefaults

	opts    Opts
	cluster *cluster

	queues, kinds, jobs *names

	inserted    *prometheus.CounterVec
	outcomes    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	queueWait   *prometheus.HistogramVec
	fetch       *prometheus.HistogramVec
	slots       *prometheus.GaugeVec
	busy        *prometheus.GaugeVec
	rows        *prometheus.CounterVec
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

const namespace = "tidemill"

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

	queues := slices.Sorted(maps.Keys(opts.Queues))
	m := &Metrics{
		opts:    opts,
		cluster: newCluster(),
		queues:  newNames(maxQueues, false, queues...),
		kinds:   newNames(maxNames, len(opts.Kinds) > 0, opts.Kinds...),
		jobs:    newNames(maxNames, false),

		inserted: counter("jobs_inserted_total",
			"Jobs inserted through this process's clients; those of a transaction that was rolled back later are included.", "queue", "kind"),
		outcomes: counter("job_attempts_total",
			"Attempts of jobs that ended, by how: ok, error, panic, discarded, cancelled, snoozed, interrupted.", "queue", "kind", "job", "outcome"),
		duration: histogram("job_duration_seconds", "How long an attempt took.", durationBuckets, "queue", "kind", "job"),
		queueWait: histogram("job_queue_wait_seconds",
			"From when a job was due to when its attempt began, by the database's clock.", waitBuckets, "queue"),
		fetch: histogram("job_fetch_duration_seconds", "How long it took to lock the next jobs of a queue.", fetchBuckets, "queue"),
		slots: gauge("worker_slots", "Jobs of a queue that this process works at the same time at most.", "queue"),
		busy:  gauge("worker_slots_busy", "Jobs of a queue that this process works now.", "queue"),
		rows:  counter("import_rows_total", "Rows in committed chunks, by what became of them; read is their sum.", "job", "result"),
		refreshErrs: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "metrics_refresh_errors_total",
			Help: "Attempts of this process to read the state of the cluster that failed."}),
	}
	if err := m.register(); err != nil {
		return nil, err
	}
	for _, queue := range queues {
		m.slots.WithLabelValues(queue).Set(float64(opts.Queues[queue]))
		m.busy.WithLabelValues(queue)
		m.queueWait.WithLabelValues(queue)
		m.fetch.WithLabelValues(queue)
	}
	return m, nil
}

// register registers all or nothing.
func (m *Metrics) register() error {
	build := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help:        "Always 1; the labels say what this process was built from.",
		ConstLabels: prometheus.Labels{"version": m.opts.Version, "go_version": runtime.Version()}})
	build.Set(1)
	all := []prometheus.Collector{m.inserted, m.outcomes, m.duration, m.queueWait, m.fetch, m.slots, m.busy, m.rows,
		m.refreshErrs, build, m.cluster}
	for i, c := range all {
		if err := m.opts.Registerer.Register(c); err != nil {
			for _, done := range all[:i] {
				m.opts.Registerer.Unregister(done)
			}
			return fmt.Errorf("metrics: register: %w", err)
		}
	}
	return nil
}

// JobName returns the name of the configured job that stands in a River job's metadata, {"tidemill": {"job": "…"}}, or "".
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

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

// Jobs take from a millisecond to hours; native buckets give the detail where a server stores them.
var (
	durationBuckets = []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 7200, 21600}
	waitBuckets     = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600}
	fetchBuckets    = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
)

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, labels)
}
