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
	"unicode/utf8"
)

// directory is a source below file://. No link leads out of it.
type directory struct {
	root *os.Root
	dir  string // its path, which ends in a slash
}

// openDirectory opens the directory at an absolute path, which must be there.
func openDirectory(dir string) (*directory, error) {
	root, err := os.OpenRoot(filepath.FromSlash(dir))
	if err != nil {
		return nil, sourceError(fileURL+dir, err)
	}
	return &directory{root: root, dir: strings.TrimSuffix(dir, "/") + "/"}, nil
}

func (s *directory) Close() error { return s.root.Close() }

func (s *directory) URL() string { return fileURL + s.dir }

// fileVersion is the size and the time of the last change.
func fileVersion(info fs.FileInfo) string {
	return fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano())
}

// List returns regular files; links are none.
func (s *directory) List(ctx context.Context, pattern string, skip func(name string) bool) (files []SourceFile, unreadable []error, err error) {
	l := &dirListing{source: s, files: s.root.FS(), skip: skip}
	if err := l.walk(ctx, ".", strings.Split(pattern, "/")); err != nil {
		return nil, nil, err
	}
	return l.found, l.unreadable, nil
}

type dirListing struct {
	source     *directory
	files      fs.FS
	skip       func(name string) bool
	found      []SourceFile
	unreadable []error
}

func (l *dirListing) walk(ctx context.Context, dir string, segments []string) error {
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
			l.found = append(l.found, SourceFile{URL: l.source.URL() + at, Name: name, Size: info.Size(), Version: fileVersion(info)})
		}
	}
	return nil
}

// fail notes what cannot be looked at. What is gone meanwhile needs no look.
func (l *dirListing) fail(at string, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		l.unreadable = append(l.unreadable, sourceError(l.source.URL()+at, err))
	}
}

func (s *directory) Has(fileURL string) bool { return strings.HasPrefix(fileURL, s.URL()) }

// Open gives ErrChanged in place of the end, too, if the file was written to meanwhile.
func (s *directory) Open(_ context.Context, fileURL, version string, offset int64) (io.ReadCloser, error) {
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
	if fileVersion(info) != r.version {
		return sourceError(r.url, ErrChanged)
	}
	return nil
}

func (r *sourceReader) Close() error { return r.file.Close() }

// sourceError leaves out the system's own wrapping, which repeats the path.
func sourceError(at string, err error) error {
	if wrapped, ok := errors.AsType[*fs.PathError](err); ok {
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
