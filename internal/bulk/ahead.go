package bulk

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Ahead is a batch of which a part is written before the batches in front of it are committed; see [Writer.Begin].
type Ahead struct {
	run    *run
	copied int64
	staged bool
	merged bool // all but the possible duplicates
}

var errOutOfTurn = errors.New("the rows cannot be written before those in front of them")

// Begin writes as much of a batch as does not depend on the batches in front of it, which other writers of the same table
// are about to commit. The rows may have keys that occur in those batches only if all of them are made by one NewBatch and
// were filled in their order.
//
// After an error roll back, and Write the batch when those in front of it are committed: what it would have done to the
// rows cannot be known before. No error of Begin says that anything is wrong.
//
// follows says that [Batch.Follows] holds for all batches that are not committed yet.
func (w *Writer) Begin(ctx context.Context, tx pgx.Tx, b *Batch, follows bool) (*Ahead, error) {
	r := &run{w: w, b: b, conn: tx.Conn().PgConn(), budget: maxSavepoints, end: b.Len()}
	a := &Ahead{run: r}
	if err := r.exec(ctx, prepare); err != nil {
		return nil, err
	}
	maybeDuplicates := b.duplicatesIn(0, r.end)
	var err error
	switch {
	case b.window > 0:
		return nil, errOutOfTurn // bad rows are dense
	case r.end == 0:
	case w.mustStage() || b.incomplete || !follows || 100*len(maybeDuplicates) > w.maxDuplicates*r.end:
		a.staged = true
		if err := r.createStage(ctx); err != nil {
			return nil, err
		}
		_, err = r.copyOnce(ctx, target{sql: w.sql.copyStage, prefix: ordinal}, 0, r.end)
		if a.merged = err == nil && follows && r.mergesApart(0, r.end); a.merged {
			r.res, err = r.mergePlain(ctx, 0, r.end, maybeDuplicates)
		}
	case len(w.spec.Match) == 0 && w.table.HasInsertTriggers:
		return nil, errOutOfTurn // what they do may depend on the rows in front
	default:
		a.copied, err = r.copyPlain(ctx, maybeDuplicates)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// copyPlain copies the rows that are no possible duplicates.
func (r *run) copyPlain(ctx context.Context, maybeDuplicates []int) (int64, error) {
	plain := r
	if len(maybeDuplicates) > 0 {
		plain = &run{w: r.w, b: r.w.ownParts().fill(r.b, 0, r.end, maybeDuplicates).plain, conn: r.conn}
	}
	return plain.copyOnce(ctx, target{sql: r.w.sql.copyDirect, prefix: r.w.setPrefix()}, 0, plain.b.Len())
}

// Complete writes the rest, after all batches in front are committed. The result is that of Write from the first row on.
// After an error roll back and Write the batch.
func (w *Writer) Complete(ctx context.Context, a *Ahead) (Result, error) {
	r := a.run
	if a.merged {
		done, err := r.mergeDuplicates(ctx, 0, r.end, r.b.duplicatesIn(0, r.end))
		if err != nil {
			return Result{}, fmt.Errorf("write to %s: rows of keys that came before: %w", w.table.Ident(), err)
		}
		if !done {
			return Result{}, errOutOfTurn
		}
		r.next = r.end
		return r.result(), r.dropStage(ctx)
	}
	if a.staged {
		if err := r.mergeStaged(ctx, 0, r.end); err != nil {
			return Result{}, fmt.Errorf("write to %s: %w", w.table.Ident(), err)
		}
		r.setWindow()
		return r.result(), nil
	}
	maybeDuplicates := r.b.duplicatesIn(0, r.end)
	r.res.Inserted = a.copied
	r.res.Filtered = int64(r.end-len(maybeDuplicates)) - a.copied
	r.next = r.end
	if len(maybeDuplicates) == 0 {
		return r.result(), nil
	}
	late := &run{w: w, b: w.parts.maybeDuplicates, conn: r.conn, budget: r.budget, apart: true}
	if late.end = len(maybeDuplicates); late.end > 0 {
		if err := late.stage(ctx); err != nil {
			return Result{}, fmt.Errorf("write to %s: rows of keys that came before: %w", w.table.Ident(), err)
		}
		if late.next < late.end {
			return Result{}, errOutOfTurn
		}
	}
	r.addPart(late)
	return r.result(), nil
}
