package textin

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	rawBuffer = 64 << 10
	// maxWindow is the window that every zstd decoder is asked to support.
	maxWindow = 8 << 20
)

// Damage is what is wrong with compressed data.
type Damage string

// The damages.
const (
	Truncated Damage = "truncated" // it ends in the middle
	Corrupt   Damage = "corrupt"   // it is not what was compressed, or no compressed data at all
	Trailing  Damage = "trailing"  // something else follows it
	TooWide   Damage = "too_wide"  // it needs more memory than is allowed
	Unlike    Damage = "unlike"    // it does not begin as data of the compression that was set do
)

// DamageError says that compressed data cannot be read further. Whatever the
// stream gave before is good. It never stands for an error of the source.
type DamageError struct {
	Compression Compression
	Damage      Damage
	Raw         int64 // bytes of the file read when it was noticed, read-ahead included
	Err         error // of the decompressor
}

func (e *DamageError) Error() string {
	switch e.Damage {
	case Truncated:
		return fmt.Sprintf("the %s data ends in the middle, near byte %d of the file: the file was cut off; what comes before is complete; transfer the file again", e.Compression, e.Raw)
	case Trailing:
		return fmt.Sprintf("something that is not %s data follows the %[1]s data, near byte %d of the file; what comes before is complete; remove it, or compress the file again", e.Compression, e.Raw)
	case Unlike:
		return fmt.Sprintf("compression: %s is set, but the file does not begin like that; %v", e.Compression, e.Err)
	case TooWide:
		return fmt.Sprintf("the zstd data needs a window of more than %d MiB; compress it again without --long and --ultra", maxWindow>>20)
	}
	return fmt.Sprintf("the %s data is damaged near byte %d of the file (%v); transfer the file again", e.Compression, e.Raw, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// sniff tells the compression by the first bytes.
func sniff(head []byte) Compression {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		return Gzip
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), isSkippable(head):
		return Zstd
	}
	return None
}

// isSkippable reports a zstd frame without data, which some writers begin with.
func isSkippable(head []byte) bool {
	return len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.HasPrefix(head[1:], []byte("\x2a\x4d\x18"))
}

// decompress returns the reader of what src holds.
func decompress(src *rawReader, c Compression) (io.ReadCloser, error) {
	switch c {
	case Gzip:
		return &gzipReader{src: src, in: bufio.NewReaderSize(src, rawBuffer)}, nil
	case Zstd:
		// One goroutine: nothing runs on when the caller stops reading.
		d, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("start zstd: %w", err)
		}
		return &zstdReader{src: src, d: d}, nil
	}
	return io.NopCloser(src), nil
}

// gzipReader reads member after member. It goes through them itself because
// zeros after the last one are padding and other bytes are worth a word.
type gzipReader struct {
	src    *rawReader
	in     *bufio.Reader
	member *gzip.Reader
	within bool // a member is open
	err    error
}

func (g *gzipReader) Read(p []byte) (int, error) {
	for g.err == nil {
		if !g.within {
			g.err = g.next()
			continue
		}
		n, err := g.member.Read(p)
		switch {
		case err == io.EOF:
			g.within = false
		case err != nil:
			g.err = g.damage(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, g.err
}

// next opens the next member; io.EOF when there is none.
func (g *gzipReader) next() error {
	if g.member == nil {
		member, err := gzip.NewReader(g.in)
		if err != nil {
			return g.damage(noEOF(err))
		}
		g.member, g.within = member, true
		member.Multistream(false)
		return nil
	}
	for {
		b, err := g.in.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			break
		}
	}
	if err := g.in.UnreadByte(); err != nil {
		return err
	}
	if head, err := g.in.Peek(2); string(head) != "\x1f\x8b" {
		if err != nil && err != io.EOF {
			return err
		}
		return &DamageError{Compression: Gzip, Damage: Trailing, Raw: g.src.count(), Err: gzip.ErrHeader}
	}
	if err := g.member.Reset(g.in); err != nil {
		return g.damage(noEOF(err))
	}
	g.member.Multistream(false)
	g.within = true
	return nil
}

func (g *gzipReader) damage(err error) error { return g.src.damage(Gzip, err) }

func (g *gzipReader) Close() error { return nil }

type zstdReader struct {
	src *rawReader
	d   *zstd.Decoder
	any bool // a frame was read
}

func (z *zstdReader) Read(p []byte) (int, error) {
	n, err := z.d.Read(p)
	z.any = z.any || n > 0
	if err == nil || err == io.EOF {
		return n, err
	}
	if z.any && errors.Is(err, zstd.ErrMagicMismatch) && z.src.failure() == nil {
		return n, &DamageError{Compression: Zstd, Damage: Trailing, Raw: z.src.count(), Err: err}
	}
	return n, z.src.damage(Zstd, err)
}

func (z *zstdReader) Close() error {
	z.d.Close()
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
