// Package metrics tells Prometheus what a River client does and how its database stands, and answers the probes of a
// process manager.
//
// There are two sorts of series, all with the prefix tidemill_; Families lists them, and docs/METRICS.md is made from it.
// Those of the process (inserts, attempts, durations, slots) are counted by Metrics, which is a River plugin; its methods
// Observe… take what schedulers, rescue and retention say of themselves. Those of the cluster (jobs by queue and state, the
// age of the oldest, live runs, processes, schedules) are read from the database by Report, in one process at a time, in the
// background: a scrape reads memory only, and costs the same whatever the size of the tables.
//
//	m, err := metrics.New(metrics.Opts{Registerer: registry, Queues: map[string]int{"default": 20}})
//	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Plugins: []rivertype.Plugin{m}, …})
//	go m.Report(ctx, pool.Config().ConnConfig)
//	err = metrics.Serve(ctx, listener, metrics.Handler(registry, health))
//
// # Labels
//
// Labels are queue, kind, job, schedule and the like: names from code and configuration. Names that only the database
// knows are admitted up to a limit (100 queues, 500 kinds, 500 jobs, 500 schedules), so that no caller can make the number of
// series grow without bound. A process counts what is one too many under "other"; the cluster's series leave it out.
//
// # Absent beats frozen
//
// A process that no longer knows the state of the cluster stops saying anything about it. Alert on absence.
package metrics
