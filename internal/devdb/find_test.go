//go:build linux || darwin

package devdb

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		out  string
		want int
	}{
		{"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", 15},
		{"postgres (PostgreSQL) 18.3\n", 18},
		{"postgres (PostgreSQL) 17beta1\n", 17},
		{"postgres (EnterpriseDB) 16.1\n", 16},
		{"postgres (PostgreSQL) 9.6.24\n", 9},
		{"psql (PostgreSQL) 16.1\n", 0},
		{"postgres (PostgreSQL) devel\n", 0},
		{"", 0},
	}
	for _, tt := range tests {
		if got := parseVersion(tt.out); got != tt.want {
			t.Errorf("parseVersion(%q) = %d, want %d", tt.out, got, tt.want)
		}
	}
}

// fakePrograms makes a folder with programs that only tell their version.
func fakePrograms(t *testing.T, dir, version string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
	for _, name := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindPrograms(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for dir, version := range map[string]string{"9.6": "9.6.24", "14": "14.2", "16": "16.1", "17": "17.5"} {
		fakePrograms(t, filepath.Join(root, "lib", dir, "bin"), version)
	}
	lone := filepath.Join(root, "lone")
	if err := os.Mkdir(lone, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "lib", "16", "bin", "initdb"), filepath.Join(lone, "initdb")); err != nil {
		t.Fatal(err)
	}
	all := filepath.Join(root, "lib", "*", "bin")

	tests := []struct {
		name   string
		search []string
		want   int // version of the data
		found  string
	}{
		{"highest of a pattern", []string{all}, 0, "17"},
		{"version of the data", []string{all}, 14, "14"},
		{"first pattern first", []string{filepath.Join(root, "none"), filepath.Join(root, "lib", "14", "bin"), all}, 0, "14"},
		{"link to initdb alone", []string{lone}, 0, "16"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := findPrograms(t.Context(), &Opts{Search: tt.search}, tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(root, "lib", tt.found, "bin"); got.dir != want {
				t.Errorf("found %s, want %s", got.dir, want)
			}
		})
	}
}

func TestFindProgramsNotFound(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	fakePrograms(t, filepath.Join(root, "old", "bin"), "9.6.24")
	pattern := filepath.Join(root, "*", "bin")
	none := filepath.Join(root, "none")
	closed := closedRepository(t)

	_, err := findPrograms(t.Context(), &Opts{
		CacheDir:   filepath.Join(root, "cache"),
		Repository: closed,
		Search:     []string{pattern, none},
	}, 0)
	var missing *NotFoundError
	if !errors.As(err, &missing) {
		t.Fatalf("error %v, want a NotFoundError", err)
	}
	for _, part := range []string{
		pattern, filepath.Join("old", "bin", "postgres"), "9.6.24", none, closed,
		"install PostgreSQL 14 or newer", "set DATABASE_URL",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

func TestFindProgramsBinDir(t *testing.T) {
	t.Parallel()
	_, err := findPrograms(t.Context(), &Opts{BinDir: t.TempDir()}, 0)
	if err == nil || !strings.Contains(err.Error(), "has no initdb") {
		t.Errorf("empty BinDir: %v", err)
	}
}
