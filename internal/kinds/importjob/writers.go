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

// Several writers write chunks at the same time, each in a transaction of its own, which is committed only after those of
// the chunks in front. So the table always has the outcome of the file up to the cursor, whatever the number of writers.

func (im *importRun) pipeline(ctx context.Context) error {
	writers, err := im.writers()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	chunks, err := im.parse(ctx, group, len(writers)+1)
	if err != nil {
		return err
	}
	defer chunks.stream.Close()
	for _, writer := range writers {
		group.Go(func() error {
			for chunk := range chunks.full {
				if err := writer.write(ctx, chunk); err != nil {
					return err
				}
				close(chunk.done)
				chunks.free <- chunk
			}
			return nil
		})
	}
	return group.Wait()
}

// chunkWriter writes one chunk at a time.
type chunkWriter struct {
	*importRun
	bulkWriter *bulk.Writer
	staged     *atomic.Bool // of all writers; see bulk.Writer.Staged
	// skip is how many chunks are not begun early, because that failed lately; pause is how many that was last.
	skip, pause int
}

func (im *importRun) writers() ([]*chunkWriter, error) {
	staged := &atomic.Bool{}
	staged.Store(im.writer.Staged())
	writers := []*chunkWriter{{importRun: im, bulkWriter: im.writer, staged: staged}}
	for len(writers) < im.def.Writers {
		bulkWriter, err := bulk.NewWriter(im.table, im.plan.spec)
		if err != nil {
			return nil, err
		}
		writers = append(writers, &chunkWriter{importRun: im, bulkWriter: bulkWriter, staged: staged})
	}
	return writers, nil
}

func (w *chunkWriter) write(ctx context.Context, chunk *importChunk) error {
	w.bulkWriter.SetStaged(w.staged.Load())
	early, begun := w.begin(ctx, chunk)
	defer early.Release(ctx) // unless it is committed
	if early != nil && !early.Await(ctx, chunk.ready) {
		early = nil
		w.failed()
	}
	select {
	case <-chunk.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	w.bulkWriter.SetStaged(w.staged.Load())
	defer func() { w.staged.Store(w.bulkWriter.Staged()) }()
	return w.commit(ctx, chunk, early, begun)
}

// begin writes what it can of a chunk before the chunks in front are committed. Nothing is lost if it cannot.
func (w *chunkWriter) begin(ctx context.Context, chunk *importChunk) (*batch.Ahead, *bulk.Ahead) {
	select {
	case <-chunk.ready:
		return nil, nil
	default:
	}
	if w.skip > 0 {
		w.skip--
		return nil, nil
	}
	var begun *bulk.Ahead
	early, err := w.run.Ahead(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		begun, err = w.bulkWriter.Begin(ctx, tx, chunk.batch, chunk.follows)
		return err
	})
	if err != nil {
		w.failed()
		return nil, nil
	}
	w.pause = 0
	return early, begun
}

// failed makes the writer begin fewer and fewer chunks early.
func (w *chunkWriter) failed() {
	const longest = 32
	w.pause = min(2*w.pause+1, longest)
	w.skip = w.pause
}

// commit writes a parsed chunk once it is ready, in several transactions if the table refuses so many rows that one would
// hold too many savepoints.
func (w *chunkWriter) commit(ctx context.Context, chunk *importChunk, early *batch.Ahead, begun *bulk.Ahead) error {
	for step := (partStep{chunkWriter: w, chunk: chunk}); ; step.row, step.rejected = step.part.nextRow, step.part.nextReject {
		complete := func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
			result, err := w.bulkWriter.Complete(ctx, begun)
			if err != nil {
				return batch.Step{}, err
			}
			return step.record(ctx, tx, result)
		}
		err := w.run.ChunkAhead(ctx, early, complete, step.write)
		early = nil
		if err == nil || kind.IsStop(err) {
			w.cursor = step.part.cursor
			if w.opts.OnChunk != nil {
				w.opts.OnChunk(w.args.Job, step.part.counters)
			}
			if limit := w.overLimit(w.run.Counters()); limit != nil {
				return limit
			}
		}
		if err != nil || step.part.end {
			return err
		}
	}
}

// partStep is the transaction of a chunk, or of a part of it. It may be repeated.
type partStep struct {
	*chunkWriter
	chunk         *importChunk
	row, rejected int        // where the part begins
	part          importPart // what it has written
}

// write writes all rows from row on.
func (s *partStep) write(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
	result, err := s.bulkWriter.Write(ctx, tx, s.chunk.batch, s.row)
	if err != nil {
		return batch.Step{}, configError(err)
	}
	return s.record(ctx, tx, result)
}

// record puts aside what the table refused, and returns the new cursor and counters.
func (s *partStep) record(ctx context.Context, tx pgx.Tx, result bulk.Result) (batch.Step, error) {
	part := s.chunk.part(s.cursor, s.row, s.rejected, result)
	part.cursor.Staged, part.cursor.Form, part.cursor.Version = s.bulkWriter.Staged(), s.form, s.version
	s.part = part
	if err := s.run.Reject(ctx, tx, part.rejects); err != nil {
		return batch.Step{}, err
	}
	step := batch.Step{Cursor: part.cursor, Counters: part.counters, Done: s.progress(s.chunk, part) - s.run.Done()}
	total := s.run.Counters().Plus(part.counters)
	if part.end && s.chunk.last && s.overLimit(total) == nil {
		step.Finish = &batch.Finish{Result: s.result(total, part.cursor)}
	}
	return step, nil
}
