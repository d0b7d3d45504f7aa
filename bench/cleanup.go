package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
)

const (
	cleanupConfig = baseConfig + `jobs: {tidy: {kind: cleanup, rules: [{table: public.logs, column: created_at, older_than: 9d}]}}`
	// A tenth of the rows is older than 9 days.
	cleanupTable = `
		CREATE TABLE public.logs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, created_at timestamptz NOT NULL, level text NOT NULL, note text NOT NULL);
		INSERT INTO public.logs (created_at, level, note)
		SELECT now() - interval '10 days' + i * (interval '10 days' / %[1]d), 'info', 'request ' || i || repeat(' done', 12) FROM generate_series(1, %[1]d) i;
		CREATE INDEX ON public.logs (created_at)`
	writesPerSecond = 200
)

// benchCleanup deletes a tenth of a table beside steady writes to it.
func benchCleanup(ctx context.Context, b *bench) error {
	if b.window == 0 {
		b.window = 30 * time.Second
	}
	rows := b.rows
	if rows == 1_000_000 {
		rows = 10_000_000
	}
	database, err := b.tidemillDatabase(ctx, "cleanup")
	if err != nil {
		return err
	}
	// Writes must not wait for each other's connections.
	many, err := withConns(database, 50)
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, many)
	if err != nil {
		return err
	}
	defer pool.Close()
	fmt.Fprintf(os.Stderr, "filling a table with %d rows\n", rows)
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	err = conn.Conn().PgConn().Exec(ctx, fmt.Sprintf(cleanupTable, rows)).Close()
	for _, sql := range []string{`VACUUM (ANALYZE) public.logs`, `CHECKPOINT`} {
		if err == nil {
			_, err = conn.Exec(ctx, sql)
		}
	}
	conn.Release()
	if err != nil {
		return err
	}
	app, err := newApp(ctx, database, cleanupConfig)
	if err != nil {
		return err
	}
	stop := runApp(ctx, app)
	defer stop()

	// Without, with, and without again: the machine may change meanwhile.
	before, err := writeFor(ctx, pool, b.window)
	if err != nil {
		return err
	}
	writing, end := context.WithCancel(ctx)
	beside := make(chan []float64, 1)
	var writeErr error
	go func() {
		var took []float64
		took, writeErr = writeUntil(writing, pool)
		beside <- took
	}()
	started, err := app.Start(ctx, "tidy", nil)
	if err != nil {
		end()
		return err
	}
	var last *batch.Info
	err = app.Ledger.Watch(ctx, started.ID, 100*time.Millisecond, func(info *batch.Info) error { last = info; return nil })
	end()
	during := <-beside
	if err := errors.Join(err, writeErr); err != nil {
		return err
	}
	if last.Status != batch.Succeeded {
		return fmt.Errorf("the run is %s: %v", last.Status, last.Error)
	}
	var result struct {
		Rules []struct {
			Deleted int64 `json:"deleted"`
		} `json:"rules"`
		Statements int64   `json:"statements"`
		LongestMS  float64 `json:"longest_ms"`
	}
	if err := json.Unmarshal(last.Result, &result); err != nil {
		return err
	}
	after, err := writeFor(ctx, pool, b.window)
	if err != nil {
		return err
	}
	seconds := last.FinishedAt.Sub(*last.StartedAt).Seconds()
	fmt.Printf("%d of %d rows deleted in %.1f s (%.0f rows/s), %d statements, the longest %.0f ms; %d writes a second beside it\n\n",
		result.Rules[0].Deleted, rows, seconds, float64(result.Rules[0].Deleted)/seconds, result.Statements, result.LongestMS, writesPerSecond)
	fmt.Println("| writes | p50 ms | p99 ms | most ms | number |")
	fmt.Println("|---|---|---|---|---|")
	for _, line := range []struct {
		name string
		took []float64
	}{{"before", before}, {"during", during}, {"after", after}} {
		fmt.Printf("| %s | %.2f | %.2f | %.1f | %d |\n", line.name, quantile(line.took, 0.5), quantile(line.took, 0.99), quantile(line.took, 1), len(line.took))
	}
	alone := (quantile(before, 0.99) + quantile(after, 0.99)) / 2
	fmt.Printf("\np99 during / p99 without: %.2f\n", quantile(during, 0.99)/alone)
	return nil
}

func writeFor(ctx context.Context, pool *pgxpool.Pool, window time.Duration) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	return writeUntil(ctx, pool)
}

// writeUntil makes transactions at a steady rate, whatever the earlier ones take, until ctx ends, and returns the
// milliseconds of each from when it was due: one inserts a row, the next updates a young one.
func writeUntil(ctx context.Context, pool *pgxpool.Pool) ([]float64, error) {
	var mu sync.Mutex
	var took []float64
	var failed error
	var wait sync.WaitGroup
	defer wait.Wait()
	began := time.Now()
	for i := 0; ; i++ {
		due := began.Add(time.Duration(i) * time.Second / writesPerSecond)
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			wait.Wait()
			mu.Lock()
			defer mu.Unlock()
			return took, failed
		}
		wait.Go(func() {
			err := write(context.WithoutCancel(ctx), pool, i)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, float64(time.Since(due).Microseconds())/1000)
			failed = errors.Join(failed, err)
		})
	}
}

func write(ctx context.Context, pool *pgxpool.Pool, i int) error {
	if i%2 == 0 {
		_, err := pool.Exec(ctx, `INSERT INTO public.logs (created_at, level, note) VALUES (now(), 'info', 'a new request')`)
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE public.logs SET level = 'warn' WHERE id = (SELECT max(id) FROM public.logs) - $1`, i%1000)
		return err
	})
}
