package storage_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tidemill/tidemill/internal/storage"
)

func open(t *testing.T) (*storage.Bucket, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "made", "on demand")
	b, err := storage.Open(context.Background(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b, dir
}

func TestPutAndRead(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b, _ := open(t)
	content := strings.Repeat("0123456789", 100_000)
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
	r, err := b.Reader(ctx, object.Key, 999_990)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "0123456789" {
		t.Errorf("%q, %v", rest, err)
	}
	if size, err := b.Size(ctx, object.Key); err != nil || size != object.Size {
		t.Errorf("size %d, %v", size, err)
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
}

func TestPutLeavesNothingOfAFailedWrite(t *testing.T) {
	t.Parallel()

	b, dir := open(t)
	broken := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), iotest.ErrReader(errors.New("cable cut")))
	if _, err := b.Put(context.Background(), "imports", "a.csv", broken, nil); err == nil || !strings.Contains(err.Error(), "cable cut") {
		t.Errorf("error %v", err)
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()

	for url, want := range map[string]string{"": "storage.url is not set", "s3://x": "only file:// is supported", "file:///dev/null/x": "storage file:///dev/null/x"} {
		if _, err := storage.Open(context.Background(), url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}
