package batch

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Children are the jobs that a run has enqueued, and what became of them. They are plain River jobs whose metadata name
// their parent; see ChildMetadata. The counts follow what happens to them within about a second, whoever does it.
type Children struct {
	Total  int64 `json:"total"`
	Done   int64 `json:"done"`   // completed
	Failed int64 `json:"failed"` // discarded, cancelled, or deleted before their end
	// Waiting have not ended: they wait, run, or are to be tried again.
	Waiting int64 `json:"waiting"`
	// Settled tells that what follows the run is decided. A child that is retried later changes the counts and nothing else.
	Settled bool `json:"settled"`
}

// childrenColumn makes Children of the columns of the view runs.
const childrenColumn = `CASE WHEN children IS NOT NULL THEN jsonb_build_object('total', children, 'done', children_done,
	'failed', children_failed, 'waiting', children_waiting, 'settled', children_settled) END`

// ChildMetadata is the metadata of a job that the run with the id parent enqueues: whoever inserts it adds it to Step.Children
// of the same chunk. job is the name of the configured job, or "".
func ChildMetadata(parent int64, job string) json.RawMessage {
	type ours struct {
		Job    string `json:"job,omitempty"`
		Parent int64  `json:"parent"`
	}
	data, err := json.Marshal(map[string]ours{"tidemill": {Job: job, Parent: parent}})
	if err != nil { // a text and a number have a JSON form
		panic(err)
	}
	return data
}

// cancelledAtOnce bounds a transaction that cancels children.
const cancelledAtOnce = 1000

// cancelChildren cancels the waiting children of a run, in transactions of their own. What comes
// later (children of a chunk that is being written, or that fail and would be retried) is left to the workers.
func (l *Ledger) cancelChildren(ctx context.Context, id int64) error {
	rows, err := l.pool.Query(ctx, l.schema.SQL(`
		SELECT id FROM {river}.river_job
		 WHERE metadata @> jsonb_build_object('tidemill', jsonb_build_object('parent', $1::bigint))
		   AND state IN ('available', 'pending', 'retryable', 'scheduled')`), id)
	if err != nil {
		return fmt.Errorf("cancel run %d: find its children: %w", id, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("cancel run %d: find its children: %w", id, err)
	}
	for ; len(ids) > 0; ids = ids[min(cancelledAtOnce, len(ids)):] {
		_, err := l.pool.Exec(ctx, l.schema.SQL(`
			UPDATE {river}.river_job j SET state = 'cancelled', finalized_at = now(),
			       metadata = jsonb_set(j.metadata, '{cancel_attempted_at}', to_jsonb(now()), true)
			 WHERE j.id = ANY (ARRAY(
				SELECT x.id FROM {river}.river_job x
				 WHERE x.id = ANY ($1) AND x.state IN ('available', 'pending', 'retryable', 'scheduled') FOR UPDATE SKIP LOCKED))`),
			ids[:min(cancelledAtOnce, len(ids))])
		if err != nil {
			return fmt.Errorf("cancel run %d: cancel its children: %w", id, err)
		}
	}
	return nil
}

// giveUpChildren asks that the waiting children of a run that has ended be cancelled, and reports whether it has any.
func (l *Ledger) giveUpChildren(ctx context.Context, tx pgx.Tx, id int64) (bool, error) {
	var some bool
	if err := tx.QueryRow(ctx, l.schema.SQL(`SELECT {tidemill}.give_up_children($1)`), id).Scan(&some); err != nil {
		return false, fmt.Errorf("cancel run %d: %w", id, err)
	}
	return some, nil
}

// CountChildren brings the counts of parents up to date and returns how many runs have ended by that which something
// follows. An Upkeep does it; a program without one calls this, twice a second, in any number of processes.
func (l *Ledger) CountChildren(ctx context.Context) (int, error) {
	var ended int
	if err := l.pool.QueryRow(ctx, l.schema.SQL(`SELECT ended FROM {tidemill}.fold_children()`)).Scan(&ended); err != nil {
		return 0, fmt.Errorf("count children: %w", err)
	}
	return ended, nil
}
