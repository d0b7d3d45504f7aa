package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gocloud.dev/blob"
)

// Writer writes one object, which appears whole when it is committed, or not at all.
type Writer struct {
	bucket *Bucket
	key    string
	w      *blob.Writer
	cancel context.CancelFunc
	file   *os.File // nil: the storage is no file system
}

// Create begins an object under key, which must be new: two writers of one key would overwrite each other. Either Commit or
// Abort must be called.
func (b *Bucket) Create(ctx context.Context, key string) (*Writer, error) {
	// Cancelling the context before Close is what discards a half-written object.
	ctx, cancel := context.WithCancel(ctx)
	w := &Writer{bucket: b, key: key, cancel: cancel}
	var err error
	w.w, err = b.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		DisableContentTypeDetection: true, // opens the object now
		BeforeWrite: func(as func(any) bool) error {
			as(&w.file)
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
	n, err := w.w.Write(p)
	if err != nil {
		return n, w.bucket.writeError(w.key, err)
	}
	return n, nil
}

// Commit makes the object appear. When it returns nil the object outlives a loss of power.
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
			return deleted, fmt.Errorf("storage %s: list %s: %w", b.url, prefix, err)
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
