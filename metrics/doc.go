// Package metrics tells Prometheus what a River client does and how its database stands, and answers the probes of a
// process manager.
//
// There are two sorts of series, all with the prefix tidemill_. Those of the process (inserts, attempts, durations, slots)
// are counted by Metrics, which is a River plugin. Those of the cluster (jobs by queue and state, the age of the oldest,
// live runs, processes) are read from the database by Report, in one process at a time, in the background: a scrape reads
// memory only, and costs the same whatever the size of the tables.
//
//	m, err := metrics.New(metrics.Opts{Registerer: registry, Queues: map[string]int{"default": 20}})
//	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Plugins: []rivertype.Plugin{m}, …})
//	go m.Report(ctx, pool.Config().ConnConfig)
//	err = metrics.Serve(ctx, listener, metrics.Handler(registry, health))
//
// # Labels
//
// Labels are queue, kind, job, state, status, outcome and result: names from code and configuration. Names that only the
// database knows are admitted up to a limit (100 queues, 500 kinds, 500 jobs), so that no caller can make the number of
// series grow without bound. A process counts what is one too many under "other"; the cluster's series leave it out.
//
// # Absent beats frozen
//
// A process that no longer knows the state of the cluster stops saying anything about it. Alert on absence.
package metrics
