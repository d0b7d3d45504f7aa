package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/batch"
)

// mostReasons is how many skipped jobs a bulk names.
const mostReasons = 20

// SkippedJob is a job that was left alone, and why.
type SkippedJob struct {
	ID     int64  `json:"id"`
	Reason string `json:"reason"`
}

func (b *bulk) left(id int64, reason string) {
	b.result.Skipped++
	if len(b.result.Reasons) < mostReasons {
		b.result.Reasons = append(b.result.Reasons, SkippedJob{ID: id, Reason: reason})
	}
}

// stateReason says why the ledger refused.
func stateReason(err *batch.StateError) string {
	reason := fmt.Sprintf("its run is %s", err.Status)
	if err.Hint != "" {
		reason += "; " + err.Hint
	}
	return reason
}

// conflictReason says why one job cannot be had, "" if err is about something else.
func conflictReason(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return ""
	}
	switch pg.Code {
	case "23505":
		return "a newer job with the same unique key is there"
	case "55P03", "40P01":
		return "another session holds it"
	}
	return ""
}

// skip notes jobs that were not to be had, and finds out why.
func (b *bulk) skip(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := b.Pool.Query(ctx, b.Schema.SQL(`SELECT id, state::text FROM {river}.river_job WHERE id = ANY($1)`), ids)
	if err != nil {
		return fmt.Errorf("look for jobs: %w", err)
	}
	states := map[int64]string{}
	var id int64
	var state string
	if _, err := pgx.ForEachRow(rows, []any{&id, &state}, func() error { states[id] = state; return nil }); err != nil {
		return fmt.Errorf("look for jobs: %w", err)
	}
	for _, id := range ids {
		state, there := states[id]
		b.left(id, b.reason(state, there))
	}
	return nil
}

func (b *bulk) reason(state string, there bool) string {
	switch {
	case !there:
		return "no such job"
	case !slices.Contains(b.opts.Verb.possible, state):
		return fmt.Sprintf("it is %s and cannot be %s", state, b.opts.Verb.Done)
	default:
		return "it changed meanwhile, or another session holds it"
	}
}
