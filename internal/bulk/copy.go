package bulk

import (
	"context"
	"io"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// target is where COPY goes.
type target struct {
	sql   string
	table string // name as it appears in error contexts
	// prefix appends what is before the encoded row.
	prefix func(buf []byte, row int) []byte
}

// stop says why copyRows came back.
type stop uint8

const (
	stopDone      stop = iota // all rows are dealt with
	stopBudget                // no savepoints left
	stopUnclear               // an error that does not say which row it is about
	stopCollision             // on the match key
)

// copyRows sends the rows [pos, end) and isolates the bad ones as long as the errors name them. It returns the first
// row that is not dealt with; for stopUnclear and stopCollision what is wrong lies at or after it. fault is the error
// that stopUnclear stands for.
//
// The verdict on a row holds only if all rows before it went in as they are: it may collide with one of them that turns
// out to be bad itself. So the rows before it are sent first, and if that shows another bad row the verdict is dropped.
func (r *run) copyRows(ctx context.Context, to target, pos, end int) (next int, why stop, fault *pgconn.PgError, err error) {
	limit := end                // where the next attempt ends
	var verdict *pgconn.PgError // on row limit
	for pos < end {
		if pos == limit {
			if collided, err := r.collides(ctx, to, pos, verdict); err != nil || collided {
				return pos, stopCollision, nil, err
			}
			r.res.Rejected = append(r.res.Rejected, r.w.fromServer(pos, verdict))
			pos, limit, verdict = pos+1, end, nil
			continue
		}
		if r.budget <= 0 {
			r.exhausted = true
			return pos, stopBudget, nil, nil
		}
		var copied int64
		fault, err := r.try(ctx, func() error {
			var err error
			copied, err = r.copyOnce(ctx, to, pos, limit)
			return err
		})
		if err != nil {
			return pos, stopDone, nil, err
		}
		if fault == nil {
			if to.table != stageName {
				r.res.Inserted += copied
				r.res.Filtered += int64(limit-pos) - copied
			}
			pos = limit
			continue
		}
		if to.table != stageName && r.w.isMatchFault(fault) {
			return pos, stopCollision, nil, nil
		}
		n, _, ok := copyContext(fault.Where, to.table)
		if !ok || n > limit-pos {
			return pos, stopUnclear, fault, nil
		}
		limit, verdict = pos+n-1, fault
	}
	return pos, stopDone, nil, nil
}

// collides reports whether a row that violates some other unique index or an exclusion constraint has a match key that is
// there already. Written one by one it would have met the match key first.
func (r *run) collides(ctx context.Context, to target, row int, verdict *pgconn.PgError) (bool, error) {
	if to.table == stageName || len(r.w.spec.Match) == 0 || verdict.Code != codeUnique && verdict.Code != codeExclusion {
		return false, nil
	}
	args := make([]string, 0, len(r.w.spec.Match))
	for i, match := range r.w.isMatch {
		if match {
			args = append(args, string(r.b.field(row, i)))
		}
	}
	rows, _, err := r.query(ctx, r.w.sql.keyExists, args...)
	if err != nil {
		return false, err
	}
	return string(rows[0][0]) == "t", nil
}

// copyOnce sends rows in one COPY and returns how many the server counted.
func (r *run) copyOnce(ctx context.Context, to target, from, end int) (int64, error) {
	reader := &rowReader{b: r.b, row: from, end: end, prefix: to.prefix}
	tag, err := r.conn.CopyFrom(ctx, reader, to.sql)
	reader.close()
	return tag.RowsAffected(), err
}

// rowReader streams encoded rows with a prefix each. After a fatal error of the connection the sending goroutine can
// still be about to read; close makes sure that it does not touch the batch then.
type rowReader struct {
	b        *Batch
	row, end int
	prefix   func(buf []byte, row int) []byte

	mu     sync.Mutex
	closed bool
	head   []byte // rest of the prefix of the current row
	body   []byte // rest of the current row, or of all rows without a prefix
}

func (r *rowReader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

func (r *rowReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, io.ErrClosedPipe
	}
	n := 0
	for n < len(p) {
		if len(r.head) == 0 && len(r.body) == 0 && !r.advance() {
			break
		}
		k := copy(p[n:], r.head)
		r.head = r.head[k:]
		n += k
		k = copy(p[n:], r.body)
		r.body = r.body[k:]
		n += k
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// advance loads the next row, or all of them if there is no prefix to put between.
func (r *rowReader) advance() bool {
	if r.row >= r.end {
		return false
	}
	start, stop := r.b.offset(r.row), r.row+1
	if r.prefix == nil {
		stop = r.end
	} else {
		r.head = r.prefix(r.head[:0], r.row)
	}
	r.body = r.b.buf[start:r.b.offset(stop)]
	r.row = stop
	return true
}

// ordinal is the prefix of rows for staging.
func ordinal(buf []byte, row int) []byte {
	return append(strconv.AppendInt(buf, int64(row), 10), '\t')
}
