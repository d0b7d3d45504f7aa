package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrChanged is returned for a file that is no longer what it was when it was listed.
var ErrChanged = errors.New("the file has changed")

// Source is where others put files. It is read, never written.
type Source interface {
	// URL is that of the source and ends in a slash. The URL of each of its files begins with it.
	URL() string
	// List returns the files whose path below URL matches pattern, segment by segment, in the order of their paths. What has a
	// name that skip takes is left out. What cannot be looked at is returned beside them, so that it does not hide the rest.
	List(ctx context.Context, pattern string, skip func(name string) bool) (files []SourceFile, unreadable []error, err error)
	// Has reports whether the URL is that of a file below the source, which need not be there.
	Has(fileURL string) bool
	// Open reads a file of the source from offset on. Whoever reads to the end has read that version; otherwise there is an
	// error, ErrChanged or ErrNotFound if the file is the reason. ctx is for the reader, too.
	Open(ctx context.Context, fileURL, version string, offset int64) (io.ReadCloser, error)
	// Close ends the use of the source; readers continue.
	Close() error
}

// SourceFile is a file as it was when it was listed.
type SourceFile struct {
	URL     string // names it among all files of all sources; nothing in it is encoded
	Name    string // the last segment of URL
	Size    int64
	Version string // tells one content of the file from the next
}

const (
	fileURL = "file://"
	s3URL   = "s3://"
)

// OpenSource opens the source at dir: file:///directory, which must be there, or s3://bucket/prefix, of which nothing is asked
// yet. params are for S3, as in the query of a storage URL. Nothing in dir is encoded.
func OpenSource(ctx context.Context, dir, params string) (Source, error) {
	if path, ok := strings.CutPrefix(dir, fileURL); ok {
		return openDirectory(path)
	}
	if path, ok := strings.CutPrefix(dir, s3URL); ok {
		return openS3Source(ctx, path, params)
	}
	return nil, fmt.Errorf("source %s: only file:// and s3:// are supported", dir)
}
