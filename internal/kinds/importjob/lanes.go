package importjob

import (
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/workers/kind"
)

// A chunk is written by one of several lanes. Those that are not at the head of the line begin theirs in a transaction that
// is committed only after the chunks in front: what is in the table is at all times the outcome of the file up to the
// cursor, whatever the number of writers.

func (im *importRun) pipeline(ctx context.Context) error {
	lanes, err := im.lanes()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	chunks, err := im.parse(ctx, group, len(lanes)+1)
	if err != nil {
		return err
	}
	defer chunks.stream.Close()
	for _, lane := range lanes {
		group.Go(func() error {
			for chunk := range chunks.full {
				if err := lane.write(ctx, chunk); err != nil {
					return err
				}
				close(chunk.through)
				chunks.free <- chunk
			}
			return nil
		})
	}
	return group.Wait()
}

// importLane writes one chunk at a time.
type importLane struct {
	*importRun
	writer *bulk.Writer
	staged *atomic.Bool // of all lanes; see bulk.Writer.Staged
	// rest is how many chunks are not begun ahead of their turn, because that came to nothing lately.
	rest, pause int
}

func (im *importRun) lanes() ([]*importLane, error) {
	staged := &atomic.Bool{}
	staged.Store(im.writer.Staged())
	lanes := []*importLane{{importRun: im, writer: im.writer, staged: staged}}
	for len(lanes) < im.def.Writers {
		writer, err := bulk.NewWriter(im.table, im.plan.spec)
		if err != nil {
			return nil, err
		}
		lanes = append(lanes, &importLane{importRun: im, writer: writer, staged: staged})
	}
	return lanes, nil
}

func (l *importLane) write(ctx context.Context, chunk *importChunk) error {
	l.writer.SetStaged(l.staged.Load())
	ahead, begun := l.begin(ctx, chunk)
	defer ahead.Release(ctx) // unless it is committed
	if ahead != nil && !ahead.Await(ctx, chunk.turn) {
		ahead = nil
		l.failed()
	}
	select {
	case <-chunk.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	l.writer.SetStaged(l.staged.Load())
	defer func() { l.staged.Store(l.writer.Staged()) }()
	return l.commit(ctx, chunk, ahead, begun)
}

// begin writes what it can of a chunk before its turn. Nothing is lost where it cannot.
func (l *importLane) begin(ctx context.Context, chunk *importChunk) (*batch.Ahead, *bulk.Ahead) {
	select {
	case <-chunk.turn:
		return nil, nil
	default:
	}
	if l.rest > 0 {
		l.rest--
		return nil, nil
	}
	var begun *bulk.Ahead
	ahead, err := l.run.Ahead(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		begun, err = l.writer.Begin(ctx, tx, chunk.batch, chunk.follows)
		return err
	})
	if err != nil {
		l.failed()
		return nil, nil
	}
	l.pause = 0
	return ahead, begun
}

// failed makes the lane wait for its turn more and more often.
func (l *importLane) failed() {
	const longest = 32
	l.pause = min(2*l.pause+1, longest)
	l.rest = l.pause
}

// commit writes a parsed chunk in its turn, in several transactions if the table refuses so many rows that one would hold
// too many savepoints.
func (l *importLane) commit(ctx context.Context, chunk *importChunk, ahead *batch.Ahead, begun *bulk.Ahead) error {
	for row, rejected := 0, 0; ; {
		var part importPart
		step := func(ctx context.Context, tx pgx.Tx, result bulk.Result) (batch.Step, error) {
			part = chunk.part(l.cursor, row, rejected, result)
			part.cursor.Staged, part.cursor.Form, part.cursor.Version = l.writer.Staged(), l.form, l.version
			if err := l.run.Reject(ctx, tx, part.rejects); err != nil {
				return batch.Step{}, err
			}
			step := batch.Step{Cursor: part.cursor, Counters: part.counters, Done: l.progress(chunk, part) - l.run.Done()}
			total := l.run.Counters().Plus(part.counters)
			if part.end && chunk.last && l.overLimit(total) == nil {
				step.Finish = &batch.Finish{Result: l.result(total, part.cursor)}
			}
			return step, nil
		}
		rest := func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
			result, err := l.writer.Complete(ctx, begun)
			if err != nil {
				return batch.Step{}, err
			}
			return step(ctx, tx, result)
		}
		whole := func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
			result, err := l.writer.Write(ctx, tx, chunk.batch, row)
			if err != nil {
				return batch.Step{}, configError(err)
			}
			return step(ctx, tx, result)
		}
		err := l.run.ChunkAhead(ctx, ahead, rest, whole)
		ahead = nil
		if err == nil || kind.IsStop(err) {
			l.cursor = part.cursor
			if l.opts.OnChunk != nil {
				l.opts.OnChunk(l.args.Job, part.counters)
			}
			if limit := l.overLimit(l.run.Counters()); limit != nil {
				return limit
			}
		}
		if err != nil {
			return err
		}
		if part.end {
			return nil
		}
		row, rejected = part.nextRow, part.nextReject
	}
}
