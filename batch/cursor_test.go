package batch

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/keyset"
)

// Runs that stopped before an upgrade continue after it.
func TestCursorsStayReadable(t *testing.T) {
	t.Parallel()
	const stored = `{"no":3,"after":["2026-01-01 00:00:00.123456Z","1"],"until":["2027-01-01 00:00:00+00","9"]}`
	var cursor eachCursor
	if err := json.Unmarshal([]byte(stored), &cursor); err != nil {
		t.Fatal(err)
	}
	span := keyset.Span{After: []string{"2026-01-01 00:00:00.123456Z", "1"}, Until: []string{"2027-01-01 00:00:00+00", "9"}}
	if diff := cmp.Diff(eachCursor{No: 3, Span: span}, cursor); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
