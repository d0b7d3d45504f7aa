package exportjob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/rowout"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/workers/kind"
)

// Copy copies the file of an export, part by part, and checks each. It can begin while the file is still being
// written: parts never change. It belongs to one goroutine.
type Copy struct {
	bucket *storage.Bucket
	to     kind.Target
	buffer []byte

	whole  hash.Hash
	copied []exportPart
	bytes  int64
}

// NewCopy returns a copy to the target.
func NewCopy(bucket *storage.Bucket, to kind.Target) *Copy {
	return &Copy{bucket: bucket, to: to, buffer: make([]byte, 256<<10), whole: sha256.New()}
}

// Advance copies the parts that the run has committed, as far as all that are before them in the file are committed, too.
// An error leaves the target with whole parts, or with nothing: what could not be copied now may still be copied at the end.
func (c *Copy) Advance(ctx context.Context, pool *pgxpool.Pool, schema migrations.Schema, run int64) error {
	parts, stands, err := c.committed(ctx, pool, schema, run)
	if err != nil {
		return err
	}
	if !stands {
		return c.rewind() // all that was copied is forgotten
	}
	for i := range parts {
		if !c.isNext(&parts[i]) {
			return nil
		}
		err := c.part(ctx, &parts[i])
		if errors.Is(err, storage.ErrNotFound) {
			return c.rewind() // started over since the look
		}
		if err != nil {
			return errors.Join(err, c.rewind()) // some of the part may be written
		}
	}
	return nil
}

// committed returns the parts after what was copied, in the order of the file, and whether what was copied is still valid.
func (c *Copy) committed(ctx context.Context, pool *pgxpool.Pool, schema migrations.Schema, run int64) (parts []exportPart, stands bool, err error) {
	last := exportPart{span: -1}
	if n := len(c.copied); n > 0 {
		last = c.copied[n-1]
	}
	// The last one stands for them all: a run that starts over forgets them together.
	rows, err := pool.Query(ctx, schema.SQL(`
		SELECT p.span, p.no, p.object, p.rows, p.bytes, p.crc32c, p.ends_span, $4 = '' OR EXISTS (
			SELECT FROM {tidemill}.artifact_part o WHERE o.artifact = a.id AND (o.span, o.no) = ($2, $3) AND o.object = $4)
		  FROM {tidemill}.artifact a LEFT JOIN {tidemill}.artifact_part p ON p.artifact = a.id AND (p.span, p.no) > ($2, $3)
		 WHERE a.run = $1 ORDER BY p.span, p.no`), run, last.span, last.no, last.Object)
	if err != nil {
		return nil, false, fmt.Errorf("list the parts: %w", err)
	}
	var span, no *int
	var object *string
	var rowCount, bytes, sum *int64
	var ends *bool
	stands = len(c.copied) == 0
	_, err = pgx.ForEachRow(rows, []any{&span, &no, &object, &rowCount, &bytes, &sum, &ends, &stands}, func() error {
		if span != nil {
			parts = append(parts, exportPart{Object: *object, Rows: *rowCount, Bytes: *bytes, CRC32C: crcText(uint32(*sum)), span: *span, no: *no, endsSpan: *ends})
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("list the parts: %w", err)
	}
	return parts, stands, nil
}

// isNext reports whether no part can come between what was copied and this one.
func (c *Copy) isNext(part *exportPart) bool {
	if len(c.copied) == 0 {
		return part.span == 0 && part.no == 1
	}
	last := c.copied[len(c.copied)-1]
	if last.endsSpan {
		return part.span == last.span+1 && part.no == 1
	}
	return part.span == last.span && part.no == last.no+1
}

// Finish copies what is left of the file of a run that has ended, and checks the whole. progress, if set, gets the bytes so far and those
// of the whole.
func (c *Copy) Finish(ctx context.Context, run *batch.Info, progress func(done, total int64)) error {
	result, err := ReadResult(run.Result)
	if err != nil {
		return err
	}
	m, err := ReadManifest(ctx, c.bucket, result)
	if err != nil {
		return err
	}
	return c.finish(ctx, m, progress)
}

func (c *Copy) finish(ctx context.Context, m *Manifest, progress func(done, total int64)) error {
	for i := range c.copied {
		if i >= len(m.Parts) || m.Parts[i].Object != c.copied[i].Object {
			if err := c.rewind(); err != nil {
				return err
			}
			break
		}
	}
	for i := len(c.copied); i < len(m.Parts); i++ {
		if err := c.part(ctx, &m.Parts[i]); err != nil {
			return err
		}
		if progress != nil {
			progress(c.bytes, m.Bytes)
		}
	}
	if got := hex.EncodeToString(c.whole.Sum(nil)); got != m.SHA256 || c.bytes != m.Bytes {
		return fmt.Errorf("the file has %d bytes and SHA-256 %s, and should have %d and %s; its parts were changed in the storage",
			c.bytes, got, m.Bytes, m.SHA256)
	}
	return nil
}

func (c *Copy) rewind() error {
	c.whole, c.copied, c.bytes = sha256.New(), nil, 0
	return c.to.Rewind()
}

func (c *Copy) part(ctx context.Context, part *exportPart) error {
	n, err := copyPart(ctx, c.bucket, part, io.MultiWriter(c.to, c.whole), c.buffer)
	if err != nil {
		return err
	}
	c.copied, c.bytes = append(c.copied, *part), c.bytes+n
	return nil
}

// copyPart copies a part and checks it.
func copyPart(ctx context.Context, bucket *storage.Bucket, part *exportPart, w io.Writer, buffer []byte) (int64, error) {
	r, err := bucket.Reader(ctx, part.Object, 0)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	sum := crc32.New(rowout.Castagnoli())
	n, err := io.CopyBuffer(io.MultiWriter(w, sum), onlyReader{r}, buffer)
	if err != nil {
		return n, fmt.Errorf("copy part %s: %w", part.Object, err)
	}
	if got := crcText(sum.Sum32()); n != part.Bytes || got != part.CRC32C {
		return n, fmt.Errorf("part %s has %d bytes and CRC-32C %s, and had %d and %s when it was written", part.Object, n, got, part.Bytes, part.CRC32C)
	}
	return n, nil
}

// onlyReader hides other methods, so that the copy goes through the buffer that it is given.
type onlyReader struct{ io.Reader }
