package importjob

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/internal/rowio"
	"github.com/tidemill/tidemill/internal/textin"
	"github.com/tidemill/tidemill/retry"
)

const (
	chunkRows = 50_000
	// pipelineBytes are the bytes of the chunks of one import that are written or wait to be.
	pipelineBytes = 6 << 20
	// maxRejectRaw bounds what is kept of one rejected row; a thousand of the largest allowed would be 8 GiB.
	maxRejectRaw = 256 << 10
)

// importChunk is a parsed slice of the file: rows ready to be written, and rejects that no database is needed for.
type importChunk struct {
	batch   *bulk.Batch
	rows    []importRow
	raw     []byte // of the rows, one after another, for those that the table will refuse
	rejects []batch.Reject
	kept    int          // bytes of rejects
	end     importCursor // after the last record
	before  *fileDigest  // at a place before the first record
	source  *importSource
	unused  unusedMembers // before the first record
	last    bool
	// consumed is how far the file, as it is stored, had been read.
	consumed int64
	// ready is closed when all chunks in front are committed, done when this one is.
	ready, done chan struct{}
	// follows: its rows of the keys of chunks that may not be committed yet are known.
	follows bool
}

type importRow struct {
	ordinal, offset, line int64
	raw                   int // where its bytes end in importChunk.raw
	altered               rowAltered
}

func newImportChunk(w *bulk.Writer) *importChunk { return &importChunk{batch: w.NewBatch()} }

func (c *importChunk) reset() {
	c.batch.Reset()
	c.rows, c.raw, c.rejects, c.kept, c.last = c.rows[:0], c.raw[:0], c.rejects[:0], 0, false
}

func (c *importChunk) rowRaw(i int) []byte {
	start := 0
	if i > 0 {
		start = c.rows[i-1].raw
	}
	return c.raw[start:c.rows[i].raw]
}

// importParser turns records into rows of a chunk.
type importParser struct {
	records    scanner
	stream     *textin.Stream
	source     *importSource
	broken     error // what the file ends with, to be reported when all before it is written
	file       *wholeReader
	digest     *fileDigest // after the chunk before
	ordinal    int64
	plan       *importPlan
	maxRows    int // of a chunk
	maxBytes   int
	maxRejects int64
	values     rowValues
	unused     unusedMembers // of the rows so far
}

// fill reads records until the chunk is full, the file ends, or so many are rejected that the run cannot continue.
func (p *importParser) fill(c *importChunk) error {
	c.reset()
	if p.broken != nil {
		return p.broken
	}
	c.before, c.source, c.unused = p.digest, p.source, p.unused.clone()
	if err := p.read(c); err != nil {
		return err
	}
	if len(c.rows)+len(c.rejects) == 0 {
		return nil
	}
	var err error
	p.digest, err = p.file.upTo(c.end.Offset, p.digest)
	c.end.Digest, c.end.Unused = p.digest, p.unused.clone()
	return err
}

func (p *importParser) read(c *importChunk) error {
	defer func() { c.consumed = p.stream.Consumed() }()
	for len(c.rows) < p.maxRows && c.batch.Size() < p.maxBytes && len(c.raw)+c.kept < 2*p.maxBytes && int64(len(c.rejects)) <= p.maxRejects {
		record, err := p.records.Next()
		if errors.Is(err, io.EOF) {
			c.last = true
			return nil
		}
		if err != nil && len(c.rows)+len(c.rejects) > 0 {
			p.broken = err
			return nil
		}
		if err != nil {
			return err
		}
		p.ordinal++
		p.add(c, record)
		if p.file != nil {
			p.file.passed = record.End
		}
		c.end = importCursor{Offset: record.End, Line: record.NextLine, Ordinal: p.ordinal}
	}
	return nil
}

