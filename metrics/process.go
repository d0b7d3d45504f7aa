package metrics

import "time"

// Why a process began again under a new id.
const (
	RestartFenced = "fenced" // others took it for dead
	RestartSilent = "silent" // it could not reach the database
)

var (
	restartReasons = [...]string{RestartFenced, RestartSilent}
	rescueResults  = [...]string{"available", "cancelled", "discarded"}
	deletedWhat    = [...]string{"jobs", "runs", "rejects", "messages"}
)

// ObserveRescued counts jobs of a queue and kind that rescue moved; result is their new state.
func (m *Metrics) ObserveRescued(queue, kind, result string, jobs int) {
	m.rescued.WithLabelValues(m.queues.admit(queue), m.kinds.admit(kind), oneOf(result, rescueResults[:])).Add(float64(jobs))
}

// ObserveFenced counts another process that this one declared dead.
func (m *Metrics) ObserveFenced() { m.fenced.Inc() }

// ObserveRestart counts that this process begins again under a new id; reason is RestartFenced or RestartSilent.
func (m *Metrics) ObserveRestart(reason string) {
	m.restarts.WithLabelValues(oneOf(reason, restartReasons[:])).Inc()
}

// SetClockSkew says how far this machine's clock is ahead of the database's; negative: behind.
func (m *Metrics) SetClockSkew(skew time.Duration) { m.clockSkew.Set(skew.Seconds()) }

// SetDraining records that the process takes no more jobs.
func (m *Metrics) SetDraining(draining bool) { m.draining.Set(number(draining)) }

// ObserveDeleted counts rows that were deleted because they were old; what is jobs, runs, rejects or messages.
func (m *Metrics) ObserveDeleted(what string, rows int64) {
	if rows > 0 {
		m.deleted.WithLabelValues(oneOf(what, deletedWhat[:])).Add(float64(rows))
	}
}

// oneOf keeps label values to those that are documented.
func oneOf(value string, known []string) string {
	for _, k := range known {
		if value == k {
			return value
		}
	}
	return other
}
