package operate

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// PauseOpts say which queues take a pause, or end it.
type PauseOpts struct {
	Queues QueueOpts
	Names  []string
	All    bool // in place of Names: all known queues
	Pause  bool // false: resume
}

// QueueChange is what became of a queue that was paused or resumed.
type QueueChange struct {
	Queue   string `json:"queue"`
	Paused  bool   `json:"paused"`
	Changed bool   `json:"changed"`
}

// UnknownQueueError is the error for a queue that nobody speaks of.
type UnknownQueueError struct {
	Name  string
	Known []string // by name
}

func (e *UnknownQueueError) Error() string { return fmt.Sprintf("queue %q is not known", e.Name) }

// PauseQueues pauses or resumes queues together: workers take no more jobs of a paused one, running ones continue. If one of them
// is not known it does nothing and returns an *UnknownQueueError.
func PauseQueues(ctx context.Context, c *Cluster, opts PauseOpts) ([]QueueChange, error) {
	known, err := knownQueues(ctx, c, opts.Queues)
	if err != nil {
		return nil, err
	}
	names := opts.Names
	if opts.All {
		names = slices.Sorted(maps.Keys(known))
	}
	changes := make([]QueueChange, len(names))
	for i, name := range names {
		if known[name] == nil {
			return nil, &UnknownQueueError{Name: name, Known: slices.Sorted(maps.Keys(known))}
		}
		changes[i] = QueueChange{Queue: name, Paused: opts.Pause, Changed: opts.Pause != (known[name].PausedAt != nil)}
	}
	if err := setPaused(ctx, c, names, opts.Pause); err != nil {
		verb := "resume"
		if opts.Pause {
			verb = "pause"
		}
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	return changes, nil
}

// setPaused pauses or resumes queues in one transaction. River refuses a queue that no worker has registered yet; such a one is
// registered here, so that it can be paused before its first worker starts.
func setPaused(ctx context.Context, c *Cluster, names []string, pause bool) error {
	return pgx.BeginFunc(ctx, c.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, c.Schema.SQL(
			`INSERT INTO {river}.river_queue (name, updated_at) SELECT DISTINCT name, now() FROM unnest($1::text[]) q (name) ON CONFLICT DO NOTHING`), names)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(slices.Values(names)) { // one order for all, against deadlocks
			set := c.Client.QueueResumeTx
			if pause {
				set = c.Client.QueuePauseTx
			}
			if err := set(ctx, tx, name, nil); err != nil {
				return fmt.Errorf("queue %s: %w", name, err)
			}
		}
		return nil
	})
}
