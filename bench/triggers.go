package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/rescue"
)

type noopArgs struct{}

func (noopArgs) Kind() string { return "noop" }

type noopWorker struct{ river.WorkerDefaults[noopArgs] }

func (*noopWorker) Work(context.Context, *river.Job[noopArgs]) error { return nil }

// drainSide is one of the two databases: bare River, or River with our triggers and a registered process.
type drainSide struct {
	name, url, schema string
	process           *rescue.Process
}

// benchTriggers drains plain River jobs with and without triggers and fencing, and compares the CPU time of client and
// server per job: time on the wall would mostly show who else uses the machine.
func benchTriggers(ctx context.Context, b *bench) error {
	if b.rounds == 0 {
		b.rounds = 10
	}
	bare, ours, err := drainSides(ctx, b)
	if err != nil {
		return err
	}
	fmt.Printf("%d plain River jobs, %d pairs in turn; µs of CPU per job, client and server; ratio = with / without\n\n", b.jobs, b.rounds)
	var ratios, without, with []float64
	for round := range b.rounds + 1 {
		// Who goes first changes from pair to pair.
		sides := []*drainSide{bare, ours}
		if round%2 == 1 {
			sides[0], sides[1] = sides[1], sides[0]
		}
		cost := map[*drainSide]float64{}
		for _, side := range sides {
			if cost[side], err = b.drain(ctx, side); err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d: without %.1f µs, with %.1f µs\n", round, cost[bare], cost[ours])
		if round == 0 {
			continue
		}
		without, with = append(without, cost[bare]), append(with, cost[ours])
		ratios = append(ratios, cost[ours]/cost[bare])
	}
	fmt.Println("| without | with | ratio |")
	fmt.Println("|---|---|---|")
	fmt.Printf("| %s | %s | %s |\n", spreadOf(without), spreadOf(with), spreadOf(ratios))
	return nil
}

func drainSides(ctx context.Context, b *bench) (bare, ours *drainSide, err error) {
	bare = &drainSide{name: "bare", schema: "public"}
	ours = &drainSide{name: "ours", schema: migrations.DefaultSchema}
	for _, side := range []*drainSide{bare, ours} {
		if side.url, err = b.database(ctx, side.name); err != nil {
			return nil, nil, err
		}
	}
	pool, err := pgxpool.New(ctx, bare.url)
	if err != nil {
		return nil, nil, err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: bare.schema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, nil, err
	}
	ourPool, err := pgxpool.New(ctx, ours.url)
	if err != nil {
		return nil, nil, err
	}
	defer ourPool.Close()
	if _, err := migrations.Up(ctx, ourPool, migrations.Schema{}, nil); err != nil {
		return nil, nil, err
	}
	config, err := pgx.ParseConfig(ours.url)
	if err != nil {
		return nil, nil, err
	}
	ours.process, err = rescue.Register(ctx, rescue.Opts{Conn: config})
	return bare, ours, err
}

// drain returns the µs of CPU per job.
func (b *bench) drain(ctx context.Context, side *drainSide) (float64, error) {
	config, err := pgxpool.ParseConfig(side.url)
	if err != nil {
		return 0, err
	}
	config.MaxConns = 8
	id := "bench"
	if side.process != nil {
		side.process.Tag(config.ConnConfig)
		id = side.process.ID()
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	table := pgx.Identifier{side.schema, "river_job"}.Sanitize()
	for _, sql := range []string{
		"TRUNCATE " + table,
		"INSERT INTO " + table + " (kind, args) SELECT 'noop', '{}' FROM generate_series(1, " + strconv.Itoa(b.jobs) + ")",
		"VACUUM ANALYZE " + table, "CHECKPOINT",
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			return 0, err
		}
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &noopWorker{})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown: time.Millisecond, FetchPollInterval: 20 * time.Millisecond, ID: id, Logger: slog.New(slog.DiscardHandler),
		Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 1000}}, Schema: side.schema, Workers: workers,
	})
	if err != nil {
		return 0, err
	}
	events, cancel := client.SubscribeConfig(&river.SubscribeConfig{ChanSize: b.jobs + 1000, Kinds: []river.EventKind{river.EventKindJobCompleted}})
	defer cancel()
	before, err := b.cpu()
	if err != nil {
		return 0, err
	}
	if err := client.Start(ctx); err != nil {
		return 0, err
	}
	for range b.jobs {
		select {
		case <-events:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	after, err := b.cpu()
	if err != nil {
		return 0, err
	}
	return float64((after - before).Microseconds()) / float64(b.jobs), client.Stop(ctx)
}

// cpu is the CPU time so far of this process and of the server, its ended sessions included.
func (b *bench) cpu() (time.Duration, error) {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return 0, err
	}
	total := time.Duration(self.Utime.Nano() + self.Stime.Nano())
	postmaster, err := b.postmaster()
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("CPU time is measured on Linux only: %w", err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "stat"))
		if err != nil {
			continue // it has ended; its parent counts it
		}
		// After the command's name in brackets: state, ppid, …; utime is the 12th field from there, cstime the 15th.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		ppid, _ := strconv.Atoi(fields[1])
		if pid != postmaster && ppid != postmaster {
			continue
		}
		last := 13
		if pid == postmaster {
			last = 15
		}
		for _, field := range fields[11:last] {
			ticks, _ := strconv.ParseInt(field, 10, 64)
			total += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
		}
	}
	return total, nil
}

func (b *bench) postmaster() (int, error) {
	conn, err := pgx.Connect(context.Background(), b.db.URL())
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.Background())
	var dir string
	if err := conn.QueryRow(context.Background(), "SHOW data_directory").Scan(&dir); err != nil {
		return 0, err
	}
	file, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(file), "\n")
	return strconv.Atoi(strings.TrimSpace(line))
}
