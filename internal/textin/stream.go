package textin

import (
	"errors"
	"fmt"
	"io"
)

// Source gives the bytes of the file from an offset on. It may be called more
// than once, and each reader is closed.
type Source func(offset int64) (io.ReadCloser, error)

// Stream is the text of a file as UTF-8 (see the package about bytes that are
// none). It is not safe for concurrent use, but for [Stream.Consumed].
type Stream struct {
	format  Format
	source  io.Closer
	raw     *rawReader
	text    io.ReadCloser // decompressed
	decoded io.Reader
	offset  int64
}

// Open gives the decoded stream of a file from a decoded offset on. Both parts
// of the format must be set; [Look] finds them out. Errors of the source come
// back as they are, wrapped; an offset after the end of the text is an error.
func Open(open Source, f Format, offset int64) (*Stream, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.Compression == AutoCompression || f.Encoding == AutoEncoding {
		return nil, errors.New("open a text: compression and encoding must be known; look at the head of the file first")
	}
	if offset < 0 {
		return nil, fmt.Errorf("open a text at byte %d: an offset cannot be negative", offset)
	}
	from := int64(0)
	if f.seeks() {
		from = offset
	}
	source, err := open(from)
	if err != nil {
		return nil, err
	}
	s, err := newStream(source, f, from)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	if err := s.skip(offset - from); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newStream(source io.ReadCloser, f Format, from int64) (*Stream, error) {
	s := &Stream{format: f, source: source, raw: &rawReader{r: source}, offset: from}
	s.raw.at.Store(from)
	text, err := decompress(s.raw, f.Compression)
	if err != nil {
		return nil, err
	}
	s.text, s.decoded = text, text
	if d := newDecoder(f.Encoding); d != nil {
		s.decoded = newDecodeReader(text, d)
	}
	return s, nil
}

func (s *Stream) skip(n int64) error {
	if n == 0 {
		return nil
	}
	done, err := io.CopyN(io.Discard, s, n)
	if err == io.EOF {
		return fmt.Errorf("go to byte %d of the decoded text: it has only %d; the file is not the one that was read before, or its encoding or compression was set otherwise", n, done)
	}
	if err != nil {
		return fmt.Errorf("go to byte %d of the decoded text: %w", n, err)
	}
	return nil
}

// Read reads decoded text. Damaged compressed data is a [*DamageError], after all
// that could be read.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.decoded.Read(p)
	s.offset += int64(n)
	return n, err
}

// Offset is how many bytes of decoded text come before the next one read.
func (s *Stream) Offset() int64 { return s.offset }

// Consumed is how many bytes of the file were read or skipped, read-ahead
// included: what progress is measured by. It may be called at any time.
func (s *Stream) Consumed() int64 { return s.raw.count() }

// Format is what the stream was opened as.
func (s *Stream) Format() Format { return s.format }

// Close ends the stream and closes the source.
func (s *Stream) Close() error { return errors.Join(s.text.Close(), s.source.Close()) }
