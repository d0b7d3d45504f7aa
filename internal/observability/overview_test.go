package observability

// The dashboards' names in links; fixed, so that bookmarks and alerts find them.
const (
	overviewUID = "tidemill-overview"
	jobsUID     = "tidemill-jobs"
	importsUID  = "tidemill-imports"
)

const (
	attempts  = `tidemill_job_attempts_total{outcome!~"snoozed|interrupted"}`
	failures  = `tidemill_job_attempts_total{outcome=~"error|panic|discarded"}`
	refreshed = `max(tidemill_metrics_refresh_timestamp_seconds)`
)

func overview() *Dashboard {
	b := newBoard(overviewUID, "Tidemill / Overview", "Are jobs worked in time, do they fail, and have the workers room.")
	b.line(4,
		stat("Longest wait", "How long the job that has waited longest for a worker has waited, in any queue; 0 if none waits.", seconds,
			`max(`+sinceRead("job", "queue", "tidemill_queue_oldest_available_timestamp_seconds")+`) or 0 * `+refreshed, 60, 300).runbook("TidemillQueueLatencyHigh"),
		plainStat("Jobs that wait", "Jobs that a worker could take now. Each queue is counted up to 25,000.", count,
			`sum(max by (job, queue) (tidemill_jobs{state="available"}))`),
		stat("Failed attempts", "Share of the attempts that failed; those that were put off or interrupted do not count.", share,
			`sum(rate(`+failures+`[$__rate_interval])) / (sum(rate(`+attempts+`[$__rate_interval])) > 0)`, 0.05, 0.2).runbook("TidemillJobFailureRatioHigh"),
		plainStat("Finished jobs", "Attempts that succeeded, per second.", perSecond,
			`sum(rate(tidemill_job_attempts_total{outcome="ok"}[$__rate_interval]))`),
		stat("Busy workers", "Share of the workers of all processes that work a job now.", share,
			`sum(tidemill_worker_slots_busy) / sum(tidemill_worker_slots)`, 0.8, 0.95).runbook("TidemillSlotsSaturated"),
		stat("Overdue schedules", "Schedules that have been due for more than a minute and were not fired.", count,
			`max(tidemill_schedules_overdue)`, 1, 1).runbook("TidemillSchedulerStalled"),
	)
	b.line(6,
		table("Firing alerts", "Alerts of these rules that fire now; 1 stands for each.", count, "fires",
			`ALERTS{alertname=~"Tidemill.+", alertstate="firing", job=~"$job|"}`),
		table("Processes", "What each process was built from; more than one version for long means that a deployment is stuck.", count, "processes",
			`count by (job, version, go_version) (tidemill_build_info)`),
	)
	queueRows(b)
	workerRows(b)
	return b.dashboard
}

func queueRows(b *board) {
	b.row("Queues: rate, errors, duration")
	b.line(8,
		graph("Inserted and finished", "Jobs inserted by these processes, which leaves out those of applications and SQL, beside attempts that ended for good.", perSecond,
			query{`sum by (queue) (rate(tidemill_jobs_inserted_total[$__rate_interval]))`, "{{queue}} inserted"},
			query{`sum by (queue) (rate(tidemill_job_attempts_total{outcome=~"ok|discarded|cancelled"}[$__rate_interval]))`, "{{queue}} finished"}),
		graph("Failed attempts by queue", "Share of the attempts of each queue that failed.", share,
			query{`sum by (queue) (rate(` + failures + `[$__rate_interval])) / (sum by (queue) (rate(` + attempts + `[$__rate_interval])) > 0)`, "{{queue}}"}).
			runbook("TidemillJobFailureRatioHigh").upTo(1),
		graph("Longest wait by queue", "How long the job that has waited longest for a worker has waited. No line: none waits, or the state is unknown.", seconds,
			query{`max by (queue) (` + sinceRead("job", "queue", "tidemill_queue_oldest_available_timestamp_seconds") + `)`, "{{queue}}"}).runbook("TidemillQueueLatencyHigh"),
	)
	b.line(8,
		stacked("Unfinished jobs by state", "Jobs that are not finished, in all queues; each queue and state is counted up to 25,000.", count,
			query{`sum by (state) (max by (job, queue, state) (tidemill_jobs))`, "{{state}}"}),
		graph("Waiting jobs by queue", "Jobs that a worker could take now, counted up to 25,000.", count,
			query{`max by (queue) (tidemill_jobs{state="available"})`, "{{queue}}"}).runbook("TidemillQueueLatencyHigh"),
		graph("Overdue by queue", "Since when the oldest scheduled job or retry should have been given to workers. No line: there is none.", seconds,
			query{`max by (queue) (` + sinceRead("job", "queue", "tidemill_queue_oldest_overdue_timestamp_seconds") + `)`, "{{queue}}"}).runbook("TidemillJobsOverdue"),
	)
	b.line(8,
		heat("Wait before attempts, spread", "From when a job was due to when its attempt began.",
			`sum by (le) (rate(tidemill_job_queue_wait_seconds_bucket[$__rate_interval]))`),
		graph("Wait before attempts", "Half, 95 % and 99 % of the attempts began within this time.", seconds, quantiles("tidemill_job_queue_wait_seconds_bucket")...),
		graph("Paused and not fully counted", "Queues that are paused (1), and queues with more jobs in a state than are counted (1).", count,
			query{`max by (queue) (tidemill_queue_paused)`, "{{queue}} paused"},
			query{`max by (queue) (tidemill_jobs_capped)`, "{{queue}} has more"}).runbook("TidemillQueuePaused"),
	)
}

