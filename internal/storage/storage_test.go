package storage_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/internal/tests3"
)

// place is a storage under test, and what is in it behind the storage's back.
type place struct {
	*storage.Bucket
	left func(t *testing.T) []string
}

// everywhere runs a test in a directory and in S3.
func everywhere(t *testing.T, test func(t *testing.T, b place)) {
	t.Helper()
	open := func(t *testing.T, url string) *storage.Bucket {
		b, err := storage.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	inS3 := func(prefix string) func(t *testing.T) {
		return func(t *testing.T) {
			t.Parallel()
			server := tests3.Start(t)
			test(t, place{open(t, server.URL(prefix)), func(t *testing.T) []string {
				left := server.Keys(t)
				for range server.Uploads(t) {
					left = append(left, "an upload that is neither complete nor aborted")
				}
				return left
			}})
		}
	}
	t.Run("S3", inS3(""))
	t.Run("below a prefix in S3", inS3("some/where else"))
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "made", "on demand")
		test(t, place{open(t, "file://"+dir), func(t *testing.T) []string { return filesBelow(t, dir) }})
	})
}

func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	files := []string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestPutAndRead(t *testing.T) {
	t.Parallel()

	everywhere(t, func(t *testing.T, b place) {
		ctx := context.Background()
		content := strings.Repeat("0123456789", 1_200_000) // three parts in S3
		var last int64
		object, err := b.Put(ctx, "imports/x", "../日本 people.csv", strings.NewReader(content), func(n int64) { last = n })
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(content))
		if object.Size != int64(len(content)) || object.SHA256 != hex.EncodeToString(sum[:]) || last != object.Size {
			t.Errorf("%+v, progress ended at %d", object, last)
		}
		if !strings.HasPrefix(object.Key, "imports/x/") || !strings.HasSuffix(object.Key, "people.csv") {
			t.Errorf("key %s", object.Key)
		}
		for offset, want := range map[int64]string{0: content, 11_999_990: "0123456789", 12_000_000: ""} {
			r, err := b.Reader(ctx, object.Key, offset)
			if err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(r); err != nil || string(rest) != want {
				t.Errorf("from %d on: %d bytes, %v", offset, len(rest), err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if stat, err := b.Stat(ctx, object.Key); err != nil || stat.Size != object.Size {
			t.Errorf("%+v, %v", stat, err)
		}
		if err := b.Delete(ctx, object.Key); err != nil {
			t.Fatal(err)
		}
		if err := b.Delete(ctx, object.Key); err != nil {
			t.Errorf("deleting twice: %v", err)
		}
		if _, err := b.Reader(ctx, object.Key, 0); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a deleted object: %v", err)
		}
		if _, err := b.Stat(ctx, object.Key); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("its size: %v", err)
		}
		if left := b.left(t); len(left) > 0 {
			t.Errorf("left behind: %s", left)
		}
	})
}

func TestEmptyObject(t *testing.T) {
	t.Parallel()

	everywhere(t, func(t *testing.T, b place) {
		object, err := b.Put(t.Context(), "imports", "a.csv", strings.NewReader(""), nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Reader(t.Context(), object.Key, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if content, err := io.ReadAll(r); err != nil || len(content) > 0 {
			t.Errorf("%q, %v", content, err)
		}
		if stat, err := b.Stat(t.Context(), object.Key); stat.Size != 0 || err != nil {
			t.Errorf("%+v, %v", stat, err)
		}
	})
}

func TestPutLeavesNothingOfAFailedWrite(t *testing.T) {
	t.Parallel()

	for _, size := range []int{1 << 20, 12 << 20} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, b place) {
				broken := io.MultiReader(strings.NewReader(strings.Repeat("x", size)), iotest.ErrReader(errors.New("cable cut")))
				if _, err := b.Put(context.Background(), "imports", "a.csv", broken, nil); err == nil || !strings.Contains(err.Error(), "cable cut") {
					t.Errorf("error %v", err)
				}
				if left := b.left(t); len(left) > 0 {
					t.Errorf("left behind: %s", left)
				}
			})
		})
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()

	for url, want := range map[string]string{
		"":                                      "storage.url is not set",
		"gs://x":                                "only file:// and s3:// are supported",
		"file:///dev/null/x":                    "storage file:///dev/null/x",
		"s3:///prefix?region=x":                 "storage.url: has no bucket",
		"s3://id:secret@bucket/prefix?region=x": "storage.url: credentials do not belong into the URL",
		"s3://id:sec/ret@bucket/prefix":         "storage.url: is not a URL",
		"s3://bucket/prefix?endpoint=http://me:secret@x:9000": "storage s3://bucket/prefix: credentials do not belong into the URL",
		"s3://bucket?endpoint=minio":                          "",
		"s3://bucket?endpoint=ftp://x":                        "storage s3://bucket: the parameter endpoint is not a URL",
		"s3://bucket/a?region=x&regoin=secret":                `unknown query parameter "regoin"`,
		"s3://bucket/a?region=x&use_path_style=yep":           `invalid value for "use_path_style"`,
		"s3://bucket/a?region=x;y":                            "storage s3://bucket/a: its parameters are not name=value",
	} {
		_, err := storage.Open(context.Background(), url)
		switch {
		case want == "" && err == nil:
		case want == "", err == nil, !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, want %s", url, err, want)
		case strings.Contains(err.Error(), "sec/ret"), strings.Contains(err.Error(), "me:secret"), strings.Contains(err.Error(), "id:"):
			t.Errorf("%s tells a secret", err)
		}
	}
}
