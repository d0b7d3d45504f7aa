package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/riverqueue/river/rivertype"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/metrics"
)

const (
	scrapes   = 200
	refreshes = 50
)

// benchScrape measures what metrics cost as the table of jobs grows: how long the reporter's refresh and each of its
// statements take, and how long a scrape takes that comes meanwhile.
func benchScrape(ctx context.Context, b *bench) error {
	var sizes []int
	for text := range strings.SplitSeq(b.sizes, ",") {
		millions, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || millions < 1 || len(sizes) > 0 && millions*1_000_000 <= sizes[len(sizes)-1] {
			return fmt.Errorf("-sizes %s: want millions of jobs, rising, such as 1,5,10", b.sizes)
		}
		sizes = append(sizes, millions*1_000_000)
	}
	url, err := b.tidemillDatabase(ctx, "scrape")
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if err := fillAround(ctx, conn); err != nil {
		return err
	}
	fmt.Printf("%d refreshes and %d scrapes at each size; median and 99th percentile, ms\n\n", refreshes, scrapes)
	fmt.Println("| jobs | refresh p50 | p99 | slowest statement p50 | p99 | scrape p50 | p99 | bytes |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	var details []string
	for i, size := range sizes {
		have := 0
		if i > 0 {
			have = sizes[i-1]
		}
		if err := fillJobs(ctx, conn, have, size); err != nil {
			return err
		}
		m, err := measureScrape(ctx, url)
		if err != nil {
			return fmt.Errorf("%d jobs: %w", size, err)
		}
		slowest, all := m.statements.slowest()
		fmt.Printf("| %d | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %d |\n", size, quantile(m.refresh, .5), quantile(m.refresh, .99),
			quantile(slowest, .5), quantile(slowest, .99), quantile(m.scrape, .5), quantile(m.scrape, .99), m.bytes)
		for _, line := range all {
			details = append(details, fmt.Sprintf("| %d | %s", size, line))
		}
	}
	fmt.Println("\n| jobs | statement | runs | p50 | p99 |\n|---|---|---|---|---|")
	for _, line := range details {
		fmt.Println(line)
	}
	return nil
}

// fillAround fills what is read beside the jobs: 50 jobs with 200,000 runs, a tenth of them failed, and 100 schedules.
func fillAround(ctx context.Context, conn *pgx.Conn) error {
	for _, sql := range []string{
		`INSERT INTO tidemill.job (name, kind, args, args_nested, queue, priority, max_attempts, is_unique)
			SELECT 'job-' || i, 'kind', '{}', false, 'default', 1, 1, false FROM generate_series(0, 49) i`,
		`INSERT INTO tidemill.run (id, job, kind, trigger, status, finished_at)
			SELECT i, 'job-' || i % 50, 'kind', 'schedule', CASE WHEN random() < 0.1 THEN 'failed' ELSE 'succeeded' END, now() FROM generate_series(1, 200000) i`,
		`INSERT INTO tidemill.schedule (name, job, spec, catch_up, catch_up_for, overlap, last_tick_at, next_tick_at)
			SELECT 'schedule-' || i, 'job-' || i % 50, '{}', 'latest', '1 d', 'skip', now(), now() + interval '1 h'
			  FROM generate_series(1, 100) i`,
		`VACUUM ANALYZE tidemill.run, tidemill.job, tidemill.schedule`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return nil
}

// fillJobs brings the table from have to want jobs. The first of them are those that are not finished: 100,000 available,
// 10,000 scheduled, 1,000 retryable, 50 running.
func fillJobs(ctx context.Context, conn *pgx.Conn, have, want int) error {
	fmt.Fprintf(os.Stderr, "filling %d jobs\n", want)
	const step = 500_000
	for ; have < want; have += step {
		_, err := conn.Exec(ctx, `
			INSERT INTO tidemill.river_job (kind, args, queue, priority, state, scheduled_at, finalized_at)
			SELECT 'kind-' || i % 20, '{}', (ARRAY['critical', 'default', 'low'])[1 + i % 3], 1 + i % 4, s::tidemill.river_job_state,
			       now() - make_interval(secs => i % 3600), CASE WHEN s IN ('completed', 'discarded') THEN now() - make_interval(secs => i % 86400) END
			  FROM (SELECT i, CASE WHEN i <= 100000 THEN 'available' WHEN i <= 110000 THEN 'scheduled' WHEN i <= 111000 THEN 'retryable'
			                       WHEN i <= 111050 THEN 'running' WHEN i % 100 = 0 THEN 'discarded' ELSE 'completed' END AS s
			          FROM generate_series($1::int + 1, $2::int) i) x`, have, min(want, have+step))
		if err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	// What filling left to write must not be written while something is timed.
	for _, sql := range []string{`VACUUM ANALYZE tidemill.river_job`, `CHECKPOINT`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return nil
}

// scrapeFigures are milliseconds.
type scrapeFigures struct {
	refresh, scrape []float64
	bytes           int
	statements      *statementTimes
}

// measureScrape runs the reporter and a listener of a process that has worked 20 kinds in three queues: first with a reporter
// in a hurry, to see many refreshes, then with one as it is in a worker, to see what a scrape meets.
func measureScrape(ctx context.Context, url string) (*scrapeFigures, error) {
	figures := &scrapeFigures{}
	if err := figures.measure(ctx, url, 250*time.Millisecond, func(ctx context.Context, registry *prometheus.Registry, _ string) error {
		return figures.refreshed(ctx, registry)
	}); err != nil {
		return nil, err
	}
	statements := figures.statements
	err := figures.measure(ctx, url, 0, func(ctx context.Context, _ *prometheus.Registry, address string) error {
		return figures.scraped(ctx, "http://"+address+"/metrics")
	})
	figures.statements = statements
	return figures, err
}

// measure calls fn while a reporter works at the interval; 0 is its default.
func (f *scrapeFigures) measure(ctx context.Context, url string, interval time.Duration, fn func(context.Context, *prometheus.Registry, string) error) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m, err := metrics.New(metrics.Opts{
		Registerer: registry, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Queues: map[string]int{"critical": 10, "default": 20, "low": 5}, Interval: interval,
	})
	if err != nil {
		return err
	}
	for i := range 60 {
		job := &rivertype.JobRow{Kind: fmt.Sprintf("kind-%d", i%20), Queue: []string{"critical", "default", "low"}[i%3], Attempt: 1, MaxAttempts: 5}
		if err := m.Work(ctx, job, func(context.Context) error { return nil }); err != nil {
			return err
		}
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	f.statements = listenToStatements(config)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.Report(ctx, config) })
	group.Go(func() error { return metrics.Serve(ctx, listener, metrics.Handler(registry, nil)) })
	group.Go(func() error {
		defer stop()
		return fn(ctx, registry, listener.Addr().String())
	})
	return group.Wait()
}

// refreshed notes how long refreshes took.
func (f *scrapeFigures) refreshed(ctx context.Context, registry *prometheus.Registry) error {
	seen := map[float64]bool{}
	for deadline := time.Now().Add(2 * time.Minute); len(seen) < refreshes; {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d refreshes in two minutes", len(seen))
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		families, err := registry.Gather()
		if err != nil {
			return err
		}
		var at, took float64
		for _, family := range families {
			switch family.GetName() {
			case "tidemill_metrics_refresh_timestamp_seconds":
				at = family.GetMetric()[0].GetGauge().GetValue()
			case "tidemill_metrics_refresh_duration_seconds":
				took = family.GetMetric()[0].GetGauge().GetValue()
			}
		}
		if at > 0 && !seen[at] {
			seen[at] = true
			f.refresh = append(f.refresh, took*1000)
		}
	}
	return nil
}

func (f *scrapeFigures) scraped(ctx context.Context, url string) error {
	for range scrapes {
		began := time.Now()
		n, err := scrapeOnce(ctx, url)
		if err != nil {
			return err
		}
		f.scrape, f.bytes = append(f.scrape, float64(time.Since(began).Microseconds())/1000), n
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// scrapeOnce returns the number of bytes.
func scrapeOnce(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return int(n), err
}

// scrapeEverySecond scrapes until stop, which fails if no scrape succeeded.
func scrapeEverySecond(ctx context.Context, url string) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan int)
	go func() {
		scraped := 0
		for sleep(ctx, time.Second) == nil {
			if _, err := scrapeOnce(ctx, url); err == nil {
				scraped++
			}
		}
		done <- scraped
	}()
	return func() error {
		cancel()
		if <-done == 0 {
			return fmt.Errorf("no scrape of %s succeeded; measure for longer, with more -jobs", url)
		}
		return nil
	}
}

// freeAddress is an address that nobody listened on a moment ago.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
