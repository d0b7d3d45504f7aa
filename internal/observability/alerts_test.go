package observability

import "time"

// Recordings are what several alerts, or people's own, are made of.
func Recordings() []Recording {
	return []Recording{
		{"job_queue:tidemill_job_attempts:rate5m", `sum by (job, queue) (rate(tidemill_job_attempts_total[5m]))`},
		{"job_queue:tidemill_queue_latency:seconds", sinceRead("job", "queue", "tidemill_queue_oldest_available_timestamp_seconds")},
		{"job_queue:tidemill_worker_slots_busy:ratio", `sum by (job, queue) (tidemill_worker_slots_busy) / sum by (job, queue) (tidemill_worker_slots)`},
		// Attempts that were put off or broken off by the end of a process say nothing about the work.
		{"job_kind_exported_job:tidemill_job_attempts:rate15m", `
sum by (job, kind, exported_job) (rate(tidemill_job_attempts_total{outcome!~"snoozed|interrupted"}[15m]))`},
		{"job_kind_exported_job:tidemill_job_failures:ratio_rate15m", `
sum by (job, kind, exported_job) (rate(tidemill_job_attempts_total{outcome=~"error|panic|discarded"}[15m]))
  / (job_kind_exported_job:tidemill_job_attempts:rate15m > 0)`},
		{"job_exported_job:tidemill_import_rejects:ratio_rate30m", `
sum by (job, exported_job) (rate(tidemill_run_rows_total{result="rejected"}[30m]))
  / (sum by (job, exported_job) (rate(tidemill_run_rows_total{result="read"}[30m])) > 0)`},
	}
}

// Alerts are all alerting rules; each has a section in docs/OPERATIONS.md.
func Alerts() []Alert {
	return append(queueAlerts(), append(jobAlerts(), append(scheduleAlerts(), processAlerts()...)...)...)
}

func queueAlerts() []Alert {
	return []Alert{
		{
			Name: "TidemillQueueLatencyHigh", Severity: critical, Dashboard: overviewUID, Limit: 5 * time.Minute, For: 2 * time.Minute,
			Expr: `
job_queue:tidemill_queue_latency:seconds > $limit
  unless on (job, queue) max by (job, queue) (tidemill_queue_paused) == 1`,
			Summary:     "Jobs wait too long for a worker.",
			Description: "The oldest job of queue {{ $labels.queue }} has waited for {{ $value | humanizeDuration }}; the limit is $limit s.",
		},
		{
			Name: "TidemillQueueWithoutWorkers", Severity: critical, Dashboard: overviewUID, For: 2 * time.Minute,
			Expr: `
max by (job, queue) (tidemill_jobs{state="available"}) > 0
  and on (job, queue) max by (job, queue) (tidemill_queue_workers) == 0`,
			Summary:     "Jobs wait in a queue that no process works.",
			Description: "{{ $value }} jobs wait in queue {{ $labels.queue }}, and no live process takes jobs of it.",
		},
		{
			Name: "TidemillQueuePaused", Severity: info, Dashboard: overviewUID, For: time.Hour,
			Expr: `
max by (job, queue) (tidemill_jobs{state="available"}) > 0
  and on (job, queue) max by (job, queue) (tidemill_queue_paused) == 1`,
			Summary:     "A queue is paused while jobs wait in it.",
			Description: "Queue {{ $labels.queue }} has been paused for more than an hour, and {{ $value }} jobs wait in it.",
		},
		{
			Name: "TidemillSlotsSaturated", Severity: warning, Dashboard: overviewUID, For: 10 * time.Minute,
			Expr: `
avg_over_time(job_queue:tidemill_worker_slots_busy:ratio[5m]) > 0.95
  and on (job, queue) max by (job, queue) (tidemill_jobs{state="available"}) > 0`,
			Summary:     "All workers of a queue are busy, and jobs wait.",
			Description: "{{ $value | humanizePercentage }} of the workers of queue {{ $labels.queue }} are busy, and more jobs wait.",
		},
		{
			Name: "TidemillJobsOverdue", Severity: critical, Dashboard: overviewUID, Limit: time.Minute, For: 2 * time.Minute,
			Expr:        sinceRead("job", "queue", "tidemill_queue_oldest_overdue_timestamp_seconds") + " > $limit",
			Summary:     "Scheduled jobs or retries are due but are not given to workers.",
			Description: "A scheduled job or a retry of queue {{ $labels.queue }} was due {{ $value | humanizeDuration }} ago and is still not available to workers.",
		},
	}
}

