// Package storage keeps files under one URL: uploads that workers read, results that people fetch.
package storage

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
)

// ErrNotFound is returned for an object that is not there.
var ErrNotFound = errors.New("no such object")

// Bucket is an open storage URL.
type Bucket struct {
	bucket *blob.Bucket
	url    string // for messages
	dir    string // of a directory
	modes  Modes

	s3     *s3Bucket // nil: a directory
	prefix string    // of the keys in S3; empty, or ends in a slash
}

// Modes are those of what is made in a directory, whatever the umask is.
type Modes struct {
	File   fs.FileMode // 0: 0600
	Folder fs.FileMode // 0: 0700
}

// Open opens a storage URL: file:///directory, which is made if it is missing, or s3://bucket/prefix?region=…, of which nothing is
// asked before its first use.
func Open(ctx context.Context, rawURL string) (*Bucket, error) { return OpenWith(ctx, rawURL, Modes{}) }

// OpenWith is Open with modes.
func OpenWith(ctx context.Context, rawURL string, modes Modes) (*Bucket, error) {
	if rawURL == "" {
		return nil, errors.New(`storage.url is not set; add for example storage: {url: "file:///var/lib/tidemill"}`)
	}
	if strings.HasPrefix(rawURL, s3URL) {
		return openS3Storage(ctx, rawURL)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("storage %s: %w", rawURL, err)
	}
	if u.Scheme != "file" {
		return nil, fmt.Errorf("storage %s: only file:// and s3:// are supported", rawURL)
	}
	modes.File, modes.Folder = cmp.Or(modes.File, 0o600), cmp.Or(modes.Folder, 0o700)
	if err := makeFolder(u.Path, modes.Folder); err != nil {
		return nil, fmt.Errorf("storage %s: %w", rawURL, err)
	}
	bucket, err := fileblob.OpenBucket(u.Path, &fileblob.Options{
		DirFileMode: modes.Folder,
		Metadata:    fileblob.MetadataDontWrite,
		// The temporary file of a write lies beside its target, so that the final rename never crosses file systems.
		NoTempDir: true,
	})
	if err != nil {
		return nil, fmt.Errorf("storage %s: %w", rawURL, err)
	}
	return &Bucket{bucket: bucket, url: rawURL, dir: u.Path, modes: modes}, nil
}

// makeFolder is os.MkdirAll whose folders have that mode whatever the umask is. Those that are there keep theirs.
func makeFolder(dir string, mode fs.FileMode) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeFolder(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, mode); err != nil {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil // another was faster
		}
		return err
	}
	return os.Chmod(dir, mode)
}

// openS3Storage repeats in its errors nothing of the URL but bucket and prefix.
func openS3Storage(ctx context.Context, rawURL string) (*Bucket, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, errors.New("storage.url: is not a URL; write it like s3://bucket/prefix?region=eu-central-1")
	case u.User != nil:
		return nil, fmt.Errorf("storage.url: %w", errCredentialsInURL)
	case u.Host == "":
		return nil, errors.New("storage.url: has no bucket; write it like s3://bucket/prefix?region=eu-central-1")
	}
	b := &Bucket{prefix: strings.Trim(u.Path, "/")}
	b.url = strings.TrimSuffix(s3URL+u.Host+"/"+b.prefix, "/")
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("storage %s: its parameters are not name=value with & between them", b.url)
	}
	if b.s3, err = openS3(ctx, u.Host, params); err != nil {
		return nil, fmt.Errorf("storage %s: %w", b.url, err)
	}
	if b.bucket, err = b.s3.blob(ctx); err != nil {
		return nil, fmt.Errorf("storage %s: %w", b.url, err)
	}
	if b.prefix != "" {
		b.prefix += "/"
		b.bucket = blob.PrefixedBucket(b.bucket, b.prefix)
	}
	return b, nil
}

// Close ends the use of the bucket.
func (b *Bucket) Close() error { return b.bucket.Close() }

