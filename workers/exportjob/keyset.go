package exportjob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

func sameKey(a, b []string) bool { return slices.Equal(a, b) }

func (p *exportPlan) notUnique() error {
	names := make([]string, len(p.key))
	for i, k := range p.key {
		names[i] = p.columns[k].Name
	}
	return retry.Permanent(fmt.Errorf("order_by %s is not unique: rows with the same key could be lost between two parts; add a column that makes it so",
		strings.Join(names, ", ")))
}

// oneRow fails if several rows have the key with which a part ends. Keys may be equal in different forms, as 1.0 and 1.00 are. Of
// a table an index says so.
func (p *exportPlan) oneRow(ctx context.Context, conn *pgx.Conn, key []string) error {
	if p.ex.Query == "" {
		return nil
	}
	var several bool
	err := conn.QueryRow(ctx, "SELECT count(*) > 1 FROM (SELECT FROM "+p.from()+" WHERE "+p.bound("=", key)+" LIMIT 2) two").Scan(&several)
	switch {
	case err != nil:
		return fmt.Errorf("look for rows with the same key: %w", err)
	case several:
		return p.notUnique()
	}
	return nil
}

// keyset reads part by part in key order, up to the key that was the last one at the beginning. The next part is read while
// the one before it is made durable and committed.
func (e *exportRun) keyset(ctx context.Context, found bool) error {
	var reader *exportReader
	defer func() {
		if reader != nil {
			statement.CloseSession(ctx, reader.conn)
		}
	}()
	connect := func() error {
		conn, err := e.session(ctx)
		if err != nil {
			return err
		}
		plan, err := planExport(ctx, conn, e.ex, e.params)
		if err == nil {
			reader, err = e.reader(conn, plan)
		}
		if err != nil {
			statement.CloseSession(ctx, conn)
		}
		return err
	}
	if err := e.transient(ctx, connect); err != nil {
		return err
	}
	shape := reader.plan.shape()
	rows := int64(-1)
	if !found {
		var err error
		if rows, err = e.beginKeyset(ctx, reader); err != nil {
			return err
		}
	} else if e.cursor.Shape != shape {
		return retry.Permanent(errors.New("the columns have changed since this run began; start the export again"))
	}

	group, ctx := errgroup.WithContext(ctx)
	parts := make(chan *keysetPart)
	group.Go(func() error {
		defer close(parts)
		next := e.cursor // the committing goroutine has its own
		for {
			var part *keysetPart
			err := e.transient(ctx, func() error {
				if reader.conn.IsClosed() {
					if err := connect(); err != nil {
						return err
					}
					if reader.plan.shape() != shape {
						return retry.Permanent(errors.New("the columns have changed since this run began; start the export again"))
					}
				}
				// From its state, for a try that failed has digested some rows.
				whole, err := kind.DigestFrom(next.Whole)
				if err != nil {
					return err
				}
				part, err = reader.readKeyset(ctx, next.Parts+1, next.After, next.Until, whole)
				return err
			})
			if err != nil {
				return err
			}
			last := part.after == nil
			next.Parts, next.After, next.Whole = next.Parts+1, part.after, part.whole
			select {
			case parts <- part:
			case <-ctx.Done():
				part.object.Abort()
				return context.Cause(ctx)
			}
			if last {
				return nil
			}
		}
	})
	group.Go(func() error {
		if rows >= 0 {
			if err := e.estimate(ctx, rows); err != nil {
				return err
			}
		}
		for part := range parts {
			if err := part.store(); err != nil {
				return err
			}
			next := e.cursor
			next.Parts, next.After, next.Whole = next.Parts+1, part.after, part.whole
			next.Bytes += part.Bytes
			next.Defused += part.defused
			next.Complete = part.after == nil
			if err := e.commit(ctx, part.exportPart, next); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// beginKeyset fixes the upper end, so that the walk ends however fast rows are added, and guesses how many rows there are.
func (e *exportRun) beginKeyset(ctx context.Context, r *exportReader) (rows int64, err error) {
	e.cursor.Shape = r.plan.shape()
	err = e.transient(ctx, func() error {
		if e.cursor.Until, err = r.plan.lastKey(ctx, r.conn); err != nil {
			return err
		}
		rows, err = r.plan.expected(ctx, r.conn)
		return err
	})
	return rows, err
}

// lastKey is the greatest key, nil if there are no rows. It fails if a key column is NULL anywhere.
func (p *exportPlan) lastKey(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	names := p.keyNames()
	texts, order, null := make([]string, len(names)), make([]string, len(names)), make([]string, 0, len(names))
	for i, name := range names {
		texts[i], order[i] = name+"::text", name+" DESC" // NULL comes first
		if i > 0 {
			null = append(null, p.isNull(i))
		}
	}
	key := make([]*string, len(names))
	targets := make([]any, len(names))
	for i := range key {
		targets[i] = &key[i]
	}
	err := conn.QueryRow(ctx, "SELECT "+strings.Join(texts, ", ")+" FROM "+p.from()+" ORDER BY "+strings.Join(order, ", ")+" LIMIT 1").Scan(targets...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the last key: %w", err)
	}
	last := make([]string, len(key))
	for i, text := range key {
		if text == nil {
			return nil, p.nullKey(i)
		}
		last[i] = *text
	}
	if p.certain || len(null) == 0 {
		return last, nil
	}
	// A NULL behind the first column hides among other rows, and no comparison ever finds it.
	var hides bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+p.from()+" WHERE "+strings.Join(null, " OR ")+")").Scan(&hides)
	if err != nil {
		return nil, fmt.Errorf("look for NULL in the key: %w", err)
	}
	if hides {
		return nil, p.nullKey(1)
	}
	return last, nil
}
