package eachjob

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
	var each eachCursor
	if err := json.Unmarshal([]byte(`{"after": ["a", "1"], "until": ["z", "9"], "rows": 7, "definition": "d"}`), &each); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(eachCursor{Span: span, Rows: 7, Definition: "d"}, each); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