// Object is what was stored.
type Object struct {
	Key    string
	Size   int64
	SHA256 string // hex
}

// Put stores all of r under a new key below dir that ends in name. The object appears whole or not at all. progress, if
// set, is called with the bytes so far.
func (b *Bucket) Put(ctx context.Context, dir, name string, r io.Reader, progress func(int64)) (*Object, error) {
	w, err := b.Create(ctx, newKey(dir, name))
	if err != nil {
		return nil, err
	}
	digest := &counter{hash: sha256.New(), progress: progress}
	if _, err := io.Copy(io.MultiWriter(w, digest), onlyReader{r}); err != nil {
		w.Abort()
		return nil, err
	}
	if err := w.Commit(); err != nil {
		return nil, err
	}
	return &Object{Key: w.key, Size: digest.n, SHA256: hex.EncodeToString(digest.hash.Sum(nil))}, nil
}

// onlyReader hides other methods, so that the copy goes through our buffer and its progress is seen.
type onlyReader struct{ io.Reader }

type counter struct {
	hash     hash.Hash
	n        int64
	progress func(int64)
}

func (c *counter) Write(p []byte) (int, error) {
	c.hash.Write(p)
	c.n += int64(len(p))
	if c.progress != nil {
		c.progress(c.n)
	}
	return len(p), nil
}

// newKey keeps the name recognisable, and apart from others of the same name.
func newKey(dir, name string) string {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails, by its documentation
	name = strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, path.Base(name))
	if len(name) > 80 {
		name = name[len(name)-80:]
	}
	return path.Join(dir, time.Now().UTC().Format("2006-01-02"), hex.EncodeToString(random[:])+"-"+name)
}

// Reader reads an object from offset on, with ctx. That the object is cut off on its way is an error.
func (b *Bucket) Reader(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	if b.s3 == nil {
		r, err := b.bucket.NewRangeReader(ctx, key, offset, -1, nil)
		if err != nil {
			return nil, b.readError(key, err)
		}
		return r, nil
	}
	r, err := b.s3.open(ctx, b.prefix+key, "", offset)
	if err != nil {
		return nil, b.readError(key, err)
	}
	return &failingReader{ReadCloser: r, fail: func(err error) error { return b.readError(key, err) }}, nil
}

// Stat tells what is stored under a key.
func (b *Bucket) Stat(ctx context.Context, key string) (*Stat, error) {
	attrs, err := b.bucket.Attributes(ctx, key)
	if err == nil {
		return &Stat{Size: attrs.Size, Version: strings.Trim(attrs.ETag, `"`)}, nil
	}
	if b.s3 != nil && gcerrors.Code(err) == gcerrors.NotFound && b.s3.missing(ctx) {
		err = errBucketMissing
	}
	return nil, b.readError(key, err)
}

// Stat is what is stored under a key. The version, in a directory size and time of the last change, otherwise the ETag, tells one
// content from the next, but may be another for the same.
type Stat struct {
	Size    int64
	Version string
}

// Delete removes an object; one that is gone is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := b.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return b.fail("delete "+key, err)
	}
	return nil
}

func (b *Bucket) readError(key string, err error) error {
	if gcerrors.Code(err) == gcerrors.NotFound || errors.Is(err, ErrNotFound) {
		return fmt.Errorf("storage %s: %s: %w", b.url, key, ErrNotFound)
	}
	return b.fail("read "+key, err)
}

// writeError leaves out the library's own wrapping, which repeats the key, where the system's word says it all.
func (b *Bucket) writeError(key string, err error) error {
	var system syscall.Errno
	if b.s3 == nil && errors.As(err, &system) {
		err = system
	}
	return b.fail("write "+key, err)
}

func (b *Bucket) fail(doing string, err error) error {
	if b.s3 != nil {
		err = explainS3(err)
	}
	return fmt.Errorf("storage %s: %s: %w", b.url, doing, err)
}
