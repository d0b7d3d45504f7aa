package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/rescue"
)

// MostWaiting is where the counts of a queue end, so that a full queue costs no more than a busy one.
const MostWaiting = 10_000

// Queue is a queue as people see it.
type Queue struct {
	Name     string     `json:"queue"`
	Waiting  int64      `json:"waiting"` // at most MostWaiting
	More     bool       `json:"more"`    // there are more than MostWaiting
	Running  int64      `json:"running"` // at most MostWaiting
	Oldest   *float64   `json:"oldest_seconds"`
	PausedAt *time.Time `json:"paused_at"`
	Workers  int        `json:"workers"`
}

// busyQueues jumps through an index from one queue to the next, for both states in which a queue is in use.
const busyQueues = `
	SELECT b.queue FROM (VALUES ('available'), ('running')) s (state), LATERAL (
		WITH RECURSIVE busy (queue, n) AS (
			(SELECT queue, 1 FROM {river}.river_job WHERE state = s.state::{river}.river_job_state ORDER BY state, queue LIMIT 1)
			UNION ALL
			SELECT (SELECT j.queue FROM {river}.river_job j WHERE j.state = s.state::{river}.river_job_state AND j.queue > b.queue
			         ORDER BY j.state, j.queue LIMIT 1), n + 1
			  FROM busy b WHERE b.queue IS NOT NULL AND n < 1000)
		SELECT queue FROM busy WHERE queue IS NOT NULL) b`

// queueCounts reads each queue from the index that River fetches by. That one is ordered by time only within a priority,
// of which there are four.
const queueCounts = `
	SELECT q.name,
	       (SELECT count(*) FROM (SELECT FROM {river}.river_job j WHERE j.state = 'available' AND j.queue = q.name LIMIT $2) c),
	       (SELECT count(*) FROM (SELECT FROM {river}.river_job j WHERE j.state = 'running' AND j.queue = q.name LIMIT $2) c),
	       (SELECT extract(epoch FROM now() - min(o.scheduled_at))::float8
	          FROM (VALUES (1), (2), (3), (4)) p (priority), LATERAL (
	            SELECT j.scheduled_at FROM {river}.river_job j WHERE j.state = 'available' AND j.queue = q.name AND j.priority = p.priority
	             ORDER BY j.state, j.queue, j.priority, j.scheduled_at LIMIT 1) o)
	  FROM unnest($1::text[]) q (name)`

// QueueOpts say which queues are known beside those that the database names.
type QueueOpts struct {
	Configured []string
}

// ListQueues returns by name the queues that River knows, that are configured, that a live process works, or that jobs wait
// in.
func ListQueues(ctx context.Context, c *Cluster, opts QueueOpts) ([]*Queue, error) {
	known, err := knownQueues(ctx, c, opts)
	if err != nil {
		return nil, err
	}
	rows, err := c.Pool.Query(ctx, c.Schema.SQL(queueCounts), slices.Collect(maps.Keys(known)), MostWaiting+1)
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	var name string
	var waiting, running int64
	var oldest *float64
	_, err = pgx.ForEachRow(rows, []any{&name, &waiting, &running, &oldest}, func() error {
		q := known[name]
		q.Waiting, q.More = min(waiting, MostWaiting), waiting > MostWaiting
		q.Running, q.Oldest = min(running, MostWaiting), oldest
		if oldest != nil {
			*oldest = max(0, *oldest) // the clock of whoever inserted it may be ahead
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	return slices.SortedFunc(maps.Values(known), func(a, b *Queue) int { return cmp.Compare(a.Name, b.Name) }), nil
}

// knownQueues brings together everybody who speaks of a queue.
func knownQueues(ctx context.Context, c *Cluster, opts QueueOpts) (map[string]*Queue, error) {
	known, err := readKnownQueues(ctx, c, opts)
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	return known, nil
}

func readKnownQueues(ctx context.Context, c *Cluster, opts QueueOpts) (map[string]*Queue, error) {
	known := map[string]*Queue{}
	get := func(name string) *Queue {
		if known[name] == nil {
			known[name] = &Queue{Name: name}
		}
		return known[name]
	}
	registered, err := c.Client.QueueList(ctx, river.NewQueueListParams().First(10_000))
	if err != nil {
		return nil, err
	}
	for _, queue := range registered.Queues {
		get(queue.Name).PausedAt = queue.PausedAt
	}
	for _, name := range opts.Configured {
		get(name)
	}
	processes, err := rescue.List(ctx, c.Pool, c.Schema)
	if err != nil {
		return nil, err
	}
	for _, process := range processes {
		if !process.Alive() || process.Draining {
			continue
		}
		var queues map[string]int
		if err := json.Unmarshal(process.Queues, &queues); err != nil {
			return nil, fmt.Errorf("queues of process %s: %w", process.ID, err)
		}
		for name, workers := range queues {
			get(name).Workers += workers
		}
	}
	rows, err := c.Pool.Query(ctx, c.Schema.SQL(busyQueues))
	if err != nil {
		return nil, err
	}
	busy, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for _, name := range busy {
		get(name)
	}
	return known, nil
}