func jobAlerts() []Alert {
	return []Alert{
		{
			Name: "TidemillJobFailureRatioHigh", Severity: warning, Dashboard: jobsUID, Window: 15 * time.Minute, For: 5 * time.Minute,
			Expr: `
job_kind_exported_job:tidemill_job_failures:ratio_rate15m > 0.2
  and job_kind_exported_job:tidemill_job_attempts:rate15m * $window >= 20`,
			Summary:     "Many attempts of a kind of job fail.",
			Description: "{{ $value | humanizePercentage }} of the attempts of {{ $labels.kind }} {{ $labels.exported_job }} failed in the last 15 minutes, of at least 20.",
		},
		{
			Name: "TidemillJobsDiscarded", Severity: warning, Dashboard: jobsUID, Window: 15 * time.Minute,
			Expr: since(`tidemill_job_attempts_total{outcome="discarded"}`, "job, kind, exported_job", "15m", "0") + "\nor\n" +
				since(`tidemill_jobs_rescued_total{result="discarded"}`, "job, kind", "15m", "0"),
			Summary:     "Jobs used up all their attempts and will not be tried again.",
			Description: "{{ $value | humanize }} jobs of {{ $labels.kind }} {{ $labels.exported_job }} were discarded in the last 15 minutes.",
		},
		{
			Name: "TidemillFollowersLate", Severity: warning, Dashboard: jobsUID, Limit: 5 * time.Minute, For: 2 * time.Minute,
			Expr:        sinceRead("job", "", "tidemill_events_oldest_timestamp_seconds") + " > $limit",
			Summary:     "What should follow a run has not been started.",
			Description: "A run ended {{ $value | humanizeDuration }} ago, and what its job names under then has not been started.",
		},
		{
			Name: "TidemillImportRejectsHigh", Severity: warning, Dashboard: importsUID,
			Expr: `
job_exported_job:tidemill_import_rejects:ratio_rate30m > 0.05
  and sum by (job, exported_job) (increase(tidemill_run_rows_total{result="read"}[30m])) >= 100`,
			Summary:     "An import puts many rows aside.",
			Description: "{{ $value | humanizePercentage }} of the rows that job {{ $labels.exported_job }} read in the last 30 minutes were rejected.",
		},
		{
			Name: "TidemillJobsRescued", Severity: warning, Dashboard: overviewUID, Window: time.Hour,
			Expr:        since(`tidemill_jobs_rescued_total`, "job, queue", "1h", "10"),
			Summary:     "Many jobs were left behind by processes that died.",
			Description: "{{ $value | humanize }} jobs of queue {{ $labels.queue }} were taken from dead processes in the last hour.",
		},
	}
}

func scheduleAlerts() []Alert {
	return []Alert{
		{
			Name: "TidemillTickMissed", Severity: warning, Dashboard: importsUID, Window: 15 * time.Minute,
			Expr:        since(`tidemill_schedule_ticks_total{outcome="missed"}`, "job, schedule", "15m", "0"),
			Summary:     "Ticks of a schedule were left out because it was too late for them.",
			Description: "{{ $value | humanize }} ticks of schedule {{ $labels.schedule }} were missed in the last 15 minutes.",
		},
		{
			Name: "TidemillScheduleFailing", Severity: warning, Dashboard: importsUID, Window: 15 * time.Minute,
			Expr:        since(`tidemill_schedule_failures_total`, "job, schedule", "15m", "2"),
			Summary:     "A schedule cannot be fired.",
			Description: "Schedule {{ $labels.schedule }} could not be fired {{ $value | humanize }} times in the last 15 minutes; its tick stays due.",
		},
		{
			Name: "TidemillSchedulerStalled", Severity: critical, Dashboard: importsUID, For: 2 * time.Minute,
			Expr:        `max by (job) (tidemill_schedules_overdue) > 0`,
			Summary:     "Schedules are due, and nobody fires them.",
			Description: "{{ $value }} schedules have been due for more than a minute.",
		},
	}
}

func processAlerts() []Alert {
	return []Alert{
		{
			Name: "TidemillDown", Severity: critical, Dashboard: overviewUID, For: 2 * time.Minute,
			Expr:        `absent(tidemill_build_info)`,
			Summary:     "No worker process is seen.",
			Description: "Prometheus reads the metrics of no worker process: none runs, or none can be reached.",
		},
		{
			Name: "TidemillMetricsStale", Severity: warning, Dashboard: overviewUID, Limit: 2 * time.Minute, Floor: 30 * time.Second, For: 5 * time.Minute,
			Expr: `
count by (job) (tidemill_build_info)
  unless on (job) time() - max by (job) (tidemill_metrics_refresh_timestamp_seconds) < $limit`,
			Summary:     "The state of queues and schedules is unknown.",
			Description: "{{ $value }} processes are there, and none has read the state of the queues in the last $limit s; alerts on it are blind.",
		},
		{
			Name: "TidemillProcessFenced", Severity: warning, Dashboard: overviewUID, Window: 15 * time.Minute,
			Expr:        since(`tidemill_processes_fenced_total`, "job", "15m", "0"),
			Summary:     "Worker processes died or froze.",
			Description: "{{ $value | humanize }} processes were declared dead in the last 15 minutes; their jobs were given to others.",
		},
		{
			Name: "TidemillClockSkewed", Severity: warning, Dashboard: overviewUID, Limit: 5 * time.Second, Floor: 5 * time.Second, For: 2 * time.Minute,
			Expr:        `abs(tidemill_clock_skew_seconds) > $limit`,
			Summary:     "A machine's clock differs from the database's.",
			Description: "The clock of {{ $labels.instance }} and the database's are {{ $value | humanizeDuration }} apart; the limit is $limit s.",
		},
	}
}

// sinceRead is how long ago a point in time was when the state of the cluster was read. That is every 15 s or less often: by
// the present time, a job that waited for a moment just then would seem to wait until the next reading.
func sinceRead(job, label, timestamp string) string {
	by := job
	if label != "" {
		by += ", " + label
	}
	return `max by (` + job + `) (tidemill_metrics_refresh_timestamp_seconds)
  - on (` + job + `) group_right () min by (` + by + `) (` + timestamp + `)`
}

// since is true where a counter went up by more than least within the alert's window. What increase alone does not see is a
// series that is new and begins above 0. That is an increase if the process was scraped before without it, or is younger than
// the window; otherwise it was Prometheus that was away.
func since(counter, by, window, least string) string {
	return `sum by (` + by + `) (increase(` + counter + `[` + window + `])) > ` + least + `
or
sum by (` + by + `) (
  (` + counter + ` unless ` + counter + ` offset ` + window + `)
    and on (job, instance) (up offset ` + window + ` == 1 or process_start_time_seconds > time() - $window)
) > ` + least
}
