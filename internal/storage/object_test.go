package storage_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/storage"
)

func keys(t *testing.T, b *storage.Bucket, prefix string) []string {
	t.Helper()
	var all []string
	if _, err := b.DeleteAll(context.Background(), prefix, func(key string) bool {
		all = append(all, key)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWriterIsAllOrNothing(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b, err := storage.Open(ctx, "file://"+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	kept, err := b.Create(ctx, "exports/a/1/part-1.csv")
	if err != nil {
		t.Fatal(err)
	}
	dropped, err := b.Create(ctx, "exports/a/1/part-2.csv")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*storage.Writer{kept, dropped} {
		if _, err := io.WriteString(w, "some text"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Size(ctx, kept.Key()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("before the commit: %v", err)
	}
	if err := kept.Commit(); err != nil {
		t.Fatal(err)
	}
	kept.Abort()
	dropped.Abort()
	dropped.Abort()
	if diff := cmp.Diff([]string{"exports/a/1/part-1.csv"}, keys(t, b, "exports/")); diff != "" {
		t.Error(diff)
	}
	if n, err := b.Size(ctx, kept.Key()); n != 9 || err != nil {
		t.Error(n, err)
	}

	ended, end := context.WithCancel(ctx)
	w, err := b.Create(ended, "exports/a/1/part-3.csv")
	if err != nil {
		t.Fatal(err)
	}
	end()
	if err := w.Commit(); err == nil {
		t.Error("committed after the end of its context")
	}
	if got := keys(t, b, "exports/"); len(got) != 1 {
		t.Error(got)
	}
}

func TestDeleteAll(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b, err := storage.Open(ctx, "file://"+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"exports/a/1/x", "exports/a/1/y", "exports/a/12/x", "exports/b/1/x", "imports/a/1/x"} {
		w, err := b.Create(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	n, err := b.DeleteAll(ctx, "exports/a/1/", func(key string) bool { return strings.HasSuffix(key, "y") })
	if n != 1 || err != nil {
		t.Error(n, err)
	}
	if n, err := b.DeleteAll(ctx, "exports/c/1/", nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	want := []string{"exports/a/1/y", "exports/a/12/x", "exports/b/1/x", "imports/a/1/x"}
	if diff := cmp.Diff(want, keys(t, b, "")); diff != "" {
		t.Error(diff)
	}
}
