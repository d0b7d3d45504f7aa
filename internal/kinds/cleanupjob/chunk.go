package cleanupjob

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/statement"
)

// cleanupChunk is what one transaction did.
type cleanupChunk struct {
	cursor   cleanupCursor // as it is committed
	counters batch.Counters
	found    cleanupFound
	took     time.Duration // the statements and the archive
}

// smallerError asks for the same chunk again with fewer rows. It hides err from batch, which would repeat it as it is.
type smallerError struct {
	size int
	err  error
}

func (e *smallerError) Error() string { return e.err.Error() }

// isolateSize is for how few rows each that cannot be deleted is looked for by itself.
const isolateSize = 16

// chunk looks at up to size rows, deletes those that are due, and commits that with the place after them.
func (c *cleanupRun) chunk(ctx context.Context, s *cleanupStretch, size int) (*cleanupChunk, error) {
	part := &cleanupChunk{}
	put := &cleanupUploads{run: c}
	err := c.run.Chunk(ctx, func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
		put.again(ctx)
		*part = cleanupChunk{cursor: c.cursor.clone()}
		meter := &cleanupMeter{cursor: &c.cursor, next: &part.cursor}
		if err := c.settings(ctx, tx); err != nil {
			return batch.Step{}, err
		}
		err := meter.time(func() (err error) {
			part.found, err = s.walk.next(ctx, tx, s.from, s.until, size)
			return err
		})
		if err != nil {
			return batch.Step{}, fmt.Errorf("look for rows that are due: %w", err)
		}
		d := &cleanupDelete{walk: s.walk, tx: tx, meter: meter, isolate: size <= isolateSize, size: size, archive: c.archive(s.walk)}
		if err := d.all(ctx, part.found.locked); err != nil {
			return batch.Step{}, err
		}
		if err := put.file(ctx, s.walk, d.archive, &part.cursor); err != nil {
			return batch.Step{}, err
		}
		part.took = meter.took + put.took
		c.account(s, part, d)
		part.cursor.Size = c.nextSize(part, size)
		return batch.Step{Cursor: part.cursor, Counters: part.counters, Done: part.counters.Deleted}, nil
	})
	return part, err
}

// settings hold until the end of the transaction.
func (c *cleanupRun) settings(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, planSettings+`, set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true)`,
		fmt.Sprint(c.job.Spec.(*Config).StatementTimeout.Milliseconds()), fmt.Sprint(max(1, c.job.Spec.(*Config).LockTimeout.Milliseconds())))
	return err
}

// account adds what a chunk did to the counts, and moves the cursor on. What is left of rows that will be looked at again is counted then.
func (c *cleanupRun) account(s *cleanupStretch, part *cleanupChunk, d *cleanupDelete) {
	next := &part.cursor
	count := &next.Counts[s.rule]
	count.Deleted += d.deleted
	part.counters = batch.Counters{Read: d.deleted, Deleted: d.deleted}
	if d.why != "" {
		count.Why = d.why
	}
	locked := int64(len(part.found.locked))
	held := part.found.due - locked + d.blocked
	swallowed := locked - d.deleted - d.refused - d.blocked
	kept := part.found.kept + d.refused
	span := cleanupSpan{Rule: s.rule, Part: s.walk.part.oid, From: s.from, To: part.found.next}
	if s.again || !next.passOver(span, part.found.first, held+d.refused > 0, kept+swallowed > 0) {
		if kept > 0 && count.Why == "" {
			count.Why = rowsRefer
		}
		count.Kept += kept + swallowed
		count.Skipped += held
		part.counters.Read += kept + swallowed + held
		part.counters.Filtered = swallowed
		part.counters.Unchanged = kept + held
	}
	if s.again {
		next.Spans[0].From = part.found.next
		return
	}
	next.Part, next.Place = s.walk.part.oid, &part.found.next
}

// nextSize follows the time that a chunk took.
func (c *cleanupRun) nextSize(part *cleanupChunk, size int) int {
	def := c.job.Spec.(*Config)
	switch {
	case part.took > def.Target*3/2:
		return max(1, size/2)
	case part.took < def.Target/2 && part.found.full:
		return min(2*size, def.MaxBatch)
	case part.found.full:
		return size
	}
	return max(size, part.cursor.Size) // too few rows to tell
}

// cleanupMeter times the statements of one chunk.
type cleanupMeter struct {
	cursor *cleanupCursor // keeps the longest one also when the chunk is undone
	next   *cleanupCursor
	took   time.Duration
}

