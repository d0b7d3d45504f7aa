package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
)

// patience is how long a test waits for something that happens in another goroutine.
const patience = 30 * time.Second

type bundle struct {
	url     string
	pool    *pgxpool.Pool
	reg     *prometheus.Registry
	metrics *Metrics
}

func setup(t testing.TB, opts Opts) *bundle {
	t.Helper()
	url := testengine.URL(t)
	b := &bundle{url: url, pool: testdb.Pool(t, url)}
	b.reg, b.metrics = newMetrics(t, opts)
	return b
}

func newMetrics(t testing.TB, opts Opts) (*prometheus.Registry, *Metrics) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	opts.Registerer = reg
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return reg, m
}

func connConfig(t testing.TB, url, name string) *pgx.ConnConfig {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = name
	return config
}

// report runs Report until the returned function is called, which waits for its end; the end of the test calls it too.
func report(t *testing.T, m *Metrics, config *pgx.ConnConfig) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- m.Report(ctx, config)
		close(done)
	}()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Report: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// samples are values by series, as in name{label="value"}; of a histogram the number of observations.
type samples map[string]float64

func gather(t *testing.T, g prometheus.Gatherer, prefixes ...string) samples {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := samples{}
	for _, family := range families {
		if len(prefixes) > 0 && !hasPrefix(family.GetName(), prefixes) {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := make([]string, 0, len(m.GetLabel()))
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := strings.TrimPrefix(family.GetName(), "tidemill_")
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.GetHistogram() != nil:
				out[name] = float64(m.GetHistogram().GetSampleCount())
			case m.GetCounter() != nil:
				out[name] = m.GetCounter().GetValue()
			default:
				out[name] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}

func hasPrefix(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, "tidemill_"+p) {
			return true
		}
	}
	return false
}

func (s samples) positive() samples {
	out := samples{}
	for name, v := range s {
		if v > 0 {
			out[name] = v
		}
	}
	return out
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("did not happen: %s", what)
		}
	}
}

func exec(t *testing.T, pool *pgxpool.Pool, query string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}
