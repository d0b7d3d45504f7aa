package bulk

import (
	"context"
	"fmt"
	"strings"
)

// stageName is the temporary table that rows wait in. It has the written columns, named and typed as in the table, and
// an ordinal: the index of the row in the batch.
const stageName = "tidemill_stage"

// stage loads the rows [r.next, r.end) into a temporary table and merges them from there.
func (r *run) stage(ctx context.Context) error {
	start := r.next
	if err := r.createStage(ctx); err != nil {
		return err
	}
	reserve := min(stagingReserve, r.budget/2)
	r.budget -= reserve
	loaded, err := r.load(ctx, start)
	if err != nil {
		return fmt.Errorf("load staging table: %w", err)
	}
	r.budget += reserve
	return r.mergeStaged(ctx, start, loaded)
}

// mergeStaged moves the staged rows [start, loaded) into the table.
func (r *run) mergeStaged(ctx context.Context, start, loaded int) error {
	if r.mergesApart(start, loaded) {
		done, err := r.mergeApart(ctx, start, loaded)
		if err != nil {
			return err
		}
		if done {
			r.next = loaded
			return r.dropStage(ctx)
		}
	}
	m := newMerge(r, start, loaded)
	if err := m.isolate(ctx); err != nil {
		return err
	}
	r.next = m.pos
	r.res.Rejected = m.rejectedBefore(m.pos)
	return r.dropStage(ctx)
}

// dropStage: the transaction may continue, with another Write even.
func (r *run) dropStage(ctx context.Context) error {
	if err := r.exec(ctx, "DROP TABLE pg_temp."+stageName); err != nil {
		return fmt.Errorf("drop staging table: %w", err)
	}
	return nil
}

// createStage creates the table, with those CHECK constraints of the target that read only written columns: a violation
// while the stage is loaded names its row, one while it is merged does not. Triggers could still fix such a row.
func (r *run) createStage(ctx context.Context) error {
	if err := r.exec(ctx, r.w.sql.createStage); err != nil {
		return fmt.Errorf("create staging table: %w", err)
	}
	if r.w.table.HasInsertTriggers {
		return nil
	}
	rows, _, err := r.query(ctx, r.w.sql.listChecks)
	if err != nil {
		return fmt.Errorf("list check constraints: %w", err)
	}
	if len(rows) == 0 {
		return nil
	}
	var add strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&add, "ALTER TABLE pg_temp.%s ADD CONSTRAINT %s %s;\n", stageName, quote(string(row[0])), row[1])
	}
	if err := r.exec(ctx, add.String()); err != nil {
		return fmt.Errorf("add check constraints to staging table: %w", err)
	}
	return nil
}

// load copies the rows [pos, r.end) into the stage and returns where it came to.
func (r *run) load(ctx context.Context, pos int) (int, error) {
	to := target{sql: r.w.sql.copyStage, table: stageName, prefix: ordinal}
	limit := r.end
	for pos < r.end {
		next, why, fault, err := r.copyRows(ctx, to, pos, limit)
		if err != nil {
			return pos, err
		}
		pos = next
		switch {
		case why == stopBudget:
			return pos, nil
		case why == stopDone:
			limit = r.end
		case limit-pos > 1: // an error that does not name its row: halve
			limit = pos + (limit-pos)/2
		default:
			r.res.Rejected = append(r.res.Rejected, r.w.fromServer(pos, fault))
			pos, limit = pos+1, r.end
		}
	}
	return pos, nil
}
