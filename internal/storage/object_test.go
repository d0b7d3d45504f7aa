package storage_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/storage"
)

func keys(t *testing.T, b place, prefix string) []string {
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

// Objects of one part in S3, of several, and of a whole number of them.
func TestWriterIsAllOrNothing(t *testing.T) {
	t.Parallel()

	for _, size := range []int{9, 5 << 20, 10 << 20, 11 << 20} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, b place) { allOrNothing(t, b, strings.Repeat("x", size)) })
		})
	}
}

func allOrNothing(t *testing.T, b place, content string) {
	ctx := context.Background()
	kept, err := b.Create(ctx, "exports/a/1/part-1.csv")
	if err != nil {
		t.Fatal(err)
	}
	dropped, err := b.Create(ctx, "exports/a/1/part-2.csv")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*storage.Writer{kept, dropped} {
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Stat(ctx, kept.Key()); !errors.Is(err, storage.ErrNotFound) {
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
	if stat, err := b.Stat(ctx, kept.Key()); err != nil || stat.Size != int64(len(content)) {
		t.Error(stat, err)
	}

	ended, end := context.WithCancel(ctx)
	w, err := b.Create(ended, "exports/a/1/part-3.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	end()
	if err := w.Commit(); err == nil {
		t.Error("committed after the end of its context")
	}
	if left := b.left(t); len(left) != 1 {
		t.Errorf("left behind: %s", left)
	}
}

func TestDeleteAll(t *testing.T) {
	t.Parallel()

	everywhere(t, func(t *testing.T, b place) {
		ctx := context.Background()
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
	})
}
