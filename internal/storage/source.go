package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrChanged is returned for a file that is no longer what it was when it was listed.
var ErrChanged = errors.New("the file has changed")

// Source is a directory into which others put files. It is read, never written; no link leads out of it.
type Source struct {
	root *os.Root
	dir  string // its path, which ends in a slash
}

// OpenSource opens the directory at an absolute path, which must be there.
func OpenSource(dir string) (*Source, error) {
	root, err := os.OpenRoot(filepath.FromSlash(dir))
	if err != nil {
		return nil, sourceError(fileURL+dir, err)
	}
	return &Source{root: root, dir: strings.TrimSuffix(dir, "/") + "/"}, nil
}

const fileURL = "file://"

// Close ends the use of the source; readers go on.
func (s *Source) Close() error { return s.root.Close() }

// URL is that of the directory.
func (s *Source) URL() string { return fileURL + s.dir }

// SourceFile is a file as it was when it was listed.
type SourceFile struct {
	URL     string // names it among all files of all sources; nothing in it is encoded
	Name    string // the last segment of URL
	Size    int64
	ModTime time.Time
}

// Version tells one content of a file from the next: by its size and the time of its last change.
func (f SourceFile) Version() string { return fmt.Sprintf("%d-%d", f.Size, f.ModTime.UnixNano()) }

// List returns the regular files that match pattern, segment by segment, in the order of their paths; links are none. What
// has a name that skip takes is left out. What cannot be looked at is returned beside them, so that it does not hide the rest.
func (s *Source) List(ctx context.Context, pattern string, skip func(name string) bool) (files []SourceFile, unreadable []error, err error) {
	l := &listing{source: s, files: s.root.FS(), skip: skip}
	if err := l.walk(ctx, ".", strings.Split(pattern, "/")); err != nil {
		return nil, nil, err
	}
	return l.found, l.unreadable, nil
}

type listing struct {
	source     *Source
	files      fs.FS
	skip       func(name string) bool
	found      []SourceFile
	unreadable []error
}

func (l *listing) walk(ctx context.Context, dir string, segments []string) error {
	entries, err := fs.ReadDir(l.files, dir)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && dir == ".":
		return sourceError(l.source.URL(), err)
	case err != nil:
		l.fail(dir, err)
		return nil
	}
	for _, entry := range entries {
		name, at := entry.Name(), path.Join(dir, entry.Name())
		matches, err := path.Match(segments[0], name)
		switch {
		case err != nil:
			return fmt.Errorf("source %s: pattern %s: %w", l.source.URL(), segments[0], err)
		case !matches || l.skip(name):
		case !utf8.ValidString(name):
			l.unreadable = append(l.unreadable, fmt.Errorf("%q: its name is not UTF-8", l.source.URL()+at))
		case len(segments) > 1:
			if entry.IsDir() {
				if err := l.walk(ctx, at, segments[1:]); err != nil {
					return err
				}
			}
		case entry.Type().IsRegular():
			info, err := entry.Info()
			if err != nil {
				l.fail(at, err)
				continue
			}
			l.found = append(l.found, SourceFile{URL: l.source.URL() + at, Name: name, Size: info.Size(), ModTime: info.ModTime()})
		}
	}
	return nil
}

// fail notes what cannot be looked at. What is gone meanwhile needs no look.
func (l *listing) fail(at string, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		l.unreadable = append(l.unreadable, sourceError(l.source.URL()+at, err))
	}
}

// Has tells whether the URL is that of a file below the source, which need not be there.
func (s *Source) Has(fileURL string) bool { return strings.HasPrefix(fileURL, s.URL()) }

// Open reads a file of the source from offset on, as long as its version is that: ErrChanged comes in place of the end, too.
func (s *Source) Open(fileURL, version string, offset int64) (io.ReadCloser, error) {
	name, ok := strings.CutPrefix(fileURL, s.URL())
	if !ok {
		return nil, &missingError{url: fileURL + ", below " + s.URL()}
	}
	name = filepath.FromSlash(name)
	// Before it is opened: opening a pipe would wait for its writer.
	info, err := s.root.Lstat(name)
	if err != nil {
		return nil, sourceError(fileURL, err)
	}
	if !info.Mode().IsRegular() {
		return nil, sourceError(fileURL, ErrChanged)
	}
	file, err := s.root.Open(name)
	if err != nil {
		return nil, sourceError(fileURL, err)
	}
	r := &sourceReader{file: file, url: fileURL, version: version, left: info.Size() - offset}
	if err := r.same(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(sourceError(fileURL, err), file.Close())
	}
	return r, nil
}

// sourceReader reads no more than there was when the file was listed.
type sourceReader struct {
	file         *os.File
	url, version string
	left         int64
}

func (r *sourceReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		if err := r.same(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF): // it has become shorter
		return n, sourceError(r.url, ErrChanged)
	case err != nil:
		return n, sourceError(r.url, err)
	}
	return n, nil
}

// same asks the open file, which a rename over its name does not change.
func (r *sourceReader) same() error {
	info, err := r.file.Stat()
	if err != nil {
		return sourceError(r.url, err)
	}
	if (SourceFile{Size: info.Size(), ModTime: info.ModTime()}).Version() != r.version {
		return sourceError(r.url, ErrChanged)
	}
	return nil
}

func (r *sourceReader) Close() error { return r.file.Close() }

// sourceError leaves out the system's own wrapping, which repeats the path.
func sourceError(at string, err error) error {
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &missingError{url: at}
	}
	return fmt.Errorf("source %s: %w", at, err)
}

// missingError is ErrNotFound in words that fit a directory, too.
type missingError struct{ url string }

func (e *missingError) Error() string { return "source " + e.url + ": no such file or directory" }
func (e *missingError) Unwrap() error { return ErrNotFound }
