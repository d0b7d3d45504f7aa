package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/migrations"
)

// inserters is how many clients insert at the same time.
const inserters = 16

// insertSide is one of the compared clients.
type insertSide struct {
	name   string
	table  string // of the jobs
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
}

// benchInsert compares how many transactions per second insert one job each. NOTIFY makes commits wait for each other, so
// what counts is how often a client notifies.
func benchInsert(ctx context.Context, b *bench) error {
	b.rounds, b.window = cmp.Or(b.rounds, 5), cmp.Or(b.window, 5*time.Second)
	var sides []*insertSide
	for _, open := range []func(context.Context, *bench) (*insertSide, func(), error){
		bareInserts, tidemillInserts("Tidemill", ""), tidemillInserts("Tidemill, notify: false", ", notify: false"),
	} {
		side, closeSide, err := open(ctx, b)
		if err != nil {
			return err
		}
		defer closeSide()
		sides = append(sides, side)
	}
	fmt.Printf("%d clients, a job per transaction, %s a side, %d rounds in turn; ratio to %s\n\n", inserters, b.window, b.rounds, sides[0].name)
	rates := map[*insertSide][]float64{}
	for round := range b.rounds + 1 {
		// Who goes first changes from round to round.
		for i := range sides {
			side := sides[(round+i)%len(sides)]
			rate, err := side.measure(ctx, b.window)
			if err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
			fmt.Fprintf(os.Stderr, "round %d: %s: %.0f/s\n", round, side.name, rate)
			if round > 0 { // the first warms caches
				rates[side] = append(rates[side], rate)
			}
		}
	}
	fmt.Println("| client | transactions per second | ratio |")
	fmt.Println("|---|---|---|")
	for _, side := range sides {
		var ratios []float64
		for i, rate := range rates[side] {
			ratios = append(ratios, rate/rates[sides[0]][i])
		}
		fmt.Printf("| %s | %s | %s |\n", side.name, spreadOf(rates[side]), spreadOf(ratios))
	}
	return nil
}

func bareInserts(ctx context.Context, b *bench) (*insertSide, func(), error) {
	url, err := b.bareDatabase(ctx, "bare")
	if err != nil {
		return nil, nil, err
	}
	if url, err = withConns(url, inserters); err != nil {
		return nil, nil, err
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return &insertSide{name: "River, its defaults", table: "public.river_job", pool: pool, client: client}, pool.Close, nil
}

// tidemillInserts adds more to the section database of the configuration.
func tidemillInserts(name, more string) func(context.Context, *bench) (*insertSide, func(), error) {
	return func(ctx context.Context, b *bench) (*insertSide, func(), error) {
		url, err := b.tidemillDatabase(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		if url, err = withConns(url, inserters); err != nil {
			return nil, nil, err
		}
		app, err := newApp(ctx, url, fmt.Sprintf("database: {url: \"${URL}\"%s}\n", more))
		if err != nil {
			return nil, nil, err
		}
		return &insertSide{name: name, table: migrations.DefaultSchema + ".river_job", pool: app.Pool, client: app.Client}, app.Close, nil
	}
}

// measure returns the transactions per second from an empty table on.
func (s *insertSide) measure(ctx context.Context, window time.Duration) (float64, error) {
	for _, sql := range []string{"TRUNCATE " + s.table, "CHECKPOINT"} {
		if _, err := s.pool.Exec(ctx, sql); err != nil {
			return 0, err
		}
	}
	var done atomic.Int64
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range inserters {
		group.Go(func() error {
			for time.Since(began) < window {
				err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
					_, err := s.client.InsertTx(ctx, tx, noopArgs{}, nil)
					return err
				})
				if err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	err := group.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), err
}
