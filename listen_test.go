package tidemill

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

func TestSecondWorkerOnAMachine(t *testing.T) {
	t.Parallel()

	// Whoever has the default address, this test or another worker on this machine: it is in use.
	if holder, err := net.Listen("tcp", config.Default().Metrics.Listen); err == nil {
		defer holder.Close()
	}
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for _, tt := range []struct{ name, yaml, refused string }{
		{"nobody asked for the address", "", ""},
		{"the default was asked for", "metrics: {listen: \"" + config.Default().Metrics.Listen + "\"}\n", "is in use, perhaps by another worker"},
		{"another was asked for", "metrics: {listen: \"" + own.Addr().String() + "\"}\n", own.Addr().String() + " is in use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := testengine.URL(t)
			cfg, err := config.Parse("tidemill.yaml", []byte("database: {url: \"${DATABASE_URL}\"}\n"+tt.yaml),
				&config.Opts{Kinds: workers.Configs(), Lookup: func(string) (string, bool) { return url, true }})
			if err != nil {
				t.Fatal(err)
			}
			log := &addressLog{found: make(chan string, 1)}
			app, err := New(t.Context(), cfg, &Opts{Logger: slog.New(slog.NewJSONHandler(log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer app.Close()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan error, 1)
			go func() { ended <- app.Run(ctx, nil) }()
			select {
			case address := <-log.found:
				if tt.refused != "" {
					t.Errorf("it serves at %s", address)
				}
				waitShown(t, "http://"+address+"/metrics", "tidemill_")
				waitShown(t, "http://"+address+"/readyz", `"client":"ok"`)
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			case err := <-ended:
				if err == nil || tt.refused == "" || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("%v, want %s", err, tt.refused)
				}
			}
		})
	}
}
