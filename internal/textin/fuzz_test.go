package textin

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
)

// FuzzDecode: chunks do not matter, what is broken is found by Invalid exactly
// when the text is no UTF-8, and text without a fault is what x/text reads.
func FuzzDecode(f *testing.F) {
	all := []Encoding{EUCJP, Latin1, ShiftJIS, UTF16BE, UTF16LE, Windows1252}
	for i, e := range all {
		if e != Latin1 && e != Windows1252 {
			f.Add(encode(f, e, names+halfWidth), byte(i))
		}
		f.Add([]byte("a\x8f\xb0\xa1\x81\x40\xd8\x3d\xde\x00\xff"), byte(i))
	}
	std := map[Encoding]encoding.Encoding{
		EUCJP: japanese.EUCJP, ShiftJIS: japanese.ShiftJIS,
		UTF16LE: unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), UTF16BE: unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
	}
	f.Fuzz(func(t *testing.T, data []byte, which byte) {
		e := all[int(which)%len(all)]
		whole, used := newDecoder(e).decode(nil, data, true)
		if used != len(data) {
			t.Fatalf("%s: used %d of %d bytes", e, used, len(data))
		}
		r := newDecodeReader(iotest.DataErrReader(iotest.OneByteReader(bytes.NewReader(data))), newDecoder(e))
		bytewise, err := io.ReadAll(iotest.OneByteReader(r))
		if err != nil || !bytes.Equal(bytewise, whole) {
			t.Errorf("%s: bytewise %q, %v; at once %q", e, bytewise, err, whole)
		}
		at, _ := e.Invalid(whole)
		if (at < 0) != utf8.Valid(whole) {
			t.Errorf("%s: %q: invalid at %d", e, whole, at)
		}
		if clean := e.Clean(nil, whole); !utf8.Valid(clean) {
			t.Errorf("%s: clean %q", e, clean)
		}
		if s, ok := std[e]; ok && at < 0 {
			if want, err := s.NewDecoder().Bytes(data); err != nil || !bytes.Equal(want, whole) {
				if !bytes.Contains(want, []byte("\uFFFD")) { // company characters, which x/text does not know
					t.Errorf("%s: %q, x/text has %q", e, whole, want)
				}
			}
		}
	})
}

// FuzzLook: no bytes of a head make it panic, and what it finds can be opened
// and gives the text that it showed.
func FuzzLook(f *testing.F) {
	f.Add([]byte(names))
	f.Add(encode(f, ShiftJIS, names))
	f.Add(gzipped(f, []byte(names)))
	f.Add(zstded(f, []byte(names))[:20])
	f.Add([]byte("\xff\xfe\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		open := func(offset int64) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data[offset:])), nil }
		head, err := Look(open, Format{})
		if err != nil {
			return
		}
		s, err := Open(open, head.Format, 0)
		if err != nil {
			t.Fatalf("%+v: %v", head.Detected, err)
		}
		got, _ := io.ReadAll(io.LimitReader(s, 1<<20))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if !bytes.HasPrefix(got, head.Text) {
			t.Errorf("%+v: head %q, stream %q", head.Detected, head.Text, got)
		}
	})
}
