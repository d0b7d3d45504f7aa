package textin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// SampleSize is how much of a file [Look] reads, and how much of its text it
// decides by.
const SampleSize = 256 << 10

// Head is the beginning of a file and what it says about the rest.
type Head struct {
	Detected
	Raw   []byte // decompressed, but not decoded
	Text  []byte // decoded, about [SampleSize] at most
	Whole bool   // Text is all of the file
}

// Look reads the head of a file and finds out what want leaves open; what is set
// in want is taken as it is. Look says nothing about what the text means. What is wrong with the file is a [DamageError].
func Look(open Source, want Format) (*Head, error) {
	if err := want.check(); err != nil {
		return nil, err
	}
	raw, whole, err := readHead(open)
	if err != nil {
		return nil, err
	}
	found := sniff(raw)
	if want.Compression == AutoCompression {
		want.Compression = found
	} else if want.Compression != None && want.Compression != found && len(raw) > 0 {
		return nil, &DamageError{Compression: want.Compression, Damage: Unlike, Err: fmt.Errorf("set `compression: %s`, or leave it out", found)}
	}
	text, whole, err := expand(raw, want.Compression, whole)
	if err != nil {
		return nil, err
	}
	head := &Head{Detected: detect(text, want, whole), Whole: whole}
	head.Raw, head.Text = text, text
	if d := newDecoder(head.Encoding); d != nil {
		head.Text, _ = d.decode(nil, text, whole)
	} else if !whole {
		head.Text = text[:len(text)-partialRune(text)]
	}
	return head, nil
}

func readHead(open Source) (raw []byte, whole bool, err error) {
	source, err := open(0)
	if err != nil {
		return nil, false, err
	}
	// One byte more than is used shows whether the file ends there.
	raw, err = io.ReadAll(io.LimitReader(source, SampleSize+1))
	if err = errors.Join(err, source.Close()); err != nil {
		return nil, false, fmt.Errorf("read the head of the file: %w", err)
	}
	if len(raw) > SampleSize {
		return raw[:SampleSize], false, nil
	}
	return raw, true, nil
}

// expand decompresses the head. That its end is missing is no damage, unless
// nothing at all comes out of it.
func expand(raw []byte, c Compression, whole bool) ([]byte, bool, error) {
	if c == None || len(raw) == 0 {
		return raw, whole, nil
	}
	r, err := decompress(&rawReader{r: bytes.NewReader(raw)}, c)
	if err != nil {
		return nil, false, err
	}
	text, err := io.ReadAll(io.LimitReader(r, SampleSize+1))
	err = errors.Join(err, r.Close())
	if len(text) > SampleSize {
		return text[:SampleSize], false, nil
	}
	if err != nil && len(text) == 0 && whole {
		return nil, false, err
	}
	return text, whole && err == nil, nil
}
