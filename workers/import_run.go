package workers

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/retry"
)

// importRun is one attempt of an import: a reader that parses ahead into one chunk while the other is written.
type importRun struct {
	args ImportArgs
	def  *config.Import
	opts ImportOpts
	run  *batch.Run

	cursor importCursor
	source *importSource
	file   fileNote
	plan   *importPlan
	writer *bulk.Writer
}

// importCursor is the place behind the last committed record. Offset counts bytes of the decoded stream.
type importCursor struct {
	Offset  int64 `json:"offset"`
	Line    int64 `json:"line"`
	Ordinal int64 `json:"ordinal"` // records before Offset, the header not counted
	Staged  bool  `json:"staged,omitempty"`
}

func (im *importRun) work(ctx context.Context) error {
	found, err := im.run.Cursor(&im.cursor)
	if err != nil {
		return retry.Permanent(err)
	}
	if err := im.overLimit(im.run.Counters()); err != nil {
		return err
	}
	first, err := im.open(ctx)
	if err != nil {
		return err
	}
	if !found {
		im.cursor = first
		if err := im.run.SetTotal(ctx, im.args.Size, "bytes"); err != nil {
			return err
		}
		if err := im.run.Note(ctx, map[string]any{fileKey: im.file}); err != nil {
			return err
		}
	}
	im.writer.SetStaged(im.cursor.Staged)
	return im.pipeline(ctx)
}

// open looks at the head of the file and at the table, and plans how the one goes into the other. It returns the place
// of the first record.
func (im *importRun) open(ctx context.Context) (importCursor, error) {
	table, err := bulk.Describe(ctx, im.opts.Pool, im.def.Table.Schema, im.def.Table.Name)
	if err != nil {
		if batch.Classify(err) == batch.Transient {
			return importCursor{}, err
		}
		return importCursor{}, retry.Permanent(err)
	}
	size, err := im.opts.Storage.Size(ctx, im.args.Object)
	if err != nil {
		return importCursor{}, permanentStorage(err)
	}
	if size != im.args.Size {
		return importCursor{}, retry.Permanent(fmt.Errorf("the stored file %s has %d bytes, but had %d when it was uploaded; upload it again",
			im.args.Object, size, im.args.Size))
	}
	im.source, err = lookAt(im.args.Name, im.def, im.sourceOf(ctx))
	if err != nil {
		return importCursor{}, err
	}
	head, err := im.headNames()
	if err != nil {
		return importCursor{}, err
	}
	im.file = im.source.note(head)
	im.plan, err = planImport(im.def, table, head)
	if err != nil {
		return importCursor{}, retry.Permanent(err)
	}
	im.plan.width = len(im.source.names)
	im.writer, err = bulk.NewWriter(table, im.plan.spec)
	if err != nil {
		return importCursor{}, retry.Permanent(err)
	}
	return im.source.first, nil
}

// headNames are the names that the plan may use: of a file of rejects without the field that says why.
func (im *importRun) headNames() ([]string, error) {
	names := im.source.names
	last := len(names) - 1
	switch {
	case im.args.RejectsOf == 0:
		return names, nil
	case im.def.Format == config.NDJSON:
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == errorField }), nil
	case im.def.Header && names[last] != errorField:
		return nil, im.source.fail("the last field of the header is %q, not %s, so this is no file of rejects", names[last], errorField)
	case last == 0:
		return names, nil
	}
	return names[:last], nil
}

// importResult is what a run that ended well says besides its counters.
func importResult(total batch.Counters) any {
	if total.Read == 0 {
		return map[string]string{"note": "the file has a header but no rows"}
	}
	return nil
}

// pipeline parses ahead by one chunk. Two buffers go round, so memory does not depend on the file.
func (im *importRun) pipeline(ctx context.Context) error {
	stream, err := im.source.text(im.cursor.Offset)
	if err != nil {
		return err
	}
	defer stream.Close()

	free, full := make(chan *importChunk, 2), make(chan *importChunk)
	for range cap(free) {
		free <- newImportChunk(im.writer)
	}
	parser := &importParser{
		records: im.source.records(stream, im.cursor, im.plan.width), stream: stream, source: im.source, ordinal: im.cursor.Ordinal,
		plan: im.plan, maxRejects: im.def.RejectLimit.Rows,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(full)
		for {
			var chunk *importChunk
			select {
			case chunk = <-free:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err := parser.fill(chunk); err != nil {
				return im.source.damaged(err)
			}
			select {
			case full <- chunk:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if chunk.last {
				return nil
			}
		}
	})
	group.Go(func() error {
		for chunk := range full {
			if err := im.write(ctx, chunk); err != nil {
				return err
			}
			free <- chunk
		}
		return nil
	})
	return group.Wait()
}

// write commits a parsed chunk, in several transactions if the table refuses so many rows that one would hold too many
// savepoints.
func (im *importRun) write(ctx context.Context, chunk *importChunk) error {
	for row, rejected := 0, 0; ; {
		var part importPart
		err := im.run.Chunk(ctx, func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
			result, err := im.writer.Write(ctx, tx, chunk.batch, row)
			if err != nil {
				return batch.Step{}, configError(err)
			}
			part = chunk.part(im.cursor, row, rejected, result)
			part.cursor.Staged = im.writer.Staged()
			if err := im.run.Reject(ctx, tx, part.rejects); err != nil {
				return batch.Step{}, err
			}
			step := batch.Step{Cursor: part.cursor, Counters: part.counters, Done: im.progress(chunk, part) - im.run.Done()}
			total := im.run.Counters().Plus(part.counters)
			if part.end && chunk.last && im.overLimit(total) == nil {
				step.Finish = &batch.Finish{Result: importResult(total)}
			}
			return step, nil
		})
		committed := err == nil || isStop(err)
		if committed {
			im.cursor = part.cursor
			if im.opts.OnChunk != nil {
				im.opts.OnChunk(im.args.Job, part.counters)
			}
			if limit := im.overLimit(im.run.Counters()); limit != nil {
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

// progress is how many bytes of the file are done: up to the cursor, or, where offsets are those of another text, up to what
// had been read when the chunk was full.
func (im *importRun) progress(chunk *importChunk, part importPart) int64 {
	switch {
	case im.source.seeks():
		return part.cursor.Offset // the header's bytes count as done too
	case !part.end:
		return im.run.Done()
	case chunk.last:
		return im.args.Size
	}
	return max(im.run.Done(), min(chunk.consumed, im.args.Size))
}

// overLimit returns a permanent error when more rows were put aside than the definition allows.
func (im *importRun) overLimit(c batch.Counters) error {
	limit := im.def.RejectLimit
	hint := fmt.Sprintf("see them with: tidemill runs rejects %d", im.run.ID())
	if c.Rejected > limit.Rows {
		return retry.Permanent(fmt.Errorf("more rows were rejected than reject_limit allows (%d); what was imported is kept; %s", limit.Rows, hint))
	}
	// A ratio means nothing over a handful of rows.
	const enough = 1000
	if limit.Ratio > 0 && c.Read >= enough && float64(c.Rejected) > limit.Ratio*float64(c.Read) {
		return retry.Permanent(fmt.Errorf("%d of %d rows were rejected, more than reject_limit allows (%g%%); what was imported is kept; %s",
			c.Rejected, c.Read, 100*limit.Ratio, hint))
	}
	return nil
}
