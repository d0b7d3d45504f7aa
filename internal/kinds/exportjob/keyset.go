package exportjob

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// keysetRead is an export by key under way.
type keysetRead struct {
	*exportRun
	reader *exportReader
	shape  string // of the columns, which stay the same to the end; empty: not known yet
}

// keyset reads part by part in key order, up to the key that was the last one at the beginning. The next part is read while
// the one before it is made durable and committed.
func (e *exportRun) keyset(ctx context.Context, found bool) error {
	k := &keysetRead{exportRun: e, shape: e.cursor.Shape}
	defer func() {
		if k.reader != nil {
			statement.CloseSession(ctx, k.reader.conn)
		}
	}()
	var rows int64
	err := k.try(ctx, func() (err error) {
		if !found {
			rows, err = k.begin(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	parts := make(chan *keysetPart)
	next := e.cursor // the committing goroutine has its own
	group.Go(func() error {
		defer close(parts)
		return k.read(ctx, next, parts)
	})
	group.Go(func() error {
		if !found {
			if err := e.estimate(ctx, rows); err != nil {
				return err
			}
		}
		return k.store(ctx, parts)
	})
	return group.Wait()
}

// try repeats fn while the database is away or asks for it, each time with an open session.
func (k *keysetRead) try(ctx context.Context, fn func() error) error {
	return k.transient(ctx, func() error {
		if k.reader == nil || k.reader.conn.IsClosed() {
			if err := k.connect(ctx); err != nil {
				return err
			}
		}
		return fn()
	})
}

func (k *keysetRead) connect(ctx context.Context) error {
	conn, err := k.session(ctx)
	if err != nil {
		return err
	}
	reader, err := k.open(ctx, conn)
	if err != nil {
		statement.CloseSession(ctx, conn)
		return err
	}
	k.reader = reader
	return nil
}

func (k *keysetRead) open(ctx context.Context, conn *pgx.Conn) (*exportReader, error) {
	plan, err := planExport(ctx, conn, k.ex, k.params)
	if err != nil {
		return nil, err
	}
	shape := plan.shape()
	if k.shape != "" && k.shape != shape {
		return nil, retry.Permanent(errors.New("the columns have changed since this run began; start the export again"))
	}
	k.shape = shape
	return k.exportRun.reader(conn, plan)
}

// begin fixes the upper end, so that the walk ends however fast rows are added, and guesses how many rows there are.
func (k *keysetRead) begin(ctx context.Context) (rows int64, err error) {
	plan, conn := k.reader.plan, k.reader.conn
	k.cursor.Shape = k.shape
	if k.cursor.Until, err = plan.walk.Last(ctx, conn); err != nil {
		return 0, err
	}
	if k.cursor.Until != nil {
		if err := plan.walk.CheckNull(ctx, conn, nil); err != nil {
			return 0, err
		}
	}
	return plan.expected(ctx, conn)
}

// read hands over the parts from next on.
func (k *keysetRead) read(ctx context.Context, next exportCursor, parts chan<- *keysetPart) error {
	for last := false; !last; {
		var part *keysetPart
		err := k.try(ctx, func() error {
			// From its state, for a try that failed has digested some rows.
			whole, err := kind.DigestFrom(next.Whole)
			if err != nil {
				return err
			}
			part, err = k.reader.readKeyset(ctx, next.Parts+1, next.Span, whole)
			return err
		})
		if err != nil {
			return err
		}
		last = part.after == nil
		next.Parts, next.After, next.Whole = next.Parts+1, part.after, part.whole
		select {
		case parts <- part:
		case <-ctx.Done():
			part.object.Abort()
			return context.Cause(ctx)
		}
	}
	return nil
}

// store makes parts durable and commits them.
func (k *keysetRead) store(ctx context.Context, parts <-chan *keysetPart) error {
	for part := range parts {
		if err := part.exportPart.store(); err != nil {
			return err
		}
		next := k.cursor
		next.Parts, next.After, next.Whole = next.Parts+1, part.after, part.whole
		next.Bytes += part.Bytes
		next.Defused += part.defused
		next.Complete = part.after == nil
		if err := k.commit(ctx, part.exportPart, next); err != nil {
			return err
		}
	}
	return nil
}
