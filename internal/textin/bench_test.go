package textin

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func BenchmarkStream(b *testing.B) {
	text := strings.Repeat(customers, 8<<20/len(customers))
	latin := strings.Repeat(french, 8<<20/len(french))
	for name, f := range map[string]struct {
		Format
		data []byte
	}{
		"utf-8":        {Format{None, UTF8}, []byte(text)},
		"shift_jis":    {Format{None, ShiftJIS}, encode(b, ShiftJIS, text)},
		"euc-jp":       {Format{None, EUCJP}, encode(b, EUCJP, text)},
		"utf-16le":     {Format{None, UTF16LE}, encode(b, UTF16LE, text)},
		"windows-1252": {Format{None, Windows1252}, encode(b, Windows1252, latin)},
		"gzip":         {Format{Gzip, UTF8}, gzipped(b, []byte(text))},
		"zstd":         {Format{Zstd, UTF8}, zstded(b, []byte(text))},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			buf := make([]byte, 128<<10)
			for b.Loop() {
				s, err := Open(func(int64) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f.data)), nil }, f.Format, 0)
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = s.Read(buf)
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
