package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// s3Source is a source in a bucket. Slashes in keys are taken for directories.
type s3Source struct {
	bucket *s3Bucket
	prefix string // of the keys; empty, or ends in a slash
}

func openS3Source(ctx context.Context, place, params string) (*s3Source, error) {
	name, prefix, _ := strings.Cut(place, "/")
	query, err := url.ParseQuery(params)
	if err != nil {
		return nil, fmt.Errorf("source %s: its parameters are not name=value with & between them", s3URL+place)
	}
	bucket, err := openS3(ctx, name, query)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", s3URL+place, err)
	}
	if prefix != "" {
		prefix = strings.TrimSuffix(prefix, "/") + "/"
	}
	return &s3Source{bucket: bucket, prefix: prefix}, nil
}

func (s *s3Source) Close() error { return nil }

func (s *s3Source) URL() string { return s.url(s.prefix) }

func (s *s3Source) url(key string) string { return s3URL + s.bucket.name + "/" + key }

func (s *s3Source) Has(fileURL string) bool { return strings.HasPrefix(fileURL, s.URL()) }

// List asks for one level of keys at a time, and only for those that begin like the pattern. A prefix that nothing has is no
// error.
func (s *s3Source) List(ctx context.Context, pattern string, skip func(name string) bool) (files []SourceFile, unreadable []error, err error) {
	l := &s3Listing{source: s, skip: skip}
	if err := l.walk(ctx, s.prefix, strings.Split(pattern, "/")); err != nil {
		return nil, nil, err
	}
	slices.SortFunc(l.found, func(a, b SourceFile) int { return strings.Compare(a.URL, b.URL) })
	return l.found, l.unreadable, nil
}

// wildcards begin what is not literal in a pattern.
const wildcards = `*?[\`

type s3Listing struct {
	source     *s3Source
	skip       func(name string) bool
	answered   bool // some level could be listed
	found      []SourceFile
	unreadable []error
}

func (l *s3Listing) walk(ctx context.Context, prefix string, segments []string) error {
	segment, deeper := segments[0], segments[1:]
	literal := strings.IndexAny(segment, wildcards)
	if literal < 0 && len(deeper) > 0 {
		return l.walk(ctx, prefix+segment+"/", deeper)
	}
	begins := prefix + segment
	if literal >= 0 {
		begins = prefix + segment[:literal]
	}
	var below []string
	pages := s3.NewListObjectsV2Paginator(l.source.bucket.client, &s3.ListObjectsV2Input{
		Bucket: &l.source.bucket.name, Prefix: &begins, Delimiter: new("/"),
		EncodingType: types.EncodingTypeUrl, // XML cannot hold every key
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return l.refused(prefix, explainS3(err))
		}
		l.answered = true
		decode := func(key *string) string { return aws.ToString(key) }
		if page.EncodingType == types.EncodingTypeUrl {
			decode = decodeKey
		}
		if len(deeper) > 0 {
			for _, dir := range page.CommonPrefixes {
				name := strings.TrimSuffix(strings.TrimPrefix(decode(dir.Prefix), prefix), "/")
				if ok, err := l.takes(segment, prefix, name); err != nil {
					return err
				} else if ok {
					below = append(below, prefix+name+"/")
				}
			}
			continue
		}
		for _, object := range page.Contents {
			name := strings.TrimPrefix(decode(object.Key), prefix)
			if ok, err := l.takes(segment, prefix, name); err != nil {
				return err
			} else if ok {
				l.found = append(l.found, sourceObject(l.source.url(prefix+name), name, object))
			}
		}
	}
	for _, dir := range below {
		if err := l.walk(ctx, dir, deeper); err != nil {
			return err
		}
	}
	return nil
}

// takes reports whether a name is one that the pattern means. An empty one is that of a key with two slashes in a row, or of the
// key that some programs write for a directory.
func (l *s3Listing) takes(segment, prefix, name string) (bool, error) {
	matches, err := path.Match(segment, name)
	switch {
	case err != nil:
		return false, fmt.Errorf("source %s: pattern %s: %w", l.source.URL(), segment, err)
	case !matches || name == "" || l.skip(name):
		return false, nil
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		l.unreadable = append(l.unreadable, fmt.Errorf("%q: its name is not UTF-8", l.source.url(prefix+name)))
		return false, nil
	}
	return true, nil
}

// refused is for a level that cannot be listed. Others may be allowed where this one is not.
func (l *s3Listing) refused(prefix string, err error) error {
	err = l.source.fail(l.source.url(prefix), err)
	if l.answered && errors.Is(err, fs.ErrPermission) {
		l.unreadable = append(l.unreadable, err)
		return nil
	}
	return err
}

// decodeKey undoes what EncodingTypeUrl does.
func decodeKey(key *string) string {
	text, err := url.QueryUnescape(aws.ToString(key))
	if err != nil {
		return aws.ToString(key)
	}
	return text
}

// sourceObject has its size in its version so that a reader knows where it must end.
func sourceObject(at, name string, object types.Object) SourceFile {
	size := aws.ToInt64(object.Size)
	return SourceFile{URL: at, Name: name, Size: size, Version: fmt.Sprintf("%d-%s", size, bareETag(object.ETag))}
}

// Open reads one content of an object: what is put in its place meanwhile does not get into an open reader.
func (s *s3Source) Open(ctx context.Context, fileURL, version string, offset int64) (io.ReadCloser, error) {
	if !s.Has(fileURL) {
		return nil, s.fail(fileURL+", below "+s.URL(), ErrNotFound)
	}
	size, etag, _ := strings.Cut(version, "-")
	whole, err := strconv.ParseInt(size, 10, 64)
	if err != nil || etag == "" {
		return nil, s.fail(fileURL, ErrChanged)
	}
	r, err := s.bucket.open(ctx, strings.TrimPrefix(fileURL, s.url("")), etag, offset)
	if err != nil {
		return nil, s.fail(fileURL, err)
	}
	if part, ok := r.(*wholeReader); ok && part.size != whole-offset {
		return nil, errors.Join(s.fail(fileURL, ErrChanged), r.Close())
	}
	return &failingReader{ReadCloser: r, fail: func(err error) error { return s.fail(fileURL, err) }}, nil
}

func (s *s3Source) fail(at string, err error) error { return fmt.Errorf("source %s: %w", at, err) }
