package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/cli"
	"github.com/tidemill/tidemill/internal/testdb"
)

// tidemillCommand runs the tidemill command in the folder's configuration and returns what it printed.
func tidemillCommand(t *testing.T, file string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	m := cli.Main{
		Args: append([]string{"--config", file}, args...), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Version: tidemill.Version(),
		Open: func(ctx context.Context, cfg *config.Config, opts *tidemill.Opts) (*tidemill.App, error) {
			opts.SharedSessions = false
			return tidemill.New(ctx, cfg, opts)
		},
	}
	if code := m.Run(t.Context()); code != 0 {
		t.Fatalf("tidemill %s: exit %d: %s", strings.Join(args, " "), code, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// The command counts and shows by the database's clock: on a laptop whose clock is wrong, "in 10 minutes" are 10 minutes.
func TestCommandGoesByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"an hour slow": time.Hour, "an hour fast": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Skewed(t, ahead)
			file := filepath.Join(t.TempDir(), "tidemill.yaml")
			err := os.WriteFile(file, fmt.Appendf(nil, `
database: {url: %q}
jobs:
  plain: {kind: plain, params: {at: {type: timestamp, default: scheduled_for}}, schedule: {every: 1h}}
`, url), 0o600)
			if err != nil {
				t.Fatal(err)
			}
			tidemillCommand(t, file, "migrate", "up")
			pool := testdb.Pool(t, url)

			for _, args := range [][]string{{"start", "plain", "--in", "10m"}, {"enqueue", "plain", "--in", "10m"}} {
				id := tidemillCommand(t, file, args...)
				within(t, args[0]+" --in 10m: due in", since(t, pool, `SELECT -extract(epoch FROM clock_timestamp() - scheduled_at) FROM tidemill.river_job WHERE id = `+id), 590, 601)
			}
			triggered := tidemillCommand(t, file, "schedules", "trigger", "plain")
			meant := since(t, pool, `SELECT extract(epoch FROM clock_timestamp() - (args->>'scheduled_for')::timestamptz) FROM tidemill.river_job WHERE id = `+triggered)
			within(t, "schedules trigger: meant for, ago", meant, -1, 10)
			started := tidemillCommand(t, file, "start", "plain")
			meant = since(t, pool, `SELECT extract(epoch FROM clock_timestamp() - (args->>'at')::timestamptz) FROM tidemill.river_job WHERE id = `+started)
			within(t, "start: scheduled_for, ago", meant, -1, 10) // the clock is known to half a round trip

			var ticks []struct {
				DueAt time.Time `json:"due_at"`
			}
			if err := json.Unmarshal([]byte(tidemillCommand(t, file, "schedules", "next", "-n", "1", "--json")), &ticks); err != nil || len(ticks) != 1 {
				t.Fatalf("%v: %v", ticks, err)
			}
			next := since(t, pool, fmt.Sprintf(`SELECT extract(epoch FROM to_timestamp(%d) - clock_timestamp())`, ticks[0].DueAt.Unix()))
			within(t, "schedules next: due in", next, -1, 3600)

			for line := range strings.Lines(tidemillCommand(t, file, "jobs", "list")) {
				if strings.Contains(line, "59m") || strings.Contains(line, "1h") {
					t.Errorf("a job of a moment ago is shown as: %s", line)
				} else {
					t.Log(line)
				}
			}
		})
	}
}

func since(t *testing.T, pool *pgxpool.Pool, query string) (seconds float64) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), query).Scan(&seconds); err != nil {
		t.Fatal(err)
	}
	return seconds
}

func within(t *testing.T, what string, got, from, to float64) {
	t.Helper()
	if got < from || got > to {
		t.Errorf("%s: %.3f s, want %.0f to %.0f", what, got, from, to)
	}
}
