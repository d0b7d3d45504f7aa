//go:build linux || darwin

package devdb

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// repository serves one build the way Maven Central does.
type repository struct {
	build    []byte
	checksum string
	fetched  atomic.Int32 // builds
}

var buildPath = regexp.MustCompile(`^/io/zonky/test/postgres/(embedded-postgres-binaries-[a-z0-9-]+)/(\d+\.\d+\.\d+)/(embedded-postgres-binaries-[a-z0-9-]+)-(\d+\.\d+\.\d+)\.jar(\.sha256)?$`)

func (r *repository) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	m := buildPath.FindStringSubmatch(req.URL.Path)
	if m == nil || m[1] != m[3] || m[2] != m[4] {
		http.NotFound(w, req)
		return
	}
	if m[5] != "" {
		_, _ = io.WriteString(w, r.checksum)
		return
	}
	r.fetched.Add(1)
	_, _ = w.Write(r.build)
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv.URL
}

// realBuild packs the programs of this machine like a published build: a jar with a tar.
func realBuild(t *testing.T) []byte {
	t.Helper()
	progs := realPrograms(t)
	root := t.TempDir()
	copyFiles(t, progs.dir, filepath.Join(root, "bin"), func(name string) bool {
		return name == "initdb" || name == "postgres" || name == "pg_ctl"
	})
	parent := filepath.Dir(progs.dir)
	for _, dir := range companions(t, parent, "lib") {
		copyFiles(t, filepath.Join(parent, dir), filepath.Join(root, dir), func(name string) bool {
			return needed.MatchString(name)
		})
	}
	for _, dir := range companions(t, parent, "share") {
		copyFiles(t, filepath.Join(parent, dir), filepath.Join(root, dir), func(string) bool { return true })
	}

	tarball := filepath.Join(t.TempDir(), "postgres.txz")
	pack := exec.CommandContext(t.Context(), "tar", "-cJf", tarball, "-C", root, ".")
	pack.Env = append(os.Environ(), "XZ_OPT=-0")
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	text, err := os.ReadFile(tarball)
	if err != nil {
		t.Fatal(err)
	}
	return jar(t, "postgres-test.txz", text)
}

// needed matches the libraries that initdb and a new database load; there are eighty, and unpacking takes its time.
var needed = regexp.MustCompile(`^(dict_snowball|libpq|plpgsql)`)

// companions lists the folders of the programs' own files below parent/kind: all of it, unless others' are there too.
// None is right as well: the programs look where they were installed if nothing is beside them.
func companions(t *testing.T, parent, kind string) []string {
	t.Helper()
	var own []string
	for _, name := range []string{"postgresql*", "pgsql*"} {
		found, err := filepath.Glob(filepath.Join(parent, kind, name))
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, found...)
	}
	if len(own) == 0 {
		if _, err := os.Stat(filepath.Join(parent, kind)); err != nil || parent == "/usr" || parent == "/usr/local" {
			return nil
		}
		return []string{kind}
	}
	for i, dir := range own {
		own[i] = filepath.Join(kind, filepath.Base(dir))
	}
	return own
}

// copyFiles copies what links lead to, as the originals may not be there for the copy.
func copyFiles(t *testing.T, from, to string, want func(name string) bool) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || !want(entry.Name()) {
			return nil
		}
		info, err := os.Stat(path)
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, text, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func jar(t *testing.T, name string, text []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	archive := zip.NewWriter(&buf)
	file, err := archive.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func checksum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func closedRepository(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	return srv.URL
}

func TestDownload(t *testing.T) {
	t.Parallel()
	build := realBuild(t)
	repo := &repository{build: build, checksum: checksum(build)}
	cache := filepath.Join(shortDir(t), "cache")
	opts := &Opts{CacheDir: cache, Repository: serve(t, repo) + "/", Search: []string{}}

	for range 2 {
		db := startTest(t, opts)
		if got := query[int](t, db.URL(), "SELECT 1"); got != 1 {
			t.Errorf("SELECT 1 = %d", got)
		}
		if !strings.HasPrefix(db.BinDir(), cache) {
			t.Errorf("the programs are those of %s, not the downloaded ones", db.BinDir())
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := repo.fetched.Load(); n != 1 {
		t.Errorf("fetched %d times, want once", n)
	}
	if left := entries(t, cache); len(left) != 1 {
		t.Errorf("the cache holds %v, want the programs alone", left)
	}
}

func TestDownloadFails(t *testing.T) {
	t.Parallel()
	empty := jar(t, "README", []byte("no programs here"))
	tests := []struct {
		name string
		url  string
		want string
	}{
		{"unreachable", closedRepository(t), "unable to connect"},
		{"no such build", serve(t, http.NotFoundHandler()), "no version found"},
		{"changed on the way", serve(t, &repository{build: empty, checksum: checksum(nil)}), "checksums do not match"},
		{"no archive in it", serve(t, &repository{build: empty, checksum: checksum(empty)}), "cannot find binary"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cache := t.TempDir()
			_, err := Start(t.Context(), &Opts{CacheDir: cache, Repository: tt.url, Search: []string{}})
			var missing *NotFoundError
			if !errors.As(err, &missing) {
				t.Fatalf("error %v, want a NotFoundError", err)
			}
			for _, part := range []string{tt.want, tt.url} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
			if diff := cmp.Diff([]string{}, entries(t, cache)); diff != "" {
				t.Errorf("left in the cache (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDownloadCancelled(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	release := make(chan struct{})
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		close(asked)
		<-release
		http.NotFound(w, req)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	cache := t.TempDir()
	_, err := Start(ctx, &Opts{CacheDir: cache, Repository: url, Search: []string{}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled download: %v", err)
	}
	close(release)
	eventually(t, "the transfer has cleaned up", func() bool { return len(entries(t, cache)) == 0 })
}

func TestDownloadRemovesStale(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	stale, fresh := filepath.Join(cache, stagingPrefix+"1"), filepath.Join(cache, stagingPrefix+"2")
	for _, dir := range []string{stale, fresh} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * stagingLife)
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	removeStale(cache)
	if diff := cmp.Diff([]string{stagingPrefix + "2"}, entries(t, cache)); diff != "" {
		t.Errorf("cache (-want +got):\n%s", diff)
	}
}
