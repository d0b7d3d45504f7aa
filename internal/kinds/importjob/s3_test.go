package importjob_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
	"github.com/tidemill/tidemill/internal/testkind"
	"github.com/tidemill/tidemill/internal/tests3"
)

// counted is a file of so many rows, and what the table holds when it is imported.
func counted(rows int) (file string, want []string) {
	var b strings.Builder
	b.WriteString("id,name\n")
	for i := range rows {
		fmt.Fprintf(&b, "%d,person %d\n", i, i)
		want = append(want, fmt.Sprintf("%d|person %d", i, i))
	}
	return b.String(), want
}

const countedTable = `CREATE TABLE public.people (id int PRIMARY KEY, name text)`

// An upload in S3 is read on from where the last attempt has committed, by a request for the rest.
func TestImportFromS3GoesOn(t *testing.T) {
	t.Parallel()

	bucket, server := testkind.StorageInS3(t)
	b := setup(t, countedTable, "table: people\nmatch: [id]", func(b *importBundle, opts *importjob.Opts) {
		b.storage, opts.Storage = bucket, bucket
		pausing(5)(b, opts)
	})
	var mu sync.Mutex
	ranges := map[string]bool{}
	server.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if asked := r.Header.Get("Range"); asked != "" {
			ranges[asked] = true
		}
		return false
	})
	file, want := counted(50)
	info, pauses := b.finish(t, b.start(t, file, importjob.Args{Definition: b.cfg.Jobs["load"].Hash()}))
	if info.Status != batch.Succeeded || info.Counters != (batch.Counters{Read: 50, Inserted: 50}) || pauses < 3 {
		t.Errorf("%s: %s %+v, %d pauses", info.Status, text(info.Error), info.Counters, pauses)
	}
	if diff := cmp.Diff(want, b.rows(t, "SELECT id, name FROM people ORDER BY id")); diff != "" {
		t.Error(diff)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ranges) < pauses {
		t.Errorf("%d pauses, and these parts were asked for: %v", pauses, ranges)
	}
}

// A connection that breaks again and again costs no row and doubles none: each attempt imports what it got.
func TestImportFromS3OverABadLine(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct{ name, fields string }{
		{"one writer", "table: people\nmatch: [id]\non_conflict: error"},
		{"three writers", "table: people\nmatch: [id]\non_conflict: error\nwriters: 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bucket, server := testkind.StorageInS3(t)
			b := setup(t, countedTable, tt.fields, func(b *importBundle, opts *importjob.Opts) {
				b.storage, opts.Storage, opts.ChunkRows = bucket, bucket, 1000
			})
			const rows = 30_000
			file, want := counted(rows)
			server.Cut(300_000) // more than the head of the file, so that each attempt gets on
			info := b.load(t, file)
			if info.Status != batch.Succeeded || info.Counters != (batch.Counters{Read: rows, Inserted: rows}) {
				t.Errorf("%s: %s %+v", info.Status, text(info.Error), info.Counters)
			}
			if diff := cmp.Diff(want, b.rows(t, "SELECT id, name FROM people ORDER BY id")); diff != "" {
				t.Error(diff)
			}
			if failed := b.rows(t, "SELECT count(*) FROM tidemill.river_job WHERE attempt > 1"); failed[0] != "1" {
				t.Errorf("no attempt has failed: %s", failed)
			}
		})
	}
}

// Where no attempt gets on, the run fails, and says why; what could be had is kept.
func TestImportFromS3ThatStaysBroken(t *testing.T) {
	t.Parallel()

	for _, compression := range []string{"none", "gzip"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			bucket, server := testkind.StorageInS3(t)
			b := setup(t, countedTable, "table: people\nmatch: [id]", func(b *importBundle, opts *importjob.Opts) {
				b.storage, opts.Storage = bucket, bucket
			})
			file, _ := counted(20)
			if compression == "gzip" {
				file = gzipped(t, file)
			}
			server.Cut(int64(len(file)) - 5)
			info := b.load(t, file)
			if info.Status != batch.Failed || !strings.Contains(text(info.Error), "the connection broke after") || !strings.Contains(text(info.Error), "storage s3://files/tidemill: read test/") {
				t.Errorf("%s: %s", info.Status, text(info.Error))
			}
		})
	}
}

func TestImportFromS3Errors(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		fail func(t *testing.T, server *tests3.Server)
		want string
		once bool // it is no use to try again
	}{
		{"gone", func(t *testing.T, server *tests3.Server) { server.Remove(t, server.Keys(t)[0]) }, "the uploaded file is gone", true},
		{"changed", func(t *testing.T, server *tests3.Server) { server.Put(t, server.Keys(t)[0], "x") }, "has 1 bytes, but had", true},
		{"forbidden", refusing(http.StatusForbidden, "AccessDenied"), "permission denied; check the credentials", false},
		{"no bucket", refusing(http.StatusNotFound, "NoSuchBucket"), "no such bucket; create it", false},
		{"busy", refusing(http.StatusServiceUnavailable, "SlowDown"), "the storage is not available (503", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bucket, server := testkind.StorageInS3(t)
			b := setup(t, countedTable, "table: people\nmatch: [id]", func(b *importBundle, opts *importjob.Opts) {
				b.storage, opts.Storage = bucket, bucket
			})
			file, _ := counted(5)
			object, err := bucket.Put(t.Context(), "test", "file.csv", strings.NewReader(file), nil)
			if err != nil {
				t.Fatal(err)
			}
			tt.fail(t, server)
			started, err := b.Ledger.Start(t.Context(), importjob.Args{Job: "load", Object: object.Key, Name: "file.csv", Size: object.Size}, batch.StartOpts{Job: "load"})
			if err != nil {
				t.Fatal(err)
			}
			info := b.WaitStatus(t, started.ID, batch.Succeeded, batch.Failed)
			if info.Status != batch.Failed || !strings.Contains(text(info.Error), tt.want) {
				t.Errorf("%s: %s, want %s", info.Status, text(info.Error), tt.want)
			}
			attempts := "2"
			if tt.once {
				attempts = "1"
			}
			if got := b.rows(t, "SELECT attempt FROM tidemill.river_job"); got[0] != attempts {
				t.Errorf("%s attempts, want %s", got[0], attempts)
			}
		})
	}
}

func refusing(status int, code string) func(*testing.T, *tests3.Server) {
	return func(_ *testing.T, server *tests3.Server) {
		server.Before(func(w http.ResponseWriter, _ *http.Request) bool {
			tests3.Refuse(w, status, code)
			return true
		})
	}
}
