package exportjob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// snapshot reads all rows as of one instant. The rows are cut into spans of the first key column, more of them than
// sessions, which take one after the other: so it matters little if some are larger than was thought.
func (e *exportRun) snapshot(ctx context.Context, _ bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, e.ex.Timeout, retry.Permanent(fmt.Errorf(
		"the snapshot was open for its timeout of %s; give it longer, or take consistency: keyset", e.ex.Timeout)))
	defer cancel()
	first, err := e.session(ctx)
	if err != nil {
		return err
	}
	defer statement.CloseSession(ctx, first)
	var id string
	// It ends with its session; nothing is ever written in it.
	tx, err := first.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("open the snapshot: %w", err)
	}
	var asOf time.Time
	if err := tx.QueryRow(ctx, "SELECT pg_export_snapshot(), clock_timestamp()").Scan(&id, &asOf); err != nil {
		return fmt.Errorf("open the snapshot: %w", err)
	}
	e.asOf = asOf.UTC()
	plan, err := planExport(ctx, first, e.ex, e.params)
	if err != nil {
		return err
	}
	rows, err := plan.expected(ctx, first)
	if err != nil {
		return err
	}
	if err := e.estimate(ctx, rows); err != nil {
		return err
	}
	spans, err := plan.spans(ctx, tx, rows)
	if err != nil {
		return err
	}
	conns := []*pgx.Conn{first}
	for len(conns) < min(e.ex.Ranges, len(spans)) {
		conn, err := e.session(ctx)
		if err != nil {
			return err
		}
		defer statement.CloseSession(ctx, conn)
		if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT "+quoteText(id)); err != nil {
			return fmt.Errorf("share the snapshot: %w", err)
		}
		conns = append(conns, conn)
	}
	err = e.readSpans(ctx, plan, conns, spans)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// readSpans reads all spans and commits their parts as they come.
