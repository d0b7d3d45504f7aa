package observability

const (
	ofKind = `kind=~"$kind", exported_job=~"$configured"`
	ours   = `tidemill_job_attempts_total{` + ofKind
)

func jobs() *Dashboard {
	b := newBoard(jobsUID, "Tidemill / Kinds and jobs", "What the jobs of each kind, and of each configured job, do.",
		choice("kind", "Kind", "tidemill_job_attempts_total", "kind"),
		choice("configured", "Configured job", "tidemill_job_attempts_total", jobLabel))
	b.line(8,
		stacked("Attempts by outcome", "Attempts that ended, by how. Snoozed and interrupted ones use up no attempt.", perSecond,
			query{`sum by (outcome) (rate(` + ours + `}[$__rate_interval]))`, "{{outcome}}"}),
		graph("Attempts by kind", "Attempts that ended, by kind.", perSecond,
			query{`sum by (kind) (rate(` + ours + `}[$__rate_interval]))`, "{{kind}}"}),
		graph("Inserted by kind", "Jobs inserted by these processes; those of applications and SQL are not among them.", perSecond,
			query{`sum by (kind) (rate(tidemill_jobs_inserted_total{kind=~"$kind"}[$__rate_interval]))`, "{{kind}}"}),
	)
	b.line(8,
		graph("Failed attempts", "Share of the attempts that failed.", share,
			query{`
sum by (kind, exported_job) (rate(` + ours + `, outcome=~"error|panic|discarded"}[$__rate_interval]))
  / (sum by (kind, exported_job) (rate(` + ours + `, outcome!~"snoozed|interrupted"}[$__rate_interval])) > 0)`, "{{kind}} {{exported_job}}"}).
			runbook("TidemillJobFailureRatioHigh").upTo(1),
		table("Discarded in this time", "Jobs whose last attempt failed in the time range of the dashboard.", count, "discarded",
			`sum by (kind, exported_job) (increase(`+ours+`, outcome="discarded"}[$__range])) > 0`).runbook("TidemillJobsDiscarded"),
	)
	b.row("Duration")
	b.line(8,
		heat("Duration of attempts, spread", "How long attempts took.",
			`sum by (le) (rate(tidemill_job_duration_seconds_bucket{`+ofKind+`}[$__rate_interval]))`),
		graph("Duration of attempts", "Half, 95 % and 99 % of the attempts took at most this long.", seconds, quantiles(`tidemill_job_duration_seconds_bucket{`+ofKind+`}`)...),
	)
	b.line(8,
		graph("95 % of the attempts within, by kind", "95 % of the attempts of each kind took at most this long.", seconds,
			query{`histogram_quantile(0.95, sum by (le, kind, exported_job) (rate(tidemill_job_duration_seconds_bucket{` + ofKind + `}[$__rate_interval])))`, "{{kind}} {{exported_job}}"}),
		stacked("Workers in use by kind", "How many workers each kind keeps busy, on average.", count,
			query{`sum by (kind, exported_job) (rate(tidemill_job_duration_seconds_sum{` + ofKind + `}[$__rate_interval]))`, "{{kind}} {{exported_job}}"}),
	)
	b.row("Runs of configured jobs")
	b.line(8,
		stacked("Unfinished runs by status", "Runs that are not finished, counted up to 10,000 in all.", count,
			query{`sum by (status) (max by (job, status) (tidemill_runs))`, "{{status}}"}),
		table("Last success", "When the newest run that succeeded ended. A job without a line has no success among its newest runs.", milliseconds, "last success",
			`1000 * max by (exported_job) (tidemill_job_last_success_timestamp_seconds{exported_job=~"$configured"})`),
	)
	b.line(8,
		graph("Runs with followers to be started", "Ends of runs whose followers (then) are not started yet, counted up to 10,000.", count,
			query{`max(tidemill_events)`, "waiting"}).runbook("TidemillFollowersLate"),
		graph("Oldest of them", "How long ago the oldest of these runs ended. No line: there is none.", seconds,
			query{`max(` + sinceRead("job", "", "tidemill_events_oldest_timestamp_seconds") + `)`, "age"}).runbook("TidemillFollowersLate"),
	)
	return b.dashboard
}
