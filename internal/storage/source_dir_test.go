package storage_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/storage"
)

func TestSourceListGoesOnBehindWhatItCannotRead(t *testing.T) {
	t.Parallel()

	b := setupSource(t)
	b.write(t, "a.csv", "")
	b.write(t, "\xff.csv", "")
	files, unreadable := b.list(t, "*.csv")
	if len(files) != 1 || len(unreadable) != 1 || !strings.Contains(unreadable[0].Error(), "not UTF-8") {
		t.Errorf("%v, %v", files, unreadable)
	}
}

func TestSourceMissing(t *testing.T) {
	t.Parallel()

	dir := filepath.Join(t.TempDir(), "drop")
	if _, err := storage.OpenSource(context.Background(), "file://"+dir, ""); !errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), "source file://"+dir) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(dir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.OpenSource(context.Background(), "file://"+dir, ""); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("%v", err)
	}
}

func TestSourceOpenStaysInside(t *testing.T) {
	t.Parallel()

	b := setupSource(t)
	b.write(t, "sub/a.csv", "0123456789")
	files, _ := b.list(t, "*/*")
	file := files[0]
	for url, want := range map[string]error{
		b.source.URL() + "gone.csv":         storage.ErrNotFound,
		"file:///etc/passwd":                storage.ErrNotFound,
		b.source.URL() + "sub":              storage.ErrChanged,
		b.source.URL() + "../../etc/passwd": fs.ErrInvalid,
	} {
		_, err := b.source.Open(context.Background(), url, file.Version, 0)
		if want == fs.ErrInvalid { // the standard library has no name for what leads out
			if err == nil || !strings.Contains(err.Error(), "escapes") {
				t.Errorf("%s: %v", url, err)
			}
			continue
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", url, err, want)
		}
	}
}

func TestSourceFileThatChanges(t *testing.T) {
	t.Parallel()

	const content = "0123456789"
	for name, change := range map[string]func(path string) error{
		"appended to": func(path string) error { return os.WriteFile(path, []byte(content+"x"), 0o644) },
		"cut off":     func(path string) error { return os.Truncate(path, 5) },
		"touched":     func(path string) error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupSource(t)
			b.write(t, "a.csv", content)
			files, _ := b.list(t, "*")
			file := files[0]
			r, err := b.source.Open(context.Background(), file.URL, file.Version, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := change(filepath.Join(b.dir, "a.csv")); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); !errors.Is(err, storage.ErrChanged) || len(got) > len(content) {
				t.Errorf("an open reader gave %q, %v", got, err)
			}
			if _, err := b.source.Open(context.Background(), file.URL, file.Version, 0); !errors.Is(err, storage.ErrChanged) {
				t.Errorf("opened again: %v", err)
			}
		})
	}
}

// A file that is put in the place of another is another; who reads the old one reads it to its end.
func TestSourceFileThatIsReplaced(t *testing.T) {
	t.Parallel()

	b := setupSource(t)
	b.write(t, "a.csv", "old")
	files, _ := b.list(t, "*.csv")
	r, err := b.source.Open(context.Background(), files[0].URL, files[0].Version, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b.write(t, "new", "newer")
	if err := os.Rename(filepath.Join(b.dir, "new"), filepath.Join(b.dir, "a.csv")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := b.source.Open(context.Background(), files[0].URL, files[0].Version, 0); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("%v", err)
	}
}
