package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/migrations"
)

// eachConfig enqueues children that nobody works: this process has no worker of their kind.
const eachConfig = baseConfig + `
jobs:
  child:   {kind: unworked}
  rows:    {kind: each, query: "SELECT id, email FROM public.people", order_by: [id], enqueue: {job: child}}
  batches: {kind: each, query: "SELECT id, email FROM public.people", order_by: [id], batch: 1000, enqueue: {job: child}}
`

// benchEach measures how fast children are enqueued, and what their parent's counts cost while they are worked.
func benchEach(ctx context.Context, b *bench) error {
	b.jobs, b.rounds = cmp.Or(b.jobs, 160_000), cmp.Or(b.rounds, 5)
	if err := b.eachInserts(ctx); err != nil {
		return err
	}
	return b.eachFanIn(ctx)
}

func (b *bench) eachInserts(ctx context.Context) error {
	url, err := b.tidemillDatabase(ctx, "each")
	if err != nil {
		return err
	}
	app, err := newApp(ctx, url, eachConfig)
	if err != nil {
		return err
	}
	_, err = app.Pool.Exec(ctx, `CREATE TABLE public.people (id bigint PRIMARY KEY, email text)`)
	if err != nil {
		app.Close()
		return err
	}
	stop := runApp(ctx, app)
	fmt.Println("| job | rows | children | seconds | children per second | rows per second |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, run := range []struct {
		job  string
		rows int
	}{{"rows", b.jobs}, {"batches", b.rows}} {
		for range b.rounds {
			if err := b.eachInsert(ctx, app, run.job, run.rows); err != nil {
				return errors.Join(err, stop())
			}
		}
	}
	fmt.Println()
	return stop()
}

func (b *bench) eachInsert(ctx context.Context, app *tidemill.App, job string, rows int) error {
	for _, sql := range []string{
		`TRUNCATE public.people`, `DELETE FROM tidemill.river_job WHERE finalized_at IS NOT NULL OR kind = 'unworked'`,
		`INSERT INTO public.people SELECT i, i || '@example.com' FROM generate_series(1, ` + strconv.Itoa(rows) + `) i`,
		`VACUUM ANALYZE public.people, tidemill.river_job`, `TRUNCATE tidemill.child_delta`, `CHECKPOINT`,
	} {
		if _, err := app.Pool.Exec(ctx, sql); err != nil {
			return err
		}
	}
	began := time.Now()
	started, err := app.Start(ctx, job, nil)
	if err != nil {
		return err
	}
	var last *batch.Info
	err = app.Ledger.Watch(ctx, started.ID, 10*time.Millisecond, func(info *batch.Info) error { last = info; return nil })
	if err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	if last.Status != batch.Succeeded || last.Children == nil || last.Done != int64(rows) {
		return fmt.Errorf("%s: %s with %+v children of %d rows (%v)", job, last.Status, last.Children, last.Done, last.Error)
	}
	fmt.Printf("| %s | %d | %d | %.2f | %.0f | %.0f |\n", job, rows, last.Children.Total, took, float64(last.Children.Total)/took, float64(rows)/took)
	return nil
}

// eachFanIn has a worker drain the same jobs with and without a parent that counts them, and jobs without metadata.
func (b *bench) eachFanIn(ctx context.Context) error {
	side := func(name string) (*drainSide, error) {
		url, err := b.tidemillDatabase(ctx, name)
		if err != nil {
			return nil, err
		}
		return &drainSide{name: name, url: url, schema: migrations.DefaultSchema, start: func(ctx context.Context, worker *noopWorker) (func() error, error) {
			app, err := newApp(ctx, url, baseConfig+"queues: {default: 1000}\n")
			if err != nil {
				return nil, err
			}
			river.AddWorker(app.Workers, worker)
			return runApp(ctx, app), nil
		}}, nil
	}
	plain, err := side("plain")
	if err != nil {
		return err
	}
	uncounted, err := side("uncounted")
	if err != nil {
		return err
	}
	children, err := side("children")
	if err != nil {
		return err
	}
	const parent = 1
	// River's table has an index on metadata: a part of what a child costs beyond a job without any.
	uncounted.insert = func(jobs int) []string {
		return []string{`INSERT INTO tidemill.river_job (kind, args, metadata) SELECT 'noop', '{}', '{"uncounted": {"parent": 1}}' FROM generate_series(1, ` + strconv.Itoa(jobs) + `) i`}
	}
	children.insert = func(jobs int) []string {
		n := strconv.Itoa(jobs)
		return []string{
			`TRUNCATE tidemill.run, tidemill.child_delta`,
			`INSERT INTO tidemill.run (id, job, kind, trigger, status, outcome, finished_at, children) VALUES (` + strconv.Itoa(parent) + `, 'each', 'tidemill.each', 'go', 'succeeded', 'succeeded', now(), ` + n + `)`,
			`INSERT INTO tidemill.river_job (id, kind, args, metadata) SELECT i + 1000, 'noop', '{}', '` + string(batch.ChildMetadata(parent, "")) + `' FROM generate_series(1, ` + n + `) i`,
		}
	}
	children.check = func(ctx context.Context, conn *pgx.Conn) error {
		began := time.Now()
		for {
			var done, failed int64
			var settled bool
			err := conn.QueryRow(ctx, `SELECT children_done, children_failed, children_settled FROM tidemill.run`).Scan(&done, &failed, &settled)
			switch {
			case err != nil:
				return err
			case settled && done == int64(b.jobs) && failed == 0:
				fmt.Fprintf(os.Stderr, "all %d counted %s after the last has ended\n", done, time.Since(began).Round(time.Millisecond))
				return nil
			case time.Since(began) > 10*time.Second:
				return fmt.Errorf("%d done and %d failed of %d children, settled: %v", done, failed, b.jobs, settled)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if err := b.compareDrains(ctx, uncounted, children); err != nil {
		return err
	}
	fmt.Println()
	return b.compareDrains(ctx, plain, children)
}
