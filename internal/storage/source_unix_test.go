//go:build unix

package storage_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSourceList(t *testing.T) {
	t.Parallel()

	b := setupSource(t)
	outside := t.TempDir()
	for _, name := range []string{"b.csv", "a.csv", "a b%.csv", ".hidden.csv", "x.txt", "sub/c.csv", "sub/deep/d.csv", "tub/e.csv", ".git/f.csv"} {
		b.write(t, name, name)
	}
	if err := os.WriteFile(filepath.Join(outside, "secret.csv"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link.csv": filepath.Join(outside, "secret.csv"), "inner.csv": "a.csv", "out": outside} {
		if err := os.Symlink(to, filepath.Join(b.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(b.dir, "pipe.csv"), 0o644); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string][]string{
		"*.csv":      {"a b%.csv", "a.csv", "b.csv"},
		"a.csv":      {"a.csv"},
		"*/*.csv":    {"sub/c.csv", "tub/e.csv"},
		"s*/c.csv":   {"sub/c.csv"},
		"*/deep/*":   {"sub/deep/d.csv"},
		"sub":        {},
		"gone/*.csv": {},
	} {
		if diff := cmp.Diff(want, b.names(t, pattern)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", pattern, diff)
		}
	}
}
