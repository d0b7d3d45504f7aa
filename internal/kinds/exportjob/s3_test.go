package exportjob_test

import (
	"bytes"
	"net/http"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/exportjob"
	"github.com/tidemill/tidemill/internal/testkind"
	"github.com/tidemill/tidemill/internal/tests3"
)

// An export to S3 is the file that it is in a directory, however often it was interrupted, and leaves nothing beside it.
func TestExportToS3(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		fields      string
		interrupted bool
	}{
		"keyset":   {"table: t\nchunk: 100\ncompression: " + exportjob.Zstd, true},
		"snapshot": {"table: t\nchunk: 700\nconsistency: snapshot\nranges: 3", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inDirectory, _ := setupExport(t, manyRows, tt.fields).dump(t, "")
			bucket, server := testkind.StorageInS3(t)
			b := setupExport(t, manyRows, tt.fields, func(b *exportBundle) { b.storage = bucket })
			run := b.start(t, "")
			var info *batch.Info
			if tt.interrupted {
				info = b.stopped(t, run)
			} else {
				info = b.WaitStatus(t, run, batch.Succeeded, batch.Failed)
			}
			if info.Status == batch.Failed {
				t.Fatal(*info.Error)
			}
			inS3, result := b.file(t, info)
			if !bytes.Equal(inDirectory, inS3) {
				t.Errorf("%d bytes in S3, %d in a directory", len(inS3), len(inDirectory))
			}
			if keys := server.Keys(t); len(keys) != result.Parts+1 || server.Uploads(t) != 0 {
				t.Errorf("%d parts, %d keys: %s", result.Parts, len(keys), keys)
			}
		})
	}
}

// A storage that is away for a moment costs an attempt, not the export.
func TestExportToS3ThatIsAway(t *testing.T) {
	t.Parallel()

	bucket, server := testkind.StorageInS3(t)
	b := setupExport(t, manyRows, "table: t\nchunk: 1000", func(b *exportBundle) { b.storage = bucket })
	var mu sync.Mutex
	puts := 0
	server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method != http.MethodPut {
			return false
		}
		puts++
		if puts < 3 || puts > 6 { // as often as the library tries, and once more
			return false
		}
		tests3.Refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	})
	file, result := b.dump(t, "")
	if lines := bytes.Count(file, []byte("\n")); lines != 5001 || result.Rows != 5000 {
		t.Errorf("%d lines, %+v", lines, result)
	}
	if keys := server.Keys(t); len(keys) != result.Parts+1 {
		t.Errorf("%d parts, %d keys", result.Parts, len(keys))
	}
	var attempts int
	if err := b.Pool.QueryRow(t.Context(), "SELECT attempt FROM tidemill.river_job").Scan(&attempts); err != nil || attempts < 2 {
		t.Errorf("%d attempts, %v", attempts, err)
	}
}
