package exportjob

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/keyset"
)

// Runs that stopped before an upgrade continue after it.
func TestCursorsStayReadable(t *testing.T) {
	t.Parallel()
	span := keyset.Span{After: []string{"a", "1"}, Until: []string{"z", "9"}}
	var export exportCursor
	if err := json.Unmarshal([]byte(`{"artifact": 3, "definition": "d", "shape": "s", "after": ["a", "1"], "until": ["z", "9"], "parts": 2, "bytes": 5}`), &export); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exportCursor{Artifact: 3, Definition: "d", Shape: "s", Span: span, Parts: 2, Bytes: 5}, export); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
