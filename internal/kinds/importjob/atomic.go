package importjob

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/batch"
)

const (
	// maxKeptRejects are the bytes of rejects that outlive the rollback of an atomic import.
	maxKeptRejects = 4 << 20
	// showEvery is how often the progress of an atomic import is shown.
	showEvery = 250 * time.Millisecond
)

var (
	errOverLimit = errors.New("over the limit")
	errNoFile    = errors.New("the file cannot be read")
)

// atomicImport is one transaction that imports a whole file.
type atomicImport struct {
	*importRun
	counters batch.Counters
	limit    error // why it ended over its limit
	broken   error // what reading the file ended with
	kept     []batch.Reject
	bytes    int
	shown    time.Time
}

// atomic imports all or nothing. Rejects are reported in either case.
func (im *importRun) atomic(ctx context.Context, first importCursor) error {
	var a *atomicImport
	err := im.run.Chunk(ctx, func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
		im.cursor = first
		im.writer.SetStaged(false)
		a = &atomicImport{importRun: im, shown: time.Now()}
		return a.all(ctx, tx)
	})
	switch {
	case err == nil && im.opts.OnChunk != nil:
		im.opts.OnChunk(im.args.Job, a.counters)
	case errors.Is(err, errOverLimit):
		if err := im.run.Chunk(ctx, a.keepRejects); err != nil {
			return err
		}
		return a.limit
	case errors.Is(err, errNoFile):
		return a.broken
	}
	return err
}

// all is called again with another transaction if the database asks for it.
func (a *atomicImport) all(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
	if err := a.run.ForgetRejects(ctx, tx); err != nil { // of an attempt before
		return batch.Step{}, err
	}
	group, ctx := errgroup.WithContext(ctx)
	chunks, err := a.parse(ctx, group, 2)
	if err != nil {
		a.broken = err
		return batch.Step{}, errNoFile
	}
	defer chunks.stream.Close()
	group.Go(func() error {
		for chunk := range chunks.full {
			if err := a.write(ctx, tx, chunk); err != nil {
				return err
			}
			chunks.free <- chunk
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		if a.broken = chunks.broken; a.broken != nil {
			return batch.Step{}, errNoFile // the end of a file is not the end of a connection, which would be waited for
		}
		return batch.Step{}, err
	}
	return batch.Step{
		Cursor: a.cursor, Counters: a.counters, Done: a.args.Size - a.run.Done(), Finish: &batch.Finish{Result: a.result(a.counters, a.cursor)},
	}, nil
}

// write does without a cursor in the ledger what a lane does with one.
func (a *atomicImport) write(ctx context.Context, tx pgx.Tx, chunk *importChunk) error {
	for row, rejected := 0, 0; ; {
		result, err := a.writer.Write(ctx, tx, chunk.batch, row)
		if err != nil {
			return configError(err)
		}
		part := chunk.part(a.cursor, row, rejected, result)
		if err := a.run.Reject(ctx, tx, part.rejects); err != nil {
			return err
		}
		a.cursor, a.counters = part.cursor, a.counters.Plus(part.counters)
		a.keep(part.rejects)
		if a.limit = a.overLimit(a.counters); a.limit != nil {
			return errOverLimit
		}
		if part.end {
			return a.show(ctx, chunk)
		}
		row, rejected = part.nextRow, part.nextReject
	}
}

func (a *atomicImport) show(ctx context.Context, chunk *importChunk) error {
	if time.Since(a.shown) < showEvery {
		return nil
	}
	a.shown = time.Now()
	return a.run.Progress(ctx, min(chunk.consumed, a.args.Size))
}

// keep remembers rejects in case the transaction will not be committed, as many as there is room for.
func (a *atomicImport) keep(rejects []batch.Reject) {
	for _, x := range rejects {
		if a.bytes += len(x.Raw); a.bytes > maxKeptRejects {
			return
		}
		x.Raw = append([]byte(nil), x.Raw...)
		a.kept = append(a.kept, x)
	}
}

// keepRejects leaves the counters alone: nothing was imported.
func (a *atomicImport) keepRejects(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
	if err := a.run.ForgetRejects(ctx, tx); err != nil {
		return batch.Step{}, err
	}
	return batch.Step{Tentative: true}, a.run.Reject(ctx, tx, a.kept)
}
