package tidemill

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/tests3"
)

// A connection that breaks while files are read is no word about the files: the scan and the imports are tried again.
func TestSourceInS3OverABadLine(t *testing.T) {
	t.Parallel()

	d, server := dropBucket(t)
	b := setupSource(t, d, "match: [name]\n    on_conflict: error")
	if _, err := b.Pool.Exec(t.Context(), `CREATE UNIQUE INDEX ON people (name)`); err != nil {
		t.Fatal(err)
	}
	const rows = 40_000
	var file strings.Builder
	file.WriteString("name,file\n")
	for i := range rows {
		fmt.Fprintf(&file, "person number %d,large\n", i)
	}
	b.put(t, "a.csv", file.String())
	b.put(t, "b.csv", "name,file\nbob,b\n")
	server.Cut(600_000) // of a.csv, not of b.csv
	work(t, b.App)
	started, err := b.Start(t.Context(), "drop", nil)
	if err != nil {
		t.Fatal(err)
	}
	waitStatus(t, b.App, started.ID, batch.Retrying)
	info, err := b.Ledger.Get(t.Context(), started.ID)
	if err != nil || !strings.Contains(*info.Error, "1 of 2 files cannot be read: source s3://files/drop/a.csv: the connection broke after 600000 of ") {
		t.Errorf("%s, %v", *info.Error, err)
	}
	// The other file does not wait for that.
	if err := waitFor(t, b.App, 1, `SELECT count(*)::int FROM people WHERE name = 'bob'`); err != nil {
		t.Fatal(err)
	}
	server.Cut(-1)
	waitStatus(t, b.App, started.ID, batch.Succeeded)
	server.Cut(600_000)
	b.imported(t, 2)
	if n := must(ask[int](t, b.App, `SELECT count(*)::int FROM people`)); n != rows+1 {
		t.Errorf("%d rows, want %d", n, rows+1)
	}
}

// A service that is busy is asked again; what only a person can fix ends the scan.
func TestSourceInS3Refused(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		status int
		code   string
		want   batch.Status
		says   string
	}{
		"busy":      {http.StatusServiceUnavailable, "SlowDown", batch.Retrying, "the storage is not available (503 SlowDown"},
		"forbidden": {http.StatusForbidden, "AccessDenied", batch.Failed, "permission denied; check the credentials"},
		"no bucket": {http.StatusNotFound, "NoSuchBucket", batch.Failed, "no such bucket; create it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, server := dropBucket(t)
			b := setupSource(t, d, "retry: {max_attempts: 2, delay: 1h, max_delay: 1h}")
			b.put(t, "a.csv", "name,file\nann,a\n")
			server.Before(func(w http.ResponseWriter, _ *http.Request) bool {
				tests3.Refuse(w, tt.status, tt.code)
				return true
			})
			work(t, b.App)
			started, err := b.Start(t.Context(), "drop", nil)
			if err != nil {
				t.Fatal(err)
			}
			waitStatus(t, b.App, started.ID, tt.want)
			info, err := b.Ledger.Get(t.Context(), started.ID)
			if err != nil || !strings.Contains(*info.Error, "source s3://files/drop/: "+tt.says) {
				t.Errorf("%s, %v", *info.Error, err)
			}
		})
	}
}

// An object that is replaced in the middle of its import is not mixed with what takes its place.
func TestSourceInS3ReplacedDuringItsImport(t *testing.T) {
	t.Parallel()

	d, server := dropBucket(t)
	b := setupSource(t, d, "")
	const chunk = 50_000
	file := "name,file\n" + strings.Repeat("old,x\n", 2*chunk+chunk/2)
	b.put(t, "a.csv", file)
	run := b.startFile(t, b.base+"a.csv", b.version(t, "a.csv"))
	// The connection of the first attempt breaks near the end. When the next one asks for the rest, it is another object's.
	server.Cut(int64(len(file)) - 100)
	var replaced sync.Once
	server.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		var from int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && from > len(file)/3 {
			replaced.Do(func() {
				server.Cut(-1)
				b.put(t, "a.csv", strings.ReplaceAll(file, "old", "new"))
			})
		}
		return false
	})
	work(t, b.App)
	waitStatus(t, b.App, run, batch.Failed)
	info, err := b.Ledger.Get(t.Context(), run)
	if err != nil || !strings.Contains(*info.Error, "has changed since this run was started; what it has committed is kept") {
		t.Errorf("%s, %v", *info.Error, err)
	}
	if n := must(ask[int](t, b.App, `SELECT count(*)::int FROM people WHERE name = 'old'`)); n < 2*chunk {
		t.Errorf("%d rows of the old object are kept", n)
	}
	if n := must(ask[int](t, b.App, `SELECT count(*)::int FROM people WHERE name <> 'old'`)); n != 0 {
		t.Errorf("%d rows of the new object", n)
	}
}
