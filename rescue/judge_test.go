package rescue

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// look is one sweep at a second of the sweeper's clock.
type look struct {
	at        int
	beat      int  // the other's beat, a number that changes or not
	connected bool // whether its session is there
	dead      bool // wanted
}

func TestJudge(t *testing.T) {
	t.Parallel()

	opts := Opts{DeadAfter: 20 * time.Second, DeadAfterLostSession: 5 * time.Second}
	tests := []struct {
		name  string
		own   int // second at which the sweeper's own session began
		looks []look
	}{
		{"beats", 0, []look{{0, 1, true, false}, {5, 2, true, false}, {10, 3, true, false}, {15, 4, true, false}, {20, 5, true, false}, {25, 6, true, false}}},
		{"frozen: still for 20 s", 0, []look{{0, 1, true, false}, {5, 1, true, false}, {10, 1, true, false}, {15, 1, true, false}, {19, 1, true, false}, {20, 1, true, true}}},
		{"killed: session gone for 5 s", 0, []look{{0, 1, true, false}, {2, 1, false, false}, {4, 1, false, false}, {6, 1, false, false}, {7, 1, false, true}}},
		{"session gone but it beats", 0, []look{{0, 1, false, false}, {2, 2, false, false}, {4, 3, false, false}, {6, 4, false, false}, {8, 5, false, false}}},
		{"session comes back", 0, []look{{0, 1, true, false}, {2, 1, false, false}, {4, 1, true, false}, {6, 1, false, false}, {8, 1, false, false}, {10, 1, false, false}, {11, 1, false, true}}},
		{"database away for a minute", 0, []look{{0, 1, true, false}, {5, 1, true, false}, {65, 1, true, false}, {70, 1, true, false}, {75, 2, true, false}}},
		{"own session was lost as well", 6, []look{{0, 1, true, false}, {5, 1, false, false}, {7, 1, false, false}, {11, 1, false, false}, {16, 1, false, false}}},
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &watcher{seen: map[string]*sighting{}}
			var got, want []bool
			for _, l := range tt.looks {
				dead := w.judge([]peer{{id: "x", beat: second(1000 + l.beat), connected: l.connected}}, second(l.at), second(tt.own), opts)
				got, want = append(got, len(dead) == 1), append(want, l.dead)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
