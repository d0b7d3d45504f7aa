package tidemill

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

// Each worker of a queue can have a connection, unless the URL says otherwise; where that cannot be, a worker says so when
// it starts.
func TestPoolsFitTheQueues(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name     string
		limit    string
		queues   string
		want     int32 // connections of the pool
		warnings []string
	}{
		{"as configured", "", "{default: 20, low: 5}", 25 + spareConns, nil},
		{"limited", "&pool_max_conns=4", "{default: 20, low: 5}", 4, []string{"database.url allows fewer connections than there are workers"}},
		{"limited to enough", "&pool_max_conns=30", "{default: 20}", 30, nil},
		{"more than the server has", "", "{default: 1000}", 1000 + spareConns, []string{"the server may run out of connections"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			url := testengine.URL(t) + tt.limit
			cfg, err := config.Parse("tidemill.yaml", fmt.Appendf(nil, "database: {url: \"${DATABASE_URL}\"}\nqueues: %s\n", tt.queues),
				&config.Opts{Kinds: workers.Configs(), Lookup: func(string) (string, bool) { return url, true }})
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			app, err := New(ctx, cfg, &Opts{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
			if err != nil {
				t.Fatal(err)
			}
			defer app.Close()
			if got := app.Pool.Config().MaxConns; got != tt.want {
				t.Errorf("the pool has up to %d connections, want %d", got, tt.want)
			}
			queues, err := app.queues(nil)
			if err != nil {
				t.Fatal(err)
			}
			app.checkConns(ctx, queues)
			if got := strings.Count(log.String(), "level=WARN"); got != len(tt.warnings) {
				t.Errorf("%d warnings, want %d:\n%s", got, len(tt.warnings), &log)
			}
			for _, want := range tt.warnings {
				if !strings.Contains(log.String(), want) {
					t.Errorf("no warning says %q:\n%s", want, &log)
				}
			}
		})
	}
}
