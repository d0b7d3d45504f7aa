package importjob

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/tidemill/tidemill/workers/kind"
)

// fileDigest is how far the file of a run is digested: At bytes, never more than the cursor has. It goes over from one attempt
// to the next, so that what all of them have read together is held against the digest that the run was started with.
type fileDigest struct {
	At    int64  `json:"at"`
	State []byte `json:"state"`
}

// wholeReader has an end where the file that the run was started for has one, and only if it has read that file. Whatever
// else a reader may end with, a file that was cut off, written over or added to, is an error.
type wholeReader struct {
	io.ReadCloser
	size    int64
	sha256  string // in hexadecimal; "": not known
	differs func(how string) error

	at     int64
	hash   hash.Hash // over what was read, last not counted
	follow bool      // somebody asks for states in between
	last   []byte    // what was read last, and is not digested yet; empty unless follow
	passed int64     // the end of the last record, as far as the scanner has told
	saved  *fileDigest
}

// whole opens the file from offset on. What is before that was read by another attempt and is in from; without it it is read
// again.
func (im *importRun) whole(ctx context.Context, offset int64, from *fileDigest) (*wholeReader, error) {
	r := &wholeReader{size: im.args.Size, sha256: im.args.SHA256, differs: im.object.differs}
	if from != nil && from.At <= offset {
		r.at = from.At
	} else {
		from = &fileDigest{}
	}
	var err error
	if r.hash, err = kind.DigestFrom(from.State); err != nil {
		return nil, err
	}
	if r.ReadCloser, err = im.object.open(ctx, r.at); err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, offset-r.at); err != nil {
		if errors.Is(err, io.EOF) {
			err = r.differs(fmt.Sprintf("it has %d bytes, and the run has read %d", r.at, offset))
		}
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// mostRead bounds what is kept beside the scanner's own buffer, which grows with a record.
const mostRead = 256 << 10

func (r *wholeReader) Read(p []byte) (int, error) {
	p = p[:min(len(p), mostRead)]
	n, err := r.ReadCloser.Read(p)
	if err := r.digest(p[:n]); err != nil {
		return 0, err
	}
	r.at += int64(n)
	if r.at > r.size {
		return 0, r.differs(fmt.Sprintf("it has more than the %d bytes that it had", r.size))
	}
	if errors.Is(err, io.EOF) {
		err = r.end()
	}
	return n, err
}

// digest leaves what was read last to the next time: the records that end in it are not known yet.
func (r *wholeReader) digest(p []byte) error {
	if !r.follow {
		r.hash.Write(p)
		return nil
	}
	if len(p) == 0 {
		return nil
	}
	if err := r.save(r.passed); err != nil {
		return err
	}
	r.hash.Write(r.last)
	r.last = append(r.last[:0], p...)
	return nil
}

// save keeps the state at offset, if that is in what was read last.
func (r *wholeReader) save(offset int64) error {
	digested := r.at - int64(len(r.last))
	if offset < digested || offset > r.at {
		return nil
	}
	n := offset - digested
	r.hash.Write(r.last[:n])
	r.last = append(r.last[:0], r.last[n:]...)
	state, err := kind.DigestState(r.hash)
	r.saved = &fileDigest{At: offset, State: state}
	return err
}

// end is io.EOF, or why this is not the end of the file.
func (r *wholeReader) end() error {
	if r.at < r.size {
		return r.differs(fmt.Sprintf("it ends after %d bytes, but had %d", r.at, r.size))
	}
	all, err := r.hash.(hash.Cloner).Clone() // states before the end may still be asked for
	if err != nil {
		return fmt.Errorf("keep the digest: %w", err)
	}
	all.Write(r.last)
	if got := hex.EncodeToString(all.Sum(nil)); r.sha256 != "" && got != r.sha256 {
		return r.differs(fmt.Sprintf("its SHA-256 is %s, but was %s", got, r.sha256))
	}
	return io.EOF
}

// upTo is the state of the digest at the end of the record that passed was set for last, or the one before if the reader
// does not follow.
func (r *wholeReader) upTo(offset int64, before *fileDigest) (*fileDigest, error) {
	if r == nil || !r.follow {
		return before, nil
	}
	if err := r.save(offset); err != nil {
		return nil, err
	}
	if r.saved == nil || r.saved.At != offset {
		return before, nil
	}
	return r.saved, nil
}

// verify reads the whole file, because something speaks for its being another one.
func (im *importRun) verify(ctx context.Context) error {
	r, err := im.whole(ctx, 0, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyBuffer(io.Discard, contextReader{ctx, r}, make([]byte, 256<<10))
	return err
}

type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}
