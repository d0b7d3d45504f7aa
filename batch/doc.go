// Package batch runs long work over many rows in chunks that are each committed once: rows written, rows rejected, jobs
// enqueued, cursor and counters go into one transaction. A run can be killed, paused, moved to another process and
// resumed at any moment, and its ledger row says at every moment exactly what is in the database.
//
// It works beside any River client. Engine is a River plugin; Each makes a worker out of a query and a function:
//
//	engine := batch.New(batch.Opts{Pool: pool})
//	river.AddWorker(workers, batch.Each(batch.EachOpts[RescoreArgs, User]{…}))
//	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Plugins: []rivertype.Plugin{engine}, …})
//
//	go batch.NewUpkeep(batch.UpkeepOpts{Conn: pool.Config().ConnConfig}).Run(ctx) // for runs with children, and what follows runs
//
// # How a run stays true
//
// River completes a job by its id, whoever runs it by then. So a run's River row leaves the state running only by River's
// completer (or by rescue of a dead process), never by an update of ours, and triggers on river_job carry the run's status
// along in River's own transaction. Each attempt takes a new lease on the run; each chunk's transaction ends with an update
// that matches only this lease and the expected sequence number. A stale worker therefore cannot commit anything, and a
// connection that dies during COMMIT leaves a question that the ledger answers.
package batch
