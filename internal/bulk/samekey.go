package bulk

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// In mode Update the rows of a key must be written together: only the last one counts. So a possible duplicate takes the rows before it
// that have its key along. The rows that remain have a key each of their own, and are merged without looking for others.

// together adds the rows of the same keys to the possible duplicates.
func (b *Batch) together() {
	if len(b.hashes) == 0 || len(b.maybeDuplicates) == 0 || b.closed {
		return
	}
	keys := make(map[uint64]bool, len(b.maybeDuplicates))
	for _, row := range b.maybeDuplicates {
		keys[b.hashes[row]] = true
	}
	b.maybeDuplicates = b.maybeDuplicates[:0]
	for row, hash := range b.hashes {
		if keys[hash] {
			b.maybeDuplicates = append(b.maybeDuplicates, row)
		}
	}
	b.closed = true
}

// Follows reports whether the rows of b with keys of the batch that was filled before it are known. It is asked when both are
// full. Without it nothing of b may be merged before that one is committed.
func (b *Batch) Follows(before Filled) bool {
	return !before.incomplete && before.generation == b.generation
}

// Filled is what remains to be known of a batch that may have been reset.
type Filled struct {
	generation int
	incomplete bool
}

// Filled describes the rows of the batch for [Batch.Follows].
func (b *Batch) Filled() Filled { return Filled{b.generation, b.incomplete} }

// mergesApart reports whether staged rows [from, end) without their possible duplicates can be merged by one plain statement.
func (r *run) mergesApart(from, end int) bool {
	return r.w.sql.mergePlain != "" && r.b.keys != nil && !r.b.incomplete && r.b.window == 0 && !r.apart && len(r.res.Rejected) == 0 &&
		100*len(r.b.duplicatesIn(from, end)) <= r.w.maxDuplicates*(end-from)
}

// mergePlain merges the staged rows [from, end) that are no possible duplicates.
func (r *run) mergePlain(ctx context.Context, from, end int, maybeDuplicates []int) (Result, error) {
	rows, _, err := r.query(ctx, r.w.sql.mergePlain, strconv.Itoa(from), strconv.Itoa(end), array(maybeDuplicates))
	if err != nil {
		return Result{}, err
	}
	inserted, err := strconv.ParseInt(string(rows[0][0]), 10, 64)
	if err != nil {
		return Result{}, fmt.Errorf("count of inserted rows: %w", err)
	}
	written, err := strconv.ParseInt(string(rows[0][1]), 10, 64)
	if err != nil {
		return Result{}, fmt.Errorf("count of written rows: %w", err)
	}
	return Result{Inserted: inserted, Updated: written - inserted, Unchanged: int64(end-from-len(maybeDuplicates)) - written}, nil
}

// mergeDuplicates merges the staged possible duplicates when the other rows are in. If not all can be dealt with, done is false.
func (r *run) mergeDuplicates(ctx context.Context, from, end int, maybeDuplicates []int) (done bool, err error) {
	if len(maybeDuplicates) == 0 {
		return true, nil
	}
	if _, _, err := r.query(ctx, r.w.sql.dropPlain, array(maybeDuplicates)); err != nil {
		return false, err
	}
	late := &run{w: r.w, b: r.b, conn: r.conn, budget: r.budget, apart: true}
	m := newMerge(late, from, end)
	for row := from; row < end; row++ {
		m.dead[row-from] = true
	}
	for _, row := range maybeDuplicates {
		m.dead[row-from] = false
	}
	if err := m.isolate(ctx); err != nil || m.pos < end {
		return false, err
	}
	late.res.Rejected = m.rejected
	r.budget = late.budget
	r.res.add(late.res)
	return true, nil
}

// mergeApart merges staged rows, the possible duplicates last. If the outcome would not be that of the rows one by one, done is false
// and nothing has happened.
func (r *run) mergeApart(ctx context.Context, from, end int) (done bool, err error) {
	before := r.res
	if err := r.exec(ctx, "SAVEPOINT tidemill_apart"); err != nil {
		return false, err
	}
	r.budget--
	maybeDuplicates := r.b.duplicatesIn(from, end)
	res, err := r.mergePlain(ctx, from, end, maybeDuplicates)
	if err == nil {
		r.res.add(res)
		done, err = r.mergeDuplicates(ctx, from, end, maybeDuplicates)
	}
	var fault *pgconn.PgError
	if err != nil && (!errors.As(err, &fault) || !rowFault(fault)) {
		return false, err
	}
	if err == nil && done {
		return true, r.exec(ctx, "RELEASE SAVEPOINT tidemill_apart")
	}
	r.res = before
	return false, r.exec(ctx, "ROLLBACK TO SAVEPOINT tidemill_apart; RELEASE SAVEPOINT tidemill_apart")
}

// array is rows as PostgreSQL reads them.
func array(rows []int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, row := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(row))
	}
	b.WriteByte('}')
	return b.String()
}
