package importjob

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/internal/textin"
)

// chunkLine are parsed chunks in the order of the file. Who has written one puts it back into free, so that memory does not
// depend on the file.
type chunkLine struct {
	stream     *textin.Stream // to be closed when the group has ended
	free, full chan *importChunk
	broken     error // what reading ended with; to be looked at when the group has ended
}

// parse starts to read from the cursor on, ahead of those who write, by as many chunks as there are.
func (im *importRun) parse(ctx context.Context, group *errgroup.Group, chunks int) (*chunkLine, error) {
	stream, err := im.source.text(im.cursor.Offset)
	if err != nil {
		return nil, err
	}
	im.reader.follow = im.source.seeks()
	line := &chunkLine{stream: stream, free: make(chan *importChunk, chunks), full: make(chan *importChunk)}
	for range chunks {
		line.free <- newImportChunk(im.writer)
	}
	parser := &importParser{
		records: im.source.records(stream, im.cursor, im.plan.width), stream: stream, source: im.source, ordinal: im.cursor.Ordinal,
		file: im.reader, digest: im.cursor.Digest, plan: im.plan, maxRows: im.opts.ChunkRows, maxBytes: pipelineBytes / chunks, maxRejects: im.def.RejectLimit.Rows,
		unused: im.cursor.Unused.clone(),
	}
	group.Go(func() error {
		return line.fill(ctx, parser)
	})
	return line, nil
}

func (l *chunkLine) fill(ctx context.Context, parser *importParser) error {
	defer close(l.full)
	ready := make(chan struct{})
	close(ready)                              // the first waits for none
	var before bulk.Filled                    // the chunk before
	for follows := cap(l.free); ; follows++ { // so many chunks before are followed

		var chunk *importChunk
		select {
		case chunk = <-l.free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := parser.fill(chunk); err != nil {
			l.broken = parser.source.damaged(err)
			// The end of this function ends the group, and what is before the damage is to be kept.
			for range cap(l.free) - 1 {
				select {
				case <-l.free:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return l.broken
		}
		if !chunk.batch.Follows(before) {
			follows = 0
		}
		before = chunk.batch.Filled()
		chunk.follows = follows >= cap(l.free)
		chunk.ready, chunk.done = ready, make(chan struct{})
		ready = chunk.done
		last := chunk.last
		select {
		case l.full <- chunk:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if last {
			return nil
		}
	}
}
