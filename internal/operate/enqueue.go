package operate

import (
	"context"
	"encoding/json"
	"time"
)

// EnqueueOpts is a job to insert. What is zero is as its kind has it.
type EnqueueOpts struct {
	Kind        string
	Args        json.RawMessage // an object
	Queue       string
	Priority    int // 1 to 4, 1 first
	MaxAttempts int
	At          time.Time // when it is due; zero: now
	UniqueKey   string    // insert nothing if a job of this kind and key is live
	Tags        []string
}

// Enqueue inserts a job of a kind that a program registered and returns its id, or the id of the live job with its UniqueKey.
// A refusal comes as the SQL function tidemill.enqueue raises it.
func Enqueue(ctx context.Context, c *Cluster, opts EnqueueOpts) (int64, error) {
	var due *time.Time
	if !opts.At.IsZero() {
		due = &opts.At
	}
	var id int64
	err := c.Pool.QueryRow(ctx, c.Schema.SQL(`SELECT {tidemill}.enqueue($1, $2, queue => nullif($3, ''),
		priority => nullif($4, 0), max_attempts => nullif($5, 0), scheduled_at => $6, unique_key => nullif($7, ''), tags => $8)`),
		opts.Kind, opts.Args, opts.Queue, opts.Priority, opts.MaxAttempts, due, opts.UniqueKey, orEmpty(opts.Tags)).Scan(&id)
	return id, err
}
