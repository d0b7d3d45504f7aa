package cleanupjob_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testkind"
	"github.com/tidemill/tidemill/internal/tests3"
)

// Rows that are deleted are in the archive, and none of those that a busy storage did not take is deleted.
func TestCleanupArchivesInS3(t *testing.T) {
	t.Parallel()

	bucket, server := testkind.StorageInS3(t)
	b := setupCleanupIn(t, bucket, `CREATE TABLE public.logs (id int PRIMARY KEY, at timestamptz);
		CREATE INDEX ON logs (at);
		INSERT INTO logs SELECT i, '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 90) i`,
		"rules: [{table: logs, column: at, older_than: 30d}]\nbatch: 30\nmax_batch: 30\narchive: csv")
	var mu sync.Mutex
	puts := 0
	server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method != http.MethodPut {
			return false
		}
		puts++
		if puts == 1 || puts > 4 {
			return false
		}
		tests3.Refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	})
	info, result := b.run(t)
	if info.Status != batch.Succeeded || result.Rules[0].Deleted != 90 {
		t.Errorf("%s %v %+v", info.Status, info.Error, result)
	}
	archived := 0
	for _, key := range server.Keys(t) {
		if !strings.HasPrefix(key, "tidemill/"+result.Archive.Folder+"/") {
			t.Errorf("%s is in another folder", key)
		}
		archived += strings.Count(server.Get(t, key), "\n") - 1 // the header
	}
	if archived != 90 || server.Uploads(t) != 0 {
		t.Errorf("%d rows are in the archive", archived)
	}
	if puts < 5 {
		t.Errorf("only %d requests, so nothing was refused", puts)
	}
}
