package batch_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/migrations"
)

// GreetArgs walks the people whose name begins with a letter.
type GreetArgs struct {
	Letter string `json:"letter"`
}

// Kind names the job.
func (GreetArgs) Kind() string { return "greet" }

// Person is one row of the walk.
type Person struct {
	ID   int64
	Name string
}

// Each makes a worker out of a query and a function, beside any River client.
func ExampleEach() {
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

	workers := river.NewWorkers()
	river.AddWorker(workers, batch.Each(batch.EachOpts[GreetArgs, Person]{
		Query: `SELECT id, name FROM (VALUES (1::bigint, 'Ada'), (2, 'Grace'), (3, 'Alan'), (4, 'Annie')) people (id, name)
		          WHERE name LIKE @letter || '%'`,
		Params:  func(args GreetArgs) pgx.NamedArgs { return pgx.NamedArgs{"letter": args.Letter} },
		OrderBy: []string{"id"},
		Size:    2,
		Do: func(ctx context.Context, tx pgx.Tx, chunk *batch.Chunk[Person]) error {
			for _, person := range chunk.Rows {
				fmt.Printf("chunk %d: %s\n", chunk.No, person.Name)
			}
			return nil // what tx wrote commits together with the place reached
		},
	}))

	engine := batch.New(batch.Opts{Pool: pool})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Logger:  slog.New(slog.DiscardHandler),
		Plugins: []rivertype.Plugin{engine},
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		Schema:  migrations.DefaultSchema,
		Workers: workers,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := client.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer client.StopAndCancel(ctx)

	ledger := batch.NewLedger(pool, migrations.Schema{}, client)
	run, err := ledger.Start(ctx, GreetArgs{Letter: "A"}, batch.StartOpts{Job: "greet-people"})
	if err != nil {
		fmt.Println(err)
		return
	}
	var last *batch.Info
	err = ledger.Watch(ctx, run.ID, 50*time.Millisecond, func(info *batch.Info) error { last = info; return nil })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(last.Job, last.Status, last.Counters.Processed)

	// Output:
	// chunk 0: Ada
	// chunk 0: Alan
	// chunk 1: Annie
	// greet-people succeeded 3
}
