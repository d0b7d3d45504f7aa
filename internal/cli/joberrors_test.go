package cli

import (
	"testing"

	"github.com/tidemill/tidemill/internal/operate"
)

func TestGroupStates(t *testing.T) {
	t.Parallel()
	for want, states := range map[string]map[string]int64{
		"discarded":               {"discarded": 1},
		"discarded:1 retryable:2": {"retryable": 2, "discarded": 1},
	} {
		if got := groupStates(&operate.FailureGroup{States: states}); got != want {
			t.Errorf("states %q, want %q", got, want)
		}
	}
}
