package tidemill

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/internal/tests3"
)

// drop is where files are put for the imports of a test.
type drop struct {
	base    string // begins the URLs of the files
	params  string // ends that of the source
	put     func(t *testing.T, name, content string)
	remove  func(t *testing.T, name string)
	version func(t *testing.T, name string) string
	lose    func(t *testing.T) (back func()) // as a whole
	lost    string                           // what a look says then
}

func dropDirectory(t *testing.T) *drop {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "drop")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	rename := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	return &drop{
		base: "file://" + dir + "/",
		put: func(t *testing.T, name, content string) {
			t.Helper()
			hidden := filepath.Join(dir, "."+name)
			if err := os.WriteFile(hidden, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			rename(hidden, filepath.Join(dir, name))
		},
		remove: func(t *testing.T, name string) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		},
		version: func(t *testing.T, name string) string {
			t.Helper()
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano())
		},
		lose: func(*testing.T) func() {
			rename(dir, dir+".away")
			return func() { rename(dir+".away", dir) }
		},
		lost: "source file://" + dir + ": no such file or directory",
	}
}

func dropBucket(t *testing.T) (*drop, *tests3.Server) {
	t.Helper()
	server := tests3.Start(t)
	return &drop{
		base:   "s3://" + tests3.Bucket + "/drop/",
		params: "?" + server.Params(),
		put:    func(t *testing.T, name, content string) { server.Put(t, "drop/"+name, content) },
		remove: func(t *testing.T, name string) { server.Remove(t, "drop/"+name) },
		version: func(t *testing.T, name string) string {
			content := server.Get(t, "drop/"+name)
			return fmt.Sprintf("%d-%x", len(content), md5.Sum([]byte(content)))
		},
		lose: func(*testing.T) func() {
			server.Before(func(w http.ResponseWriter, _ *http.Request) bool {
				tests3.Refuse(w, http.StatusNotFound, "NoSuchBucket")
				return true
			})
			return func() { server.Before(nil) }
		},
		lost: "source s3://" + tests3.Bucket + "/drop/: no such bucket; create it, or correct its name, region or endpoint",
	}, server
}

// eachDrop runs a test with a directory and with a bucket.
func eachDrop(t *testing.T, fields string, test func(t *testing.T, b *sourceBundle)) {
	t.Helper()
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		test(t, setupSource(t, dropDirectory(t), fields))
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		bucket, _ := dropBucket(t)
		test(t, setupSource(t, bucket, fields))
	})
}

type sourceBundle struct {
	*App
	*drop
}

// setupSource has a job drop, with these further fields, whose source is the test's own.
func setupSource(t *testing.T, d *drop, fields string) *sourceBundle {
	t.Helper()
	b := &sourceBundle{drop: d}
	b.App = setup(t, `
queues: {default: 4}
retry: {delay: 10ms, max_delay: 100ms}
jobs:
  drop:
    kind: import
    source: "`+b.source()+`"
    table: people
    columns: {name: name, file: file}
    `+fields+`
  after: {kind: verdict}
  failed: {kind: verdict}
`)
	river.AddWorker(b.Workers, &verdictWorker{})
	if _, err := b.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Pool.Exec(t.Context(), `CREATE TABLE people (name text, file text)`); err != nil {
		t.Fatal(err)
	}
	return b
}

// source is what the configuration says.
func (b *sourceBundle) source() string { return b.base + "*.csv" + b.params }
