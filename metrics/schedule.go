package metrics

import "time"

var tickOutcomes = [...]string{"enqueued", "caught_up", "waiting", "overlap", "paused", "missed"}

// ObserveTick counts a tick of a schedule that this process dealt with. outcome is one of package periodic's; late is from
// when the tick was due until now, by which a tick is judged whose run was started.
func (m *Metrics) ObserveTick(schedule, outcome string, late time.Duration) {
	schedule = m.beginSchedule(schedule)
	m.ticks.WithLabelValues(schedule, oneOf(outcome, tickOutcomes[:])).Inc()
	if outcome == "enqueued" || outcome == "caught_up" {
		// The clocks of the database and of this process may differ a little.
		m.lateness.Observe(max(0, late.Seconds()))
	}
}

// ObserveScheduleFailure counts a schedule that could not be fired.
func (m *Metrics) ObserveScheduleFailure(schedule string) {
	m.tickFailures.WithLabelValues(m.beginSchedule(schedule)).Inc()
}

// beginSchedule returns the label of a schedule, all of whose series exist then.
func (m *Metrics) beginSchedule(schedule string) string {
	schedule = m.schedules.admit(schedule)
	for _, outcome := range tickOutcomes {
		m.ticks.WithLabelValues(schedule, outcome)
	}
	m.tickFailures.WithLabelValues(schedule)
	return schedule
}