func (e *exportRun) readSpans(ctx context.Context, plan *exportPlan, conns []*pgx.Conn, spans []string) error {
	readers := make([]*exportReader, len(conns))
	for i, conn := range conns {
		var err error
		if readers[i], err = e.reader(conn, plan); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	parts := make(chan *exportPart)
	// A single reader digests the file as it writes it; of several, what they wrote is read once more, in order.
	whole := sha256.New()
	var inline hash.Hash
	var stored chan *exportPart
	if len(readers) == 1 {
		inline = whole
	} else {
		stored = make(chan *exportPart, 64)
		group.Go(func() error { return e.digestSpans(ctx, whole, stored) })
	}
	var next atomic.Int64
	var reading sync.WaitGroup
	reading.Add(len(readers))
	for _, reader := range readers {
		group.Go(func() error {
			defer reading.Done()
			for span := int(next.Add(1)) - 1; span < len(spans); span = int(next.Add(1)) - 1 {
				if err := reader.readSpan(ctx, span, spans[span], inline, parts); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(parts)
		reading.Wait()
		return nil
	})
	group.Go(func() error { return e.storeSpans(ctx, parts, stored) })
	if err := group.Wait(); err != nil {
		return err
	}
	e.cursor.Complete = true
	var err error
	e.cursor.Whole, err = kind.DigestState(whole)
	return err
}

// storeSpans makes parts durable, commits them and hands them on to whoever digests them; nil: nobody.
func (e *exportRun) storeSpans(ctx context.Context, parts <-chan *exportPart, stored chan<- *exportPart) error {
	if stored != nil {
		defer close(stored)
	}
	for part := range parts {
		if err := part.store(); err != nil {
			return err
		}
		n := e.cursor
		n.Parts++
		n.Bytes += part.Bytes
		n.Defused += part.defused
		if err := e.commit(ctx, part, n); err != nil {
			return err
		}
		if stored == nil {
			continue
		}
		select {
		case stored <- part:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// readSpan reads one span into parts of at most twice the usual number of rows, and at least one.
func (r *exportReader) readSpan(ctx context.Context, span int, condition string, whole hash.Hash, parts chan<- *exportPart) error {
	var part *exportPart
	begin := func(no int) (err error) {
		if part, err = r.run.newPart(ctx, span, no); err != nil {
			return err
		}
		r.content.Begin(part.object, whole)
		if span == 0 && no == 1 {
			r.content.Raw(r.plan.head())
		}
		return nil
	}
	hand := func(ended bool) error {
		if err := part.end(r.content); err != nil {
			return err
		}
		part.endsSpan = ended
		select {
		case parts <- part:
			return nil
		case <-ctx.Done():
			part.object.Abort()
			return context.Cause(ctx)
		}
	}
	if err := begin(1); err != nil {
		return err
	}
	most := 2 * int64(r.run.ex.Chunk)
	err := r.copyOut(ctx, r.plan.copySQL(0, condition), func(message []byte) error {
		if part.Rows == most {
			no := part.no + 1
			if err := hand(false); err != nil {
				return err
			}
			if err := begin(no); err != nil {
				return err
			}
		}
		row, defused, err := r.content.Row(r.rows, message)
		if row {
			part.Rows++
			part.defused += int64(defused)
		}
		return err
	})
	if err != nil {
		if part != nil {
			part.object.Abort()
		}
		return err
	}
	return hand(true)
}

// digestSpans reads stored parts in the order of the file.
func (e *exportRun) digestSpans(ctx context.Context, whole hash.Hash, stored <-chan *exportPart) error {
	waiting := map[int][]*exportPart{} // of spans that come later
	buffer := make([]byte, 256<<10)
	span := 0
	for part := range stored {
		waiting[part.span] = append(waiting[part.span], part)
		for len(waiting[span]) > 0 {
			p := waiting[span][0]
			waiting[span] = waiting[span][1:]
			if _, err := copyPart(ctx, e.storage, p, whole, buffer); err != nil {
				return err
			}
			if p.endsSpan {
				delete(waiting, span)
				span++
			}
		}
	}
	return ctx.Err()
}

// enoughSpans is how many a snapshot is cut into at most.
const enoughSpans = 2000

// spans cuts the rows into ranges of the first key column of about the size of a part, and returns a condition for each, in
// order; one that is empty if there is nothing to cut by.
func (p *exportPlan) spans(ctx context.Context, tx pgx.Tx, rows int64) ([]string, error) {
	count := int(min(max(rows/int64(p.ex.Chunk), int64(p.ex.Ranges)), enoughSpans))
	if len(p.key) == 0 || p.ex.Ranges == 1 || count < 2 {
		return []string{""}, nil
	}
	cuts, err := p.cuts(ctx, tx, count)
	if err != nil {
		return nil, err
	}
	if len(cuts) == 0 {
		return []string{""}, nil
	}
	first := keyset.Walk{Columns: p.walk.Columns[:1]}
	conditions := make([]string, 0, len(cuts)+2)
	var span keyset.Span
	for _, cut := range cuts {
		span.Until = []string{cut}
		conditions = append(conditions, first.Where(keyLiteral, span))
		span.After = span.Until
	}
	conditions = append(conditions, first.Where(keyLiteral, keyset.Span{After: span.After}))
	if !p.certain() {
		conditions = append(conditions, keyset.IsNull(p.walk.Names("q")[0])) // where ORDER BY has them, too
	}
	return conditions, nil
}

// cuts returns values of the first key column, each once and in order, that part its rows into about count equal ranges.
// The more even the ranges the better; right they are in any case.
func (p *exportPlan) cuts(ctx context.Context, tx pgx.Tx, count int) ([]string, error) {
	var cuts []string
	column := p.columns[p.key[0]]
	if column.table != 0 {
		// In a savepoint: a role that may read the query need not be allowed to sample the tables under it.
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) (err error) {
			cuts, err = sampleCuts(ctx, tx, column, count)
			return err
		})
		if err != nil && (ctx.Err() != nil || batch.Classify(err) == batch.Transient || tx.Conn().IsClosed()) {
			return nil, fmt.Errorf("sample the key: %w", err)
		}
		if err == nil && len(cuts) > 0 {
			return cuts, nil
		}
	}
	if !slices.Contains([]uint32{pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID}, column.oid) {
		return nil, nil
	}
	name := p.walk.Names("q")[0]
	rows, err := tx.Query(ctx, fmt.Sprintf(`
		SELECT DISTINCT ON (c.cut) c.cut::%[1]s::text FROM (
			SELECT least + floor((most - least) * i / %[2]d) AS cut
			  FROM (SELECT min(%[3]s)::numeric AS least, max(%[3]s)::numeric AS most FROM %[4]s) b, generate_series(1, %[2]d - 1) i) c
		 WHERE c.cut IS NOT NULL ORDER BY c.cut`, column.Type, count, name, p.walk.From()))
	if err == nil {
		cuts, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, fmt.Errorf("find where to cut: %w", err)
	}
	return cuts, nil
}

// sampleCuts reads the key in some hundred blocks of its table, the same ones each time.
func sampleCuts(ctx context.Context, tx pgx.Tx, column exportColumn, count int) ([]string, error) {
	var table, key string
	var blocks float64
	// The partition tree of a table that has no partitions is empty.
	err := tx.QueryRow(ctx, `
		SELECT c.oid::regclass::text, quote_ident(a.attname),
		       (SELECT coalesce(sum(pg_relation_size(t.relid)), pg_relation_size(c.oid)) / current_setting('block_size')::int FROM pg_partition_tree(c.oid) t)::float8
		  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = $2
		 WHERE c.oid = $1 AND c.relkind IN ('r', 'p', 'm')`, column.table, column.number).Scan(&table, &key, &blocks)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	const sampled = 400
	percent := 100.0
	if blocks > sampled {
		percent = 100 * sampled / blocks
	}
	shares := make([]string, 0, count-1)
	for i := 1; i < count; i++ {
		shares = append(shares, fmt.Sprintf("%g", float64(i)/float64(count)))
	}
	rows, err := tx.Query(ctx, fmt.Sprintf(`
		SELECT s.p[n]::text FROM (
			SELECT percentile_disc('{%s}'::float8[]) WITHIN GROUP (ORDER BY %[2]s) AS p FROM %[3]s TABLESAMPLE SYSTEM (%[4]g) REPEATABLE (1)) s,
			generate_subscripts(s.p, 1) n
		 WHERE s.p[n] IS NOT NULL ORDER BY n`, strings.Join(shares, ","), key, table, percent))
	if err != nil {
		return nil, err
	}
	cuts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return slices.Compact(cuts), err
}