func (m *cleanupMeter) time(fn func() error) error {
	began := time.Now()
	err := fn()
	took := time.Since(began)
	m.took += took
	m.cursor.Longest = max(m.cursor.Longest, took)
	m.next.Longest = max(m.next.Longest, took)
	m.next.Statements++
	return err
}

// cleanupDelete deletes locked rows, as many at a time as the server allows.
type cleanupDelete struct {
	walk    *cleanupWalk
	tx      pgx.Tx
	meter   *cleanupMeter
	isolate bool
	size    int
	archive *cleanupFile // nil: none

	deleted int64
	refused int64  // the table does not let them go
	blocked int64  // they need a lock that others hold
	why     string // one of refused was
}

// all deletes the rows in one statement. If that cannot be, few rows are tried by halves; for many the chunk is to be
// made again with fewer.
func (d *cleanupDelete) all(ctx context.Context, tids []string) error {
	if len(tids) == 0 {
		return nil
	}
	if !d.isolate {
		n, err := d.remove(ctx, d.tx, tids)
		switch {
		case err == nil:
			d.count(n)
			return nil
		case errors.Is(err, errManyBytes), statement.Code(err) == statement.QueryCanceled && ctx.Err() == nil:
			return &smallerError{size: max(isolateSize, d.size/2), err: err}
		case isRefusal(err):
			return &smallerError{size: isolateSize, err: err}
		}
		return fmt.Errorf("delete: %w", err)
	}
	return d.halves(ctx, tids)
}

func (d *cleanupDelete) halves(ctx context.Context, tids []string) error {
	kept := d.archive.mark()
	var n cleanupRemoved
	err := pgx.BeginFunc(ctx, d.tx, func(tx pgx.Tx) (err error) {
		n, err = d.remove(ctx, tx, tids)
		return err
	})
	switch {
	case err == nil:
		d.count(n)
		return nil
	case errors.Is(err, errManyBytes) && d.size > 1:
		return &smallerError{size: d.size / 2, err: err}
	case ctx.Err() != nil || !isRefusal(err) && statement.Code(err) != statement.QueryCanceled:
		return fmt.Errorf("delete: %w", err)
	}
	d.archive.cut(kept)
	if len(tids) > 1 {
		if err := d.halves(ctx, tids[:len(tids)/2]); err != nil {
			return err
		}
		return d.halves(ctx, tids[len(tids)/2:])
	}
	if statement.Code(err) == lockNotAvailable {
		d.blocked++
		return nil
	}
	d.refused++
	d.why = oneLine(err.Error())
	return nil
}

// cleanupRemoved is what became of some rows.
type cleanupRemoved struct{ deleted, referred int64 }

func (d *cleanupDelete) count(n cleanupRemoved) {
	d.deleted += n.deleted
	d.refused += n.referred
	if n.referred > 0 {
		d.why = rowsRefer
	}
}

const rowsRefer = "other rows refer to them"

func (d *cleanupDelete) remove(ctx context.Context, tx pgx.Tx, tids []string) (n cleanupRemoved, err error) {
	query := "DELETE " + d.walk.from() + " WHERE " + d.walk.alias() + ".ctid = ANY ($1::text[]::tid[])"
	err = d.meter.time(func() error {
		free, err := d.walk.childless(ctx, tx, tids)
		if err != nil {
			return err
		}
		n.referred = int64(len(tids) - len(free))
		if d.archive != nil {
			n.deleted, err = d.archive.take(ctx, tx, query+" RETURNING "+d.walk.alias()+".*", free, d.size > 1)
			return err
		}
		tag, err := tx.Exec(ctx, query, free)
		n.deleted = tag.RowsAffected()
		return err
	})
	return n, err
}

const lockNotAvailable = "55P03"

// isRefusal reports whether the server refuses single rows, by a constraint, a trigger or a value that a trigger cannot handle,
// or because of a lock on what refers to them. What a trigger raises under a code of its own is about the row, too, but
// for the codes that ask for another try.
func isRefusal(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	if pg.Code == lockNotAvailable || batch.Classify(err) == batch.Row {
		return true
	}
	return pg.Routine == "exec_stmt_raise" && batch.Classify(err) != batch.Transient
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

var errNoArchive = errors.New("archive: csv needs a storage; configure storage.url")

// archive returns where the rows of a chunk are collected, nil if they are not kept.
func (c *cleanupRun) archive(walk *cleanupWalk) *cleanupFile {
	if c.job.Spec.(*Config).Archive == ArchiveNone {
		return nil
	}
	return &cleanupFile{name: walk.rule.table.Name}
}
