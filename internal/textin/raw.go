package textin

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// rawReader counts the bytes of the file and remembers how reading them ended,
// so that a broken connection is not taken for a broken file.
type rawReader struct {
	r      io.Reader
	at     atomic.Int64
	failed error // not io.EOF
}

func (r *rawReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 {
		r.at.Add(int64(n))
	}
	if err != nil && err != io.EOF {
		r.failed = err
	}
	return n, err
}

func (r *rawReader) count() int64 { return r.at.Load() }

func (r *rawReader) failure() error { return r.failed }

// damage is the error of a decompressor, or that of the source if it had one.
func (r *rawReader) damage(c Compression, err error) error {
	if r.failed != nil {
		return r.failed
	}
	e := &DamageError{Compression: c, Damage: Corrupt, Raw: r.count(), Err: err}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Damage = Truncated
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		e.Damage = TooWide
	}
	return e
}