func workerRows(b *board) {
	b.row("Workers: use, saturation, errors")
	b.line(8,
		graph("Busy workers by queue", "Share of a queue's workers, over all processes, that work a job.", share,
			query{`sum by (queue) (tidemill_worker_slots_busy) / sum by (queue) (tidemill_worker_slots)`, "{{queue}}"}).runbook("TidemillSlotsSaturated").upTo(1),
		graph("Workers by queue", "Jobs that all live processes together can work at the same time. At 0 nobody takes jobs of the queue.", count,
			query{`max by (queue) (tidemill_queue_workers)`, "{{queue}}"}).runbook("TidemillQueueWithoutWorkers"),
		graph("Fetching jobs", "Half, 95 % and 99 % of the fetches of jobs took at most this long.", seconds, quantiles("tidemill_job_fetch_duration_seconds_bucket")...),
	)
	b.line(8,
		stacked("Processes by state", "Registered processes; a dead one stays registered for an hour.", count,
			query{`sum by (state) (max by (job, state) (tidemill_processes))`, "{{state}}"}).runbook("TidemillProcessFenced"),
		graph("Deaths and rescues", "Processes declared dead by others, own lives that ended because of that, and jobs taken from dead processes.", perSecond,
			query{`sum(rate(tidemill_processes_fenced_total[$__rate_interval]))`, "declared dead"},
			query{`sum(rate(tidemill_process_restarts_total[$__rate_interval]))`, "started again"},
			query{`sum by (result) (rate(tidemill_jobs_rescued_total[$__rate_interval]))`, "jobs rescued, now {{result}}"}).runbook("TidemillJobsRescued"),
		graph("Draining", "1 while a process takes no more jobs because it was asked to stop.", count,
			query{`tidemill_process_draining`, "{{instance}}"}),
	)
	b.line(8,
		graph("Database connections in use", "Share of the connections that each pool of a process may have that are in use.", share,
			query{`sum by (instance, pool) (tidemill_pool_connections{state="acquired"}) / sum by (instance, pool) (tidemill_pool_connections_max)`, "{{instance}} {{pool}}"}).upTo(1),
		graph("Waiting for connections", "Share of the takings of a connection that had to wait for one.", share,
			query{`
sum by (instance, pool) (rate(tidemill_pool_acquires_waited_total[$__rate_interval]))
  / (sum by (instance, pool) (rate(tidemill_pool_acquires_total[$__rate_interval])) > 0)`, "{{instance}} {{pool}}"}).upTo(1),
		graph("Time spent waiting for connections", "How many jobs and other users of a pool wait for a connection, on average.", count,
			query{`sum by (instance, pool) (rate(tidemill_pool_acquire_wait_seconds_total[$__rate_interval]))`, "{{instance}} {{pool}}"}),
	)
	b.row("Processes")
	b.line(8,
		graph("Reading the state", "How long the elected process took to read the state of the cluster, and how old it is.", seconds,
			query{`max(tidemill_metrics_refresh_duration_seconds)`, "took"},
			query{`time() - ` + refreshed, "age"}).runbook("TidemillMetricsStale"),
		graph("State not read", "Attempts to read the state of the cluster that failed.", perSecond,
			query{`sum by (instance) (rate(tidemill_metrics_refresh_errors_total[$__rate_interval]))`, "{{instance}}"}).runbook("TidemillMetricsStale"),
		graph("Who reads the state", "1 for the process that reads the state of the cluster for all.", count,
			query{`tidemill_metrics_reporter`, "{{instance}}"}).runbook("TidemillMetricsStale"),
	)
	b.line(8,
		graph("Memory", "Memory of each process.", ofMemory, query{`process_resident_memory_bytes`, "{{instance}}"}),
		graph("Processor", "Processor seconds that each process uses per second.", count,
			query{`rate(process_cpu_seconds_total[$__rate_interval])`, "{{instance}}"}),
		graph("Clocks", "How far the clock of each process's machine is ahead of the database's; negative: behind.", seconds,
			query{`tidemill_clock_skew_seconds`, "{{instance}}"}).runbook("TidemillClockSkewed"),
	)
}
