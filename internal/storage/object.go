package storage

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"gocloud.dev/blob"
)

// Writer writes one object, which appears whole when it is committed, or not at all.
type Writer struct {
	bucket *Bucket
	key    string
	w      *blob.Writer
	cancel context.CancelFunc
	file   *os.File // nil: the storage is no file system
	n      int64
}

// An object goes to S3 in parts of 5 MiB, the least that S3 takes and so the least memory: one part is sent while the next is
// filled, which makes 10 MiB for a writer, and 20 MiB for the moment in which the library collects the first part. S3 has at
// most 10,000 parts an object.
const (
	partSize     = 5 << 20
	maxParts     = 10_000
	maxS3Object  = partSize * maxParts
	abortTimeout = 10 * time.Second
)

var errTooLarge = errors.New("an object in S3 cannot be larger than 48 GiB; compress the file or split it, or let the import have it from a source")

// Create begins an object under key, which must be new: two writers of one key would overwrite each other. Either Commit or
// Abort must be called.
func (b *Bucket) Create(ctx context.Context, key string) (*Writer, error) {
	// Cancelling the context before Close is what discards a half-written object.
	ctx, cancel := context.WithCancel(ctx)
	w := &Writer{bucket: b, key: key, cancel: cancel}
	if b.s3 == nil {
		if err := makeFolder(filepath.Join(b.dir, filepath.Dir(filepath.FromSlash(key))), b.modes.Folder); err != nil {
			cancel()
			return nil, b.writeError(key, err)
		}
	}
	var err error
	w.w, err = b.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/octet-stream", // known, so that the object is opened now
		BeforeWrite: func(as func(any) bool) error {
			var manager *transfermanager.Client
			if as(&manager) {
				*manager = *b.s3.uploads()
			}
			if as(&w.file) {
				return w.file.Chmod(b.modes.File)
			}
			return nil
		},
	})
	if err != nil {
		cancel()
		return nil, b.writeError(key, err)
	}
	return w, nil
}

// Key is that of the object.
func (w *Writer) Key() string { return w.key }

func (w *Writer) Write(p []byte) (int, error) {
	if w.n += int64(len(p)); w.n > maxS3Object && w.bucket.s3 != nil {
		return 0, w.bucket.writeError(w.key, errTooLarge)
	}
	n, err := w.w.Write(p)
	if err != nil {
		return n, w.bucket.writeError(w.key, err)
	}
	return n, nil
}

// Commit makes the object appear. When it returns nil the object outlives a loss of power. After an error there may be the whole
// object nevertheless, if the answer of the storage was lost.
func (w *Writer) Commit() error {
	defer w.cancel()
	if w.file != nil {
		if err := w.file.Sync(); err != nil {
			w.Abort()
			return w.bucket.writeError(w.key, err)
		}
	}
	if err := w.w.Close(); err != nil {
		return w.bucket.writeError(w.key, err)
	}
	if w.file != nil {
		if err := syncDir(filepath.Dir(w.file.Name())); err != nil {
			return w.bucket.writeError(w.key, err)
		}
	}
	return nil
}

// syncDir keeps the name of a new file; its content is kept by the file's own Sync.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// uploads sends the parts of an object. What is left of one that is aborted must be asked for with a context of its own: that
// of the object has ended by then, and S3 would keep the parts, unseen, and charge for them.
func (b *s3Bucket) uploads() *transfermanager.Client {
	return transfermanager.New(b.client, func(o *transfermanager.Options) {
		o.Concurrency = 1
		o.FailTimeout = abortTimeout
		o.MaxUploadParts = maxParts
		o.MultipartUploadThreshold = partSize
		o.PartSizeBytes = partSize
		o.RequestChecksumCalculation = b.opts.RequestChecksumCalculation
	})
}

// Abort discards the object. After Commit it does nothing.
func (w *Writer) Abort() {
	w.cancel()
	_ = w.w.Close() // says that its context has ended
}

// DeleteAll removes the objects whose keys begin with prefix and for which keep, if it is not nil, says no. It returns how
// many there were.
func (b *Bucket) DeleteAll(ctx context.Context, prefix string, keep func(key string) bool) (int, error) {
	deleted := 0
	for objects := b.bucket.List(&blob.ListOptions{Prefix: prefix}); ; {
		object, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return deleted, nil
		}
		if err != nil {
			return deleted, b.fail("list "+prefix, err)
		}
		if keep != nil && keep(object.Key) {
			continue
		}
		if err := b.Delete(ctx, object.Key); err != nil {
			return deleted, err
		}
		deleted++
	}
}
