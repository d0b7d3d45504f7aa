package rowout

import (
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The ways to compress a part. Parts of the same way, one after another, are one file of that way: members of gzip and
// frames of zstd may follow each other.
const (
	None = "none"
	Gzip = "gzip"
	Zstd = "zstd"
)

// flushAt is how much is gathered before it is compressed and written.
const flushAt = 128 << 10

// Part writes one part of a file: it gathers, compresses, digests and counts. What it writes depends on nothing but the
// rows. It is used again for the next part, and belongs to one goroutine.
type Part struct {
	buf      []byte
	out      digest
	compress compressor // nil: none
}

type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

type digest struct {
	to    io.Writer
	sum   uint32
	whole hash.Hash // of all parts; nil: not asked for
	bytes int64
}

// Castagnoli is the table of CRC-32C, which processors compute many times faster than a cryptographic digest.
func Castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // made once, by its documentation

func (d *digest) Write(p []byte) (int, error) {
	d.sum = crc32.Update(d.sum, Castagnoli(), p)
	if d.whole != nil {
		d.whole.Write(p)
	}
	d.bytes += int64(len(p))
	return d.to.Write(p)
}

// NewPart returns a Part that compresses in one of the ways.
func NewPart(compression string) (*Part, error) {
	p := &Part{buf: make([]byte, 0, flushAt+16<<10)}
	switch compression {
	case None:
	case Gzip:
		p.compress = gzip.NewWriter(nil)
	case Zstd:
		// One goroutine and a small window: several parts are written at once, and memory is bounded.
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		p.compress = z
	default:
		return nil, fmt.Errorf("compression %q is not known", compression)
	}
	return p, nil
}

// Begin begins a part that goes to w. whole, if not nil, digests what is written, too.
func (p *Part) Begin(w io.Writer, whole hash.Hash) {
	p.buf = p.buf[:0]
	p.out = digest{to: w, whole: whole}
	if p.compress != nil {
		p.compress.Reset(&p.out)
	}
}

// Row adds the record of a message, and reports whether the message was a row and how many of its cells were defused.
func (p *Part) Row(rows Rows, message []byte) (row bool, defused int, err error) {
	if p.buf, row, defused, err = rows.Append(p.buf, message); err != nil {
		return false, 0, err
	}
	if len(p.buf) < flushAt {
		return row, defused, nil
	}
	return row, defused, p.flush()
}

// Raw adds text as it is.
func (p *Part) Raw(text []byte) { p.buf = append(p.buf, text...) }

func (p *Part) flush() error {
	var err error
	if p.compress != nil {
		_, err = p.compress.Write(p.buf)
	} else {
		_, err = p.out.Write(p.buf)
	}
	p.buf = p.buf[:0]
	if cap(p.buf) > 8*flushAt { // one long row need not cost its memory forever
		p.buf = make([]byte, 0, flushAt+16<<10)
	}
	return err
}

// End writes what is left and returns how many bytes were written since Begin, and their CRC-32C.
func (p *Part) End() (bytes int64, sum uint32, err error) {
	if err := p.flush(); err != nil {
		return 0, 0, err
	}
	if p.compress != nil {
		if err := p.compress.Close(); err != nil {
			return 0, 0, err
		}
	}
	return p.out.bytes, p.out.sum, nil
}
