package bulk

import (
	"context"
	"fmt"
	"slices"
)

// A possible duplicate is a row whose key was perhaps appended before. Few possible duplicates are written apart from the other rows: those
// go in by a direct COPY, and the possible duplicates after them by way of staging, as if they had been there.
//
// The order of rows matters only where keys collide. A possible duplicate that finds its key taken is a duplicate of a row before
// it, for no row after it with an equal key was taken for a new one; [Batch.incomplete] says when that cannot be relied on.
// A possible duplicate that collides on another key, or with an exclusion constraint, may have met a row that comes after it: then
// all is undone and staged.

const (
	// maxDuplicates is the share of possible duplicates in percent beyond which two steps cost more than staging all rows.
	maxDuplicates = 20
	// duplicateReserve are the savepoints that are kept for the possible duplicates, enough to find two or three bad ones. If it
	// is not enough all rows are staged.
	duplicateReserve = 10
)

// look marks the row that is about to be added if it is a possible duplicate.
func (b *Batch) look(values [][]byte) {
	if b.keys == nil {
		return
	}
	if len(b.rows) == 0 {
		b.generation = b.keys.begin()
	}
	hash, known, sure := b.keys.add(values)
	if b.update {
		b.hashes = append(b.hashes, hash)
	}
	if known {
		b.maybeDuplicates = append(b.maybeDuplicates, len(b.rows))
	}
	// The generation ends under a batch only if another batch was begun before this one was full.
	b.incomplete = b.incomplete || !sure || b.generation != b.keys.generation
}

// duplicatesIn are the possible duplicates among the rows [from, end).
func (b *Batch) duplicatesIn(from, end int) []int {
	b.together()
	first, _ := slices.BinarySearch(b.maybeDuplicates, from)
	last, _ := slices.BinarySearch(b.maybeDuplicates, end)
	return b.maybeDuplicates[first:last]
}

// addRows appends rows [from, end) of another batch. Index returns their index there.
func (b *Batch) addRows(other *Batch, from, end int) {
	start := other.offset(from)
	shift := len(b.buf) - start
	b.buf = append(b.buf, other.buf[start:other.offset(end)]...)
	for i := from; i < end; i++ {
		b.rows = append(b.rows, rowEnd{other.rows[i].end + shift, i})
	}
}

// parts are buffers for the rows of a batch that are written apart.
type parts struct {
	plain, maybeDuplicates *Batch
}

func (p *parts) fill(b *Batch, from, end int, maybeDuplicates []int) *parts {
	p.plain.Reset()
	p.maybeDuplicates.Reset()
	for _, s := range maybeDuplicates {
		p.plain.addRows(b, from, s)
		p.maybeDuplicates.addRows(b, s, s+1)
		from = s + 1
	}
	p.plain.addRows(b, from, end)
	return p
}

// ownParts are made when they are first needed.
func (w *Writer) ownParts() *parts {
	if w.parts.plain == nil {
		w.parts = parts{w.bareBatch(), w.bareBatch()}
	}
	return &w.parts
}

// writeSplit writes the rows that are not possible duplicates, then the possible duplicates. If that cannot be done so that the outcome is
// that of the rows one by one, done is false and nothing has happened.
func (r *run) writeSplit(ctx context.Context, maybeDuplicates []int) (done bool, err error) {
	p := r.w.ownParts().fill(r.b, r.from, r.end, maybeDuplicates)
	if err := r.exec(ctx, "SAVEPOINT tidemill_apart"); err != nil {
		return false, err
	}
	done, err = r.bothParts(ctx, p)
	switch {
	case err != nil:
		return false, err
	case done:
		return true, r.exec(ctx, "RELEASE SAVEPOINT tidemill_apart")
	}
	return false, r.exec(ctx, "ROLLBACK TO SAVEPOINT tidemill_apart; RELEASE SAVEPOINT tidemill_apart")
}

func (r *run) bothParts(ctx context.Context, p *parts) (done bool, err error) {
	plain := &run{w: r.w, b: p.plain, conn: r.conn, budget: r.budget - 1 - duplicateReserve, end: p.plain.Len()}
	why, err := plain.copyDirect(ctx)
	if err != nil {
		return false, err
	}
	if why == stopUnclear || why == stopCollision {
		return false, nil
	}
	next := r.end
	if plain.next < plain.end {
		next = p.plain.Index(plain.next)
	}
	late := &run{w: r.w, b: p.maybeDuplicates, conn: r.conn, budget: plain.budget + duplicateReserve, apart: true}
	if late.end = len(r.b.duplicatesIn(r.from, next)); late.end > 0 {
		if err := late.stage(ctx); err != nil {
			return false, fmt.Errorf("rows of keys that came before: %w", err)
		}
		if late.next < late.end {
			return false, nil
		}
	}
	r.next, r.exhausted = next, plain.exhausted
	r.addPart(plain)
	r.addPart(late)
	return true, nil
}

// addPart adds the result for rows that were written apart.
func (r *run) addPart(part *run) {
	for i := range part.res.Rejected {
		e := &part.res.Rejected[i]
		e.Row = part.b.Index(e.Row)
	}
	r.res.add(part.res)
}

// dependsOnOrder: the fault of a row that would perhaps not be one if the row had been written in its place.
func dependsOnOrder(code string) bool { return code == codeUnique || code == codeExclusion }
