package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "tidemill"

// Family describes the series of one name.
type Family struct {
	Name   string // with its prefix
	Type   string // counter, gauge or histogram
	Unit   string // of its values
	Labels []string
	Help   string
	// Cluster: it tells about all processes and comes from the one that reports. Otherwise each process has its own.
	Cluster bool
}

// Families describes all series that there can be, those of the processes first.
func Families() []Family {
	b := &builder{}
	build(b, Opts{})
	return b.families
}

// builder makes collectors and notes what they are, so that documents, dashboards and tests need no second list.
type builder struct {
	families   []Family
	collectors []prometheus.Collector
}

func (b *builder) counter(name, unit, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	b.note(name, "counter", unit, help, labels)
	b.collectors = append(b.collectors, c)
	return c
}

func (b *builder) gauge(name, unit, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	b.note(name, "gauge", unit, help, labels)
	b.collectors = append(b.collectors, g)
	return g
}

// Jobs take from a millisecond to hours, ticks that are caught up come days late; native buckets give the detail where a
// server stores them.
var (
	durationBuckets = []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 7200, 21600}
	waitBuckets     = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600}
	fetchBuckets    = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
	latenessBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 21600, 86400}
)

func (b *builder) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, labels)
	b.note(name, "histogram", "seconds", help, labels)
	b.collectors = append(b.collectors, h)
	return h
}

// desc describes series that a collector of our own makes when it is asked.
func (b *builder) desc(name, kind, unit, help string, labels ...string) *prometheus.Desc {
	b.note(name, kind, unit, help, labels)
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// clusterGauge describes series that are read from the database.
func (b *builder) clusterGauge(name, unit, help string, labels ...string) *prometheus.Desc {
	d := b.desc(name, "gauge", unit, help, labels...)
	b.families[len(b.families)-1].Cluster = true
	return d
}

func (b *builder) note(name, kind, unit, help string, labels []string) {
	b.families = append(b.families, Family{Name: namespace + "_" + name, Type: kind, Unit: unit, Labels: labels, Help: strings.TrimSpace(help)})
}
