package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
)

// InsertMany counts inserted jobs; River calls it. A job that was left out because a unique one was there already does
// not count.
func (m *Metrics) InsertMany(ctx context.Context, params []*rivertype.JobInsertParams,
	doInner func(context.Context) ([]*rivertype.JobInsertResult, error),
) ([]*rivertype.JobInsertResult, error) {
	results, err := doInner(ctx)
	if err != nil {
		return results, err
	}
	for i, p := range params {
		// The fast insert knows no results; it inserts all or fails.
		if i < len(results) && results[i] != nil && results[i].UniqueSkippedAsDuplicate {
			continue
		}
		m.inserted.WithLabelValues(m.queues.admit(p.Queue), m.kinds.admit(p.Kind)).Inc()
	}
	return results, nil
}

// MetricEmit takes what River measures itself; River calls it.
func (m *Metrics) MetricEmit(_ context.Context, params *rivertype.HookMetricEmitParams) {
	if d, ok := params.Metric.(*rivertype.JobGetAvailableDurationMetric); ok {
		m.fetch.WithLabelValues(m.queues.admit(d.Queue)).Observe(d.Duration.Seconds())
	}
}

// rowSeries are the series of one job, in the order of counts.
type rowSeries [len(results)]prometheus.Counter

var results = [...]string{"read", "inserted", "updated", "unchanged", "duplicate", "rejected", "filtered", "processed", "deleted"}

func counts(c batch.Counters) [len(results)]int64 {
	return [...]int64{c.Read, c.Inserted, c.Updated, c.Unchanged, c.Duplicate, c.Rejected, c.Filtered, c.Processed, c.Deleted}
}

// ObserveChunk counts the rows of one chunk of a job, whose kind is as River has it. Call it once the chunk is committed, with what the chunk alone did.
func (m *Metrics) ObserveChunk(kind, job string, delta batch.Counters) {
	key := [2]string{m.kinds.admit(kind), m.jobs.admit(job)}
	s, ok := m.chunks.Load(key)
	if !ok {
		series := &rowSeries{}
		for i, result := range results {
			series[i] = m.rows.WithLabelValues(key[0], key[1], result)
		}
		s, _ = m.chunks.LoadOrStore(key, series)
	}
	for i, n := range counts(delta) {
		if n > 0 {
			s.(*rowSeries)[i].Add(float64(n))
		}
	}
}
