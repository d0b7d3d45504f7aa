package textin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

const (
	latinText    = "nom;ville\r\nHélène;Orléans\r\nJosé;A Coruña\r\n"
	japaneseText = "氏名,住所\r\n髙橋 太郎,東京都千代田区①\r\nﾀﾅｶ ﾊﾅｺ,\"大阪府\r\n堺市～ー表ソ能\"\r\n"
	anyText      = "\ufeffid,名前,emoji\n1,田中 é,😀\n2,Ωmega,\U0001F468\u200d👩\n"
)

func TestEveryEncodingAndCompressionFromEveryOffset(t *testing.T) {
	t.Parallel()

	texts := map[Encoding]string{
		UTF8: anyText, UTF16LE: anyText, UTF16BE: anyText, Latin1: latinText, Windows1252: latinText + "“quoted” – 5 €\n",
		ShiftJIS: japaneseText, EUCJP: strings.ReplaceAll(japaneseText, "～", "〜"),
	}
	for e, want := range texts {
		encoded := []byte(nil)
		if e == EUCJP {
			want = strings.NewReplacer("〜", "").Replace(want)
		}
		encoded = encode(t, e, want)
		half := len(encoded) / 3
		files := map[string]struct {
			data []byte
			c    Compression
		}{
			"plain":           {encoded, None},
			"gzip":            {gzipped(t, encoded), Gzip},
			"gzip members":    {slices.Concat(gzipped(t, encoded[:half]), gzipped(t, nil), gzipped(t, encoded[half:])), Gzip},
			"gzip and zeros":  {append(gzipped(t, encoded), make([]byte, 512)...), Gzip},
			"zstd":            {zstded(t, encoded), Zstd},
			"zstd frames":     {slices.Concat(zstded(t, encoded[:half]), zstded(t, encoded[half:])), Zstd},
			"zstd skip frame": {slices.Concat([]byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc"), zstded(t, encoded)), Zstd},
		}
		for name, file := range files {
			t.Run(fmt.Sprintf("%s/%s", e, name), func(t *testing.T) {
				t.Parallel()
				if got := sniff(file.data); got != file.c {
					t.Errorf("taken for %s", got)
				}
				for offset := range len(want) + 1 {
					got, err := text(t, file.data, Format{file.c, e}, int64(offset))
					if err != nil || got != want[offset:] {
						t.Fatalf("from byte %d: %q, %v; want %q", offset, got, err, want[offset:])
					}
				}
				if e == UTF8 && file.c == None {
					return // a seek after the end reads nothing
				}
				if _, err := text(t, file.data, Format{file.c, e}, int64(len(want)+1)); err == nil || !strings.Contains(err.Error(), "it has only") {
					t.Errorf("after the end: %v", err)
				}
			})
		}
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()

	lines := strings.Repeat("1,a@example.com,some text to compress\n", 20_000)
	var numbers strings.Builder
	for i := range 20_000 {
		fmt.Fprintln(&numbers, i*7919%20_011)
	}
	lines += numbers.String()
	gz, zs := gzipped(t, []byte(lines)), zstded(t, []byte(lines))
	flipped := bytes.Clone(gz)
	flipped[len(flipped)-6] ^= 1 // the checksum
	var wide bytes.Buffer
	w, err := zstd.NewWriter(&wide, zstd.WithWindowSize(16<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Flush(), w.Close()); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name string
		data []byte
		c    Compression
		want Damage
		all  bool // all of the text comes first
		in   string
	}{
		{"gzip cut", gz[:len(gz)/2], Gzip, Truncated, false, "ends in the middle"},
		{"gzip cut in its trailer", gz[:len(gz)-3], Gzip, Truncated, true, "cut off"},
		{"gzip cut in the second member", slices.Concat(gz, gz[:5]), Gzip, Truncated, true, "cut off"},
		{"gzip checksum", flipped, Gzip, Corrupt, true, "checksum"},
		{"gzip and garbage", slices.Concat(gz, []byte("garbage")), Gzip, Trailing, true, "follows"},
		{"gzip and one byte", slices.Concat(gz, []byte("\x1f")), Gzip, Trailing, true, "follows"},
		{"no gzip", []byte("id,name\n1,John\n"), Gzip, Corrupt, false, "damaged"},
		{"empty gzip", nil, Gzip, Truncated, false, "byte 0"},
		{"zstd cut", zs[:len(zs)/2], Zstd, Truncated, false, "ends in the middle"},
		{"zstd and garbage", slices.Concat(zs, []byte("garbage here")), Zstd, Trailing, true, "follows"},
		{"no zstd", []byte("id,name\n"), Zstd, Corrupt, false, "damaged"},
		{"zstd window", wide.Bytes(), Zstd, TooWide, false, "--long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := text(t, tt.data, Format{tt.c, UTF8}, 0)
			var damage *DamageError
			if !errors.As(err, &damage) || damage.Damage != tt.want || !strings.Contains(err.Error(), tt.in) {
				t.Errorf("error %v, want %s with %q", err, tt.want, tt.in)
			}
			if !strings.HasPrefix(lines, got) || tt.all && got != lines {
				t.Errorf("%d of %d bytes of text", len(got), len(lines))
			}
			if strings.HasSuffix(tt.name, " cut") && len(got) < len(lines)/4 {
				t.Errorf("only %d of %d bytes before the cut", len(got), len(lines))
			}
		})
	}
}

// TestSourceErrorIsNoDamage: a connection that breaks must be tried again, not blamed on the file.
func TestSourceErrorIsNoDamage(t *testing.T) {
	t.Parallel()

	data := []byte(strings.Repeat("1,a@example.com\n", 10_000))
	for f, file := range map[Format][]byte{
		{Gzip, UTF8}: gzipped(t, data), {Zstd, UTF8}: zstded(t, data), {None, UTF8}: data, {None, ShiftJIS}: data, {Gzip, UTF16LE}: gzipped(t, data),
	} {
		for _, broken := range []error{errors.New("line is down"), io.ErrUnexpectedEOF} {
			s, err := Open(func(int64) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(bytes.NewReader(file[:len(file)/2]), iotest.ErrReader(broken))), nil
			}, f, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(s)
			var damage *DamageError
			if !errors.Is(err, broken) || errors.As(err, &damage) {
				t.Errorf("%v: error %v, want %v", f, err, broken)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()

	down := errors.New("no such file")
	src := &source{data: []byte("a")}
	for name, open := range map[string]func() error{
		"unknown":  func() error { _, err := Open(src.at, Format{"bzip2", UTF8}, 0); return err },
		"auto":     func() error { _, err := Open(src.at, Format{None, AutoEncoding}, 0); return err },
		"negative": func() error { _, err := Open(src.at, Format{None, UTF8}, -1); return err },
		"source": func() error {
			_, err := Open(func(int64) (io.ReadCloser, error) { return nil, down }, Format{None, UTF8}, 0)
			if !errors.Is(err, down) {
				t.Errorf("error %v", err)
			}
			return err
		},
		"look at another": func() error { _, err := Look(src.at, Format{Compression: Gzip}); return err },
		"look unknown":    func() error { _, err := Look(src.at, Format{Encoding: "klingon"}); return err },
	} {
		if err := open(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if src.open != 0 {
		t.Errorf("%d sources were not closed", src.open)
	}
}

func TestConsumed(t *testing.T) {
	t.Parallel()

	data := gzipped(t, []byte(strings.Repeat("1,a@example.com\n", 10_000)))
	src := &source{data: data}
	s, err := Open(src.at, Format{Gzip, UTF8}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.Consumed() != 0 {
		t.Errorf("%d bytes before any", s.Consumed())
	}
	if _, err := io.Copy(io.Discard, s); err != nil {
		t.Fatal(err)
	}
	if s.Consumed() != int64(len(data)) {
		t.Errorf("%d bytes, want %d", s.Consumed(), len(data))
	}
	plain, err := Open(src.at, Format{None, UTF8}, 7)
	if err != nil || plain.Consumed() != 7 || plain.Format().Encoding != UTF8 {
		t.Errorf("%d bytes of a plain stream from 7, %v", plain.Consumed(), err)
	}
}

// TestMemoryIsBounded reads much text out of a small file.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()

	block := gzipped(t, encode(t, UTF16LE, strings.Repeat("x", 2<<20)))
	file := bytes.Repeat(block, 4)
	s, err := Open(func(int64) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }, Format{Gzip, UTF16LE}, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, s)
	if err != nil || n != 8<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	d := s.decoded.(*decodeReader)
	if cap(d.src) > encodedBuffer || cap(d.out) > 8*encodedBuffer {
		t.Errorf("buffers of %d and %d bytes", cap(d.src), cap(d.out))
	}
}
