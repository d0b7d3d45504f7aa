//go:build unix

package storage_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/storage"
)

// What is made is for its owner alone, unless it is configured, and what is there stays as it is.
func TestModes(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name         string
		modes        storage.Modes
		file, folder fs.FileMode
	}{
		{"by default", storage.Modes{}, 0o600, 0o700},
		// No usual umask leaves that.
		{"for all", storage.Modes{File: 0o666, Folder: 0o777}, 0o666, 0o777},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			if err := os.Chmod(base, 0o755); err != nil {
				t.Fatal(err)
			}
			b, err := storage.OpenWith(t.Context(), "file://"+base+"/var/files", tt.modes)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			object, err := b.Put(t.Context(), "imports/load people", "a.csv", strings.NewReader("id\n1\n"), nil)
			if err != nil {
				t.Fatal(err)
			}
			files := 0
			err = filepath.WalkDir(base, func(path string, entry fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := entry.Info()
				if err != nil {
					return err
				}
				want := tt.folder
				switch {
				case path == base:
					want = 0o755
				case !entry.IsDir():
					want = tt.file
					files++
				}
				if got := info.Mode().Perm(); got != want {
					t.Errorf("%s: %o, want %o", strings.TrimPrefix(path, base), got, want)
				}
				return nil
			})
			if err != nil || files != 1 {
				t.Errorf("%d files below %s, %v", files, object.Key, err)
			}
		})
	}
}
