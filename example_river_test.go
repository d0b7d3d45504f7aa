package tidemill_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/metrics"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/periodic"
	"github.com/tidemill/tidemill/rescue"
	"github.com/tidemill/tidemill/retry"
)

// reindexArgs walks the products; a schedule starts it.
type reindexArgs struct{}

func (reindexArgs) Kind() string { return "reindex" }

type product struct {
	ID   int64
	Name string
}

// A program that runs River adds all parts to its client, without tidemill.yaml: jobs of a process that died are rescued,
// failures are tried again by policy, runs are chunked and recorded, schedules lose no tick, and Prometheus sees it all.
func Example_plainRiver() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	quiet := slog.New(slog.DiscardHandler)
	schema := migrations.Schema{Name: "example_river"}
	conn, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}

	// Rescue: this process beats, and its sessions can be told from those of others.
	setup, err := pgxpool.NewWithConfig(ctx, conn.Copy())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer setup.Close()
	if _, err := migrations.Up(ctx, setup, schema, quiet); err != nil {
		fmt.Println(err)
		return
	}
	process, err := rescue.Register(ctx, rescue.Opts{Conn: conn.ConnConfig.Copy(), Schema: schema, Logger: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	process.Tag(conn.ConnConfig)
	pool, err := pgxpool.NewWithConfig(ctx, conn)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()

	registry := prometheus.NewRegistry()
	series, err := metrics.New(metrics.Opts{Registerer: registry, Schema: schema, Logger: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	retries := retry.NewPlugin(retry.PluginOpts{Default: retry.Policy{Backoff: retry.Linear, Delay: 5 * time.Second, MaxAttempts: 4}})
	runs := batch.New(batch.Opts{Pool: pool, Schema: schema, Logger: quiet})
	workers := river.NewWorkers()
	river.AddWorker(workers, batch.Each(batch.EachOpts[reindexArgs, product]{
		Query:   `SELECT id, name FROM (VALUES (1::bigint, 'kettle'), (2, 'teapot'), (3, 'cup')) product (id, name)`,
		OrderBy: []string{"id"},
		Size:    2,
		Do: func(_ context.Context, _ pgx.Tx, chunk *batch.Chunk[product]) error {
			fmt.Println("chunk", chunk.No, chunk.Rows)
			return nil
		},
	}))
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		ID:                   process.ID(),
		Logger:               quiet,
		Plugins:              []rivertype.Plugin{series, process, retries, runs},
		Queues:               map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		RescueStuckJobsAfter: 10 * 365 * 24 * time.Hour, // rescue does that, within seconds
		RetryPolicy:          retries,
		Schema:               cmp.Or(schema.River, schema.Name),
		Workers:              workers,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	background := context.WithoutCancel(ctx)
	if err := client.Start(background); err != nil {
		fmt.Println(err)
		return
	}

	// Each night, and once by hand.
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := periodic.ApplyTx(ctx, tx, schema, []periodic.Definition{{
			Name: "reindex", Spec: periodic.Spec{Cron: "0 3 * * *", Timezone: "Europe/Berlin"}, Kind: reindexArgs{}.Kind(), Args: json.RawMessage(`{}`),
		}})
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	scheduler := periodic.New(periodic.Opts{Conn: pool.Config().ConnConfig, Schema: schema, Logger: quiet})
	upkeep := batch.NewUpkeep(batch.UpkeepOpts{Conn: pool.Config().ConnConfig, Schema: schema, Logger: quiet})
	var loops sync.WaitGroup
	loops.Go(func() { scheduler.Run(ctx) })
	loops.Go(func() { upkeep.Run(ctx) })
	loops.Go(func() { series.Report(ctx, pool.Config().ConnConfig) })
	lived := make(chan error, 1)
	go func() { lived <- process.Run(ctx) }() // it ends early when others took this process for dead: then exit

	ledger := batch.NewLedger(pool, schema, client)
	run, err := ledger.Start(ctx, reindexArgs{}, batch.StartOpts{Job: "reindex"})
	if err != nil {
		fmt.Println(err)
		return
	}
	var last *batch.Info
	if err := ledger.Watch(ctx, run.ID, 50*time.Millisecond, func(info *batch.Info) error { last = info; return nil }); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(last.Job, last.Status, last.Counters.Processed)

	stop()
	loops.Wait()
	err = errors.Join(<-lived, client.Stop(background), process.Close(background))
	fmt.Println("stopped:", err)

	// Output:
	// chunk 0 [{1 kettle} {2 teapot}]
	// chunk 1 [{3 cup}]
	// reindex succeeded 3
	// stopped: <nil>
}
