package textin

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
)

// encode writes text as x/text does.
func encode(t testing.TB, e Encoding, text string) []byte {
	t.Helper()
	all := map[Encoding]encoding.Encoding{
		UTF8: encoding.Nop, EUCJP: japanese.EUCJP, ShiftJIS: japanese.ShiftJIS, Latin1: charmap.ISO8859_1, Windows1252: charmap.Windows1252,
		UTF16LE: unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), UTF16BE: unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
	}
	out, err := all[e].NewEncoder().Bytes([]byte(text))
	if err != nil {
		t.Fatalf("encode %q as %s: %v", text, e, err)
	}
	return out
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// source serves data one byte at a time and counts what is left open.
type source struct {
	data []byte
	open int
}

func (s *source) at(offset int64) (io.ReadCloser, error) {
	s.open++
	return &counted{Reader: iotest.OneByteReader(bytes.NewReader(s.data[min(offset, int64(len(s.data))):])), s: s}, nil
}

type counted struct {
	io.Reader
	s *source
}

func (c *counted) Close() error {
	c.s.open--
	return nil
}

// text reads the stream to its end.
func text(t testing.TB, data []byte, f Format, offset int64) (string, error) {
	t.Helper()
	src := &source{data: data}
	s, err := Open(src.at, f, offset)
	if err != nil {
		return "", err
	}
	got, err := io.ReadAll(s)
	if s.Offset() != offset+int64(len(got)) {
		t.Errorf("offset %d after %d bytes from %d", s.Offset(), len(got), offset)
	}
	if closing := s.Close(); closing != nil {
		t.Error(closing)
	}
	if src.open != 0 {
		t.Errorf("%d sources were not closed", src.open)
	}
	return string(got), err
}
