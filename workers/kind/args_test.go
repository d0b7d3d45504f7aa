package kind

import (
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// Receivers remember these: the id of a run must be the same for all its attempts, in this version and the next.
func TestUniqueID(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 11, 27, 9, 0, 0, 123456000, time.UTC)
	const id = "a4c43a38-d24d-84cf-8f5b-cdcbe650a52d"
	tests := []struct {
		name string
		row  rivertype.JobRow
		same bool
	}{
		{"first attempt", rivertype.JobRow{ID: 4711, Kind: "tidemill.http", CreatedAt: created, Attempt: 1}, true},
		{"a later one, seen elsewhere", rivertype.JobRow{ID: 4711, Kind: "tidemill.http", CreatedAt: created.In(time.FixedZone("", 9*60*60)), Attempt: 7, Queue: "other"}, true},
		{"the next of that number", rivertype.JobRow{ID: 4711, Kind: "tidemill.http", CreatedAt: created.Add(time.Microsecond)}, false},
		{"one of the same statement", rivertype.JobRow{ID: 4712, Kind: "tidemill.http", CreatedAt: created}, false},
		{"another kind", rivertype.JobRow{ID: 4711, Kind: "tidemill.command", CreatedAt: created}, false},
	}
	for _, tt := range tests {
		if got := UniqueID(&tt.row); (got == id) != tt.same {
			t.Errorf("%s: %s, and the first attempt has %s", tt.name, got, id)
		}
	}
}
