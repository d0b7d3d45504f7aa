package observability

func imports() *Dashboard {
	b := newBoard(importsUID, "Tidemill / Imports and schedules", "Rows that imports take in, and the ticks of schedules.",
		choice("configured", "Configured job", "tidemill_run_rows_total", jobLabel),
		choice("schedule", "Schedule", "tidemill_schedule_next_tick_timestamp_seconds", "schedule"))
	b.row("Imports")
	b.line(8,
		stacked("Rows by result", "Rows in committed chunks, by what became of them.", rowsPerSec,
			query{`sum by (result) (rate(tidemill_run_rows_total{exported_job=~"$configured", result!="read"}[$__rate_interval]))`, "{{result}}"}),
		graph("Rows by job", "Rows read, in committed chunks.", rowsPerSec,
			query{`sum by (exported_job) (rate(tidemill_run_rows_total{exported_job=~"$configured", result="read"}[$__rate_interval]))`, "{{exported_job}}"}),
		graph("Rejected rows", "Share of the rows that were put aside.", share,
			query{`
sum by (exported_job) (rate(tidemill_run_rows_total{exported_job=~"$configured", result="rejected"}[$__rate_interval]))
  / (sum by (exported_job) (rate(tidemill_run_rows_total{exported_job=~"$configured", result="read"}[$__rate_interval])) > 0)`, "{{exported_job}}"}).
			runbook("TidemillImportRejectsHigh").upTo(1),
	)
	b.line(7,
		table("Rows in this time", "Rows in committed chunks in the time range of the dashboard.", count, "rows",
			`sum by (exported_job, result) (increase(tidemill_run_rows_total{exported_job=~"$configured"}[$__range])) > 0`))
	b.row("Schedules")
	b.line(8,
		stacked("Ticks by outcome", "What became of ticks: enqueued on time or caught up, held by a live run, or left out.", perSecond,
			query{`sum by (outcome) (rate(tidemill_schedule_ticks_total{schedule=~"$schedule"}[$__rate_interval]))`, "{{outcome}}"}).runbook("TidemillTickMissed"),
		graph("Lateness of ticks", "Half, 95 % and 99 % of the ticks were dealt with within this time of being due.", seconds,
			quantiles("tidemill_schedule_lateness_seconds_bucket")...).runbook("TidemillSchedulerStalled"),
		graph("Schedules that cannot be fired", "Attempts to fire that failed; the tick stays due.", perSecond,
			query{`sum by (schedule) (rate(tidemill_schedule_failures_total{schedule=~"$schedule"}[$__rate_interval]))`, "{{schedule}}"}).runbook("TidemillScheduleFailing"),
	)
	b.line(8,
		graph("Schedules", "All schedules, and those that have been due for more than a minute.", count,
			query{`max(tidemill_schedules)`, "all"},
			query{`max(tidemill_schedules_overdue)`, "overdue"}).runbook("TidemillSchedulerStalled"),
		table("Next tick", "When each schedule is due next.", milliseconds, "next tick",
			`1000 * max by (schedule) (tidemill_schedule_next_tick_timestamp_seconds{schedule=~"$schedule"})`),
		table("Last tick", "The due time of the last tick that was handled.", milliseconds, "last tick",
			`1000 * max by (schedule) (tidemill_schedule_last_tick_timestamp_seconds{schedule=~"$schedule"})`),
		table("Paused schedules", "Schedules whose ticks are left out until they are resumed.", count, "paused",
			`max by (schedule) (tidemill_schedule_paused{schedule=~"$schedule"}) == 1`),
	)
	b.row("Housekeeping")
	b.line(7,
		graph("Deleted by retention", "What was deleted because it was kept long enough.", perSecond,
			query{`sum by (what) (rate(tidemill_retention_deleted_total[$__rate_interval]))`, "{{what}}"}))
	return b.dashboard
}
