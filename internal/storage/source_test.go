package storage_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/internal/tests3"
)

type sourceBundle struct {
	dir    string // empty: the source is in S3
	source storage.Source
	write  func(t *testing.T, name, content string)
}

func openSource(t *testing.T, dir, params string) storage.Source {
	t.Helper()
	source, err := storage.OpenSource(t.Context(), dir, params)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	return source
}

func setupSource(t *testing.T) *sourceBundle {
	t.Helper()
	b := &sourceBundle{dir: t.TempDir()}
	b.source = openSource(t, "file://"+b.dir, "")
	b.write = func(t *testing.T, name, content string) {
		t.Helper()
		path := filepath.Join(b.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func setupS3Source(t *testing.T, prefix string) (*sourceBundle, *tests3.Server) {
	t.Helper()
	server := tests3.Start(t)
	b := &sourceBundle{source: openSource(t, "s3://"+tests3.Bucket+"/"+strings.TrimSuffix(prefix, "/"), server.Params())}
	b.write = func(t *testing.T, name, content string) { server.Put(t, prefix+name, content) }
	return b, server
}

// eachSource runs a test on a directory and on buckets.
func eachSource(t *testing.T, test func(t *testing.T, b *sourceBundle)) {
	t.Helper()
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		test(t, setupSource(t))
	})
	for name, prefix := range map[string]string{"S3": "", "below a prefix in S3": "drop/of many/"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, server := setupS3Source(t, prefix)
			if prefix != "" {
				server.Put(t, "elsewhere/a.csv", "not below the prefix")
				server.Put(t, "drop/of many.csv", "nor this")
			}
			test(t, b)
		})
	}
}

func (b *sourceBundle) list(t *testing.T, pattern string) (files []storage.SourceFile, unreadable []error) {
	t.Helper()
	files, unreadable, err := b.source.List(context.Background(), pattern, func(name string) bool { return strings.HasPrefix(name, ".") })
	if err != nil {
		t.Fatal(err)
	}
	return files, unreadable
}

func (b *sourceBundle) names(t *testing.T, pattern string) []string {
	t.Helper()
	files, unreadable := b.list(t, pattern)
	if len(unreadable) > 0 {
		t.Error(unreadable)
	}
	names := []string{}
	for _, file := range files {
		names = append(names, strings.TrimPrefix(file.URL, b.source.URL()))
		if want := filepath.Base(file.URL); file.Name != want {
			t.Errorf("name %q, want %q", file.Name, want)
		}
	}
	return names
}

func TestSourcePatterns(t *testing.T) {
	t.Parallel()

	eachSource(t, func(t *testing.T, b *sourceBundle) {
		for _, name := range []string{
			"b.csv", "a.csv", "a b%+&.csv", "日本.csv", ".hidden.csv", "x.txt", "sub/c.csv", "sub/deep/d.csv", "tub/e.csv", ".git/f.csv",
			"sub/in/g.csv", "tub/in/h.csv", "a*b.csv", "sub.csv",
		} {
			b.write(t, name, name)
		}
		for pattern, want := range map[string][]string{
			"*.csv":      {"a b%+&.csv", "a*b.csv", "a.csv", "b.csv", "sub.csv", "日本.csv"},
			"a.csv":      {"a.csv"},
			"a*":         {"a b%+&.csv", "a*b.csv", "a.csv"},
			`a\**`:       {"a*b.csv"},
			"?.[ct]*":    {"a.csv", "b.csv", "x.txt"},
			"*/*.csv":    {"sub/c.csv", "tub/e.csv"},
			"s*/c.csv":   {"sub/c.csv"},
			"*/deep/*":   {"sub/deep/d.csv"},
			"*/in/*.csv": {"sub/in/g.csv", "tub/in/h.csv"},
			"*/*/*":      {"sub/deep/d.csv", "sub/in/g.csv", "tub/in/h.csv"},
			"sub":        {},
			"gone/*.csv": {},
			"*/*/*/*":    {},
		} {
			if diff := cmp.Diff(want, b.names(t, pattern)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", pattern, diff)
			}
		}
	})
}

func TestSourceVersions(t *testing.T) {
	t.Parallel()

	eachSource(t, func(t *testing.T, b *sourceBundle) {
		b.write(t, "a.csv", "one")
		first, _ := b.list(t, "*")
		again, _ := b.list(t, "*")
		if diff := cmp.Diff(first, again); diff != "" || len(first) != 1 || first[0].Size != 3 {
			t.Errorf("%+v, %s", first, diff)
		}
		b.write(t, "a.csv", "two")
		changed, _ := b.list(t, "*")
		if changed[0].Version == first[0].Version {
			t.Errorf("%s is the version of two contents", changed[0].Version)
		}
		if _, err := b.source.Open(t.Context(), first[0].URL, first[0].Version, 0); !errors.Is(err, storage.ErrChanged) {
			t.Errorf("the first content: %v", err)
		}
		if _, err := b.source.Open(t.Context(), first[0].URL, first[0].Version, 3); !errors.Is(err, storage.ErrChanged) {
			t.Errorf("its end: %v", err)
		}
	})
}

func TestSourceOpen(t *testing.T) {
	t.Parallel()

	eachSource(t, func(t *testing.T, b *sourceBundle) {
		b.write(t, "sub/a.csv", "0123456789")
		b.write(t, "sub/empty.csv", "")
		files, _ := b.list(t, "*/*")
		for offset, want := range map[int64]string{0: "0123456789", 4: "456789", 10: ""} {
			r, err := b.source.Open(t.Context(), files[0].URL, files[0].Version, offset)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if rest, err := io.ReadAll(r); err != nil || string(rest) != want {
				t.Errorf("from %d on: %q, %v", offset, rest, err)
			}
		}
		r, err := b.source.Open(t.Context(), files[1].URL, files[1].Version, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			t.Errorf("an empty file: %q, %v", rest, err)
		}
		if _, err := b.source.Open(t.Context(), b.source.URL()+"sub/gone.csv", files[0].Version, 0); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a file that is not there: %v", err)
		}
		if _, err := b.source.Open(t.Context(), "file:///elsewhere/a.csv", files[0].Version, 0); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a file elsewhere: %v", err)
		}
		if !b.source.Has(files[0].URL) || b.source.Has("s3://elsewhere/a.csv") {
			t.Error("what is in the source")
		}
	})
}
