package metrics_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/metrics"
	"github.com/tidemill/tidemill/migrations"
)

type mailArgs struct{}

func (mailArgs) Kind() string { return "mail" }

// A plain River client counts what it does, and one handler serves the series and the probes.
func ExampleNew() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	if _, err := migrations.Up(ctx, pool, migrations.Schema{}, slog.New(slog.DiscardHandler)); err != nil {
		fmt.Println(err)
		return
	}

	registry := prometheus.NewRegistry()
	m, err := metrics.New(metrics.Opts{Registerer: registry})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Plugins: []rivertype.Plugin{m},
		Schema:  migrations.DefaultSchema,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Insert(ctx, mailArgs{}, nil); err != nil {
		fmt.Println(err)
		return
	}

	health := &metrics.Health{}
	health.Add("database", metrics.CheckDatabase(pool))
	handler := metrics.Handler(registry, health)
	for _, path := range []string{"/metrics", "/readyz"} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, "GET", path, nil))
		fmt.Println(path, answer.Code)
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "tidemill_jobs_inserted_total") {
				fmt.Println(lines.Text())
			}
		}
	}

	// Output:
	// /metrics 200
	// tidemill_jobs_inserted_total{kind="mail",queue="default"} 1
	// /readyz 200
}
