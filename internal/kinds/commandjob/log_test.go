package commandjob

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// In each minute as much as max_output is logged, and it is said what is missing.
func TestOutputLogIsBoundedByTime(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		plain := func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		}
		log := &outputLog{logger: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: plain})), most: 300, began: time.Now()}
		ctx := context.Background()
		for _, line := range []string{"a", "b", strings.Repeat("c", 100), "d"} {
			log.line(ctx, line)
		}
		<-time.After(time.Minute)
		log.line(ctx, "e")
		for range 10 {
			<-time.After(time.Minute)
			log.line(ctx, "slow")
		}
		log.tell(ctx)
		want := []string{
			`msg="command output" line=a`, `msg="command output" line=b`,
			`msg="command output comes too fast to be logged; what is more is left out, and its end is kept with the run" max_output=300 window=1m0s`,
			`msg="command output was left out of the log" lines=2 bytes=103`, `msg="command output" line=e`,
		}
		for range 10 {
			want = append(want, `msg="command output" line=slow`)
		}
		if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(text.String()), "\n")); diff != "" {
			t.Error(diff)
		}
	})
}
