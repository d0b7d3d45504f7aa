// Package operate is what an operator does to jobs, queues and processes, whatever door they come through: list, filter
// and show jobs; retry, cancel or delete many of them; group their errors; pause queues; enqueue.
//
// Its functions take what they work on and options, and return values. They print nothing, ask nothing and know no flags:
// internal/cli and internal/server bring these. What they return has the JSON that both show.
package operate