func (p *importParser) add(c *importChunk, record *rowio.Record) {
	if record.Err != nil {
		p.reject(c, record, record.Err.Code, "", record.Err.Message)
		return
	}
	bad := p.values.read(p.plan, record.Fields)
	if bad == nil {
		bad = c.batch.Append(p.values.values)
	}
	if bad != nil {
		p.reject(c, record, bad.Code, bad.Column, bad.Message)
		return
	}
	p.unused.add(p.source, record.Others)
	c.raw = append(c.raw, record.Raw...)
	altered := p.values.altered
	altered.padded = record.Padded
	c.rows = append(c.rows, importRow{ordinal: p.ordinal, offset: record.Offset, line: record.Line, raw: len(c.raw), altered: altered})
}

func (p *importParser) reject(c *importChunk, record *rowio.Record, code, column, reason string) {
	x := cut(batch.Reject{
		Ordinal: p.ordinal, Offset: record.Offset, Line: record.Line, Raw: p.source.clean(record.Raw), Code: code, Column: column, Reason: reason,
	})
	x.Raw = bytes.Clone(x.Raw)
	c.kept += len(x.Raw)
	c.rejects = append(c.rejects, x)
}

// cut bounds what is kept of a rejected row, and says so.
func cut(x batch.Reject) batch.Reject {
	if len(x.Raw) > maxRejectRaw {
		x.Raw = x.Raw[:maxRejectRaw]
		x.Reason += fmt.Sprintf(" (only the first %d KiB of the row are kept; it begins at byte %d of the file)", maxRejectRaw>>10, x.Offset)
	}
	return x
}

// importPart is what one transaction did with a chunk, or with the part of it that one transaction could hold.
type importPart struct {
	cursor              importCursor
	counters            batch.Counters
	rejects             []batch.Reject
	end                 bool // the chunk is done
	nextRow, nextReject int
}

// part works out where a transaction that wrote rows [row, result.Next) ends, and which of the parser's rejects lie
// before that place.
func (c *importChunk) part(from importCursor, row, reject int, result bulk.Result) importPart {
	part := importPart{cursor: from, nextRow: result.Next, nextReject: len(c.rejects), end: result.Next == len(c.rows)}
	switch {
	case !part.end:
		next := c.rows[result.Next]
		part.cursor = importCursor{Offset: next.offset, Line: next.line, Ordinal: next.ordinal - 1, Digest: c.before, Unused: c.unusedBefore(result.Next)}
		for part.nextReject = reject; part.nextReject < len(c.rejects) && c.rejects[part.nextReject].Ordinal < next.ordinal; {
			part.nextReject++
		}
	case len(c.rows) > 0 || len(c.rejects) > 0:
		part.cursor = c.end
	}
	part.rejects = append(part.rejects, c.rejects[reject:part.nextReject]...)
	refused := map[int]bool{}
	for _, bad := range result.Rejected {
		refused[bad.Row] = true
		at := c.rows[bad.Row]
		part.rejects = append(part.rejects, cut(batch.Reject{
			Ordinal: at.ordinal, Offset: at.offset, Line: at.line, Raw: c.rowRaw(bad.Row),
			Code: bad.Code, Column: bad.Column, Reason: bad.Message,
		}))
	}
	part.cursor.Altered = from.Altered.plus(c.altered(row, result.Next, refused))
	part.counters = batch.Counters{
		Read:     part.cursor.Ordinal - from.Ordinal,
		Inserted: result.Inserted, Updated: result.Updated, Unchanged: result.Unchanged,
		Duplicate: result.Duplicate, Filtered: result.Filtered, Rejected: int64(len(part.rejects)),
	}
	return part
}

// unusedBefore counts the members up to a row in the middle of the chunk.
func (c *importChunk) unusedBefore(row int) unusedMembers {
	unused := c.unused.clone()
	if c.source == nil || c.source.def.Format != config.NDJSON {
		return unused
	}
	for i := range row {
		if record, err := c.source.records(bytes.NewReader(c.rowRaw(i)), importCursor{}, 0).Next(); err == nil {
			unused.add(c.source, record.Others)
		}
	}
	return unused
}

// configError keeps a table that changed under a run from being tried again and again.
func configError(err error) error {
	if batch.Classify(err) == batch.Config {
		return retry.Permanent(err)
	}
	return err
}
