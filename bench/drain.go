package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

type noopArgs struct{}

func (noopArgs) Kind() string { return "noop" }

// noopWorker does nothing, and says on done when it has done it often enough.
type noopWorker struct {
	river.WorkerDefaults[noopArgs]
	left atomic.Int64
	done chan struct{}
}

func newNoopWorker(jobs int) *noopWorker {
	w := &noopWorker{done: make(chan struct{})}
	w.left.Store(int64(jobs))
	return w
}

func (w *noopWorker) Work(context.Context, *river.Job[noopArgs]) error {
	if w.left.Add(-1) == 0 {
		close(w.done)
	}
	return nil
}

// drainSide is one of two compared systems, with a database of its own.
type drainSide struct {
	name, url, schema string
	// start puts a worker of the system to work; it is over when stop returns.
	start func(ctx context.Context, worker *noopWorker) (stop func() error, err error)
	// insert, if set, are the statements that make the jobs; otherwise they are plain ones.
	insert func(jobs int) []string
	// check, if set, looks at what the drain has left.
	check func(ctx context.Context, conn *pgx.Conn) error
}

// drained is what working the jobs took.
type drained struct {
	cpu  float64 // µs of client and server per job
	rate float64 // jobs per second
}

// compareDrains has both sides work plain River jobs, in pairs, and compares the CPU time of client and server per job:
// time on the wall would mostly show who else uses the machine.
func (b *bench) compareDrains(ctx context.Context, without, with *drainSide) error {
	if b.rounds == 0 {
		b.rounds = 10
	}
	fmt.Printf("%d River jobs, %d pairs in turn; µs of CPU per job, client and server; ratio = %s / %s\n\n", b.jobs, b.rounds, with.name, without.name)
	results := map[*drainSide][]drained{}
	for round := range b.rounds + 1 {
		// Who goes first changes from pair to pair.
		sides := []*drainSide{without, with}
		if round%2 == 1 {
			sides[0], sides[1] = sides[1], sides[0]
		}
		for _, side := range sides {
			d, err := b.drain(ctx, side)
			if err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
			fmt.Fprintf(os.Stderr, "round %d: %s: %.1f µs, %.0f jobs/s\n", round, side.name, d.cpu, d.rate)
			if round > 0 { // the first warms caches on both sides
				results[side] = append(results[side], d)
			}
		}
	}
	fmt.Printf("| | %s | %s | ratio |\n", without.name, with.name)
	fmt.Println("|---|---|---|---|")
	for _, figure := range []struct {
		name string
		of   func(drained) float64
	}{
		{"µs of CPU per job", func(d drained) float64 { return d.cpu }},
		{"jobs per second", func(d drained) float64 { return d.rate }},
	} {
		var before, after, ratio []float64
		for i := range b.rounds {
			x, y := figure.of(results[without][i]), figure.of(results[with][i])
			before, after, ratio = append(before, x), append(after, y), append(ratio, y/x)
		}
		fmt.Printf("| %s | %s | %s | %s |\n", figure.name, spreadOf(before), spreadOf(after), spreadOf(ratio))
	}
	return nil
}

// drain measures from the start of the worker until no job is left.
func (b *bench) drain(ctx context.Context, side *drainSide) (d drained, err error) {
	conn, err := pgx.Connect(ctx, side.url)
	if err != nil {
		return d, err
	}
	defer conn.Close(ctx)
	table := pgx.Identifier{side.schema, "river_job"}.Sanitize()
	insert := []string{"INSERT INTO " + table + " (kind, args) SELECT 'noop', '{}' FROM generate_series(1, " + strconv.Itoa(b.jobs) + ")"}
	if side.insert != nil {
		insert = side.insert(b.jobs)
	}
	for _, sql := range slices.Concat([]string{"TRUNCATE " + table}, insert, []string{"VACUUM ANALYZE " + table, "CHECKPOINT"}) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return d, err
		}
	}
	before, err := b.cpu()
	if err != nil {
		return d, err
	}
	began := time.Now()
	worker := newNoopWorker(b.jobs)
	stop, err := side.start(ctx, worker)
	if err != nil {
		return d, err
	}
	if err := b.drainEnd(ctx, conn, table, worker); err != nil {
		return d, errors.Join(err, stop())
	}
	took := time.Since(began)
	after, err := b.cpu()
	if err != nil {
		return d, errors.Join(err, stop())
	}
	d.cpu = float64((after - before).Microseconds()) / float64(b.jobs)
	d.rate = float64(b.jobs) / took.Seconds()
	if side.check != nil {
		if err := side.check(ctx, conn); err != nil {
			return d, errors.Join(err, stop())
		}
	}
	return d, stop()
}

// drainEnd waits until the last job has been worked, and then until the database has it as completed; the few looks at
// the database are the same for both sides.
func (b *bench) drainEnd(ctx context.Context, conn *pgx.Conn, table string, worker *noopWorker) error {
	limit, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	select {
	case <-worker.done:
	case <-limit.Done():
		return fmt.Errorf("%d jobs are left: %w", worker.left.Load(), limit.Err())
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var left bool
		if err := conn.QueryRow(limit, "SELECT EXISTS (SELECT FROM "+table+" WHERE state IN ('available', 'running', 'retryable', 'scheduled'))").Scan(&left); err != nil {
			return err
		}
		if !left {
			return nil
		}
		select {
		case <-tick.C:
		case <-limit.Done():
			return fmt.Errorf("jobs were worked, but are not completed: %w", limit.Err())
		}
	}
}
