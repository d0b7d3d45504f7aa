package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/sampledata"
)

// benchMemory compares a worker's resident memory before an import with its peak during one of about a gigabyte.
func benchMemory(ctx context.Context, b *bench) error {
	rows := b.rows
	if rows == 1_000_000 {
		rows = 12_500_000
	}
	file, stats, err := b.people("memory", sampledata.PeopleOpts{Rows: rows, Seed: 4, DuplicateRatio: 0.01, Bad: 500, Shuffle: true})
	if err != nil {
		return err
	}
	fmt.Printf("file of %d MiB, %d rows\n\n", stats.Bytes>>20, stats.Rows)
	fmt.Println("| import | seconds | worker idle MiB | peak MiB | above idle MiB |")
	fmt.Println("|---|---|---|---|---|")
	for _, c := range []struct{ name, job string }{{"skip, 1 writer", "people"}, {"skip, 2 writers", "people-2"}, {"update, 2 writers", "people-update-2"}} {
		if err := b.memoryOf(ctx, c.name, c.job, file, stats); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) memoryOf(ctx context.Context, name, job, file string, stats sampledata.PeopleStats) error {
	ib, err := startImportBench(ctx, b)
	if err != nil {
		return err
	}
	defer ib.close()
	if err := ib.reset(ctx); err != nil {
		return err
	}
	// A worker that has been up for a moment, with its clients connected, is what idle means.
	select {
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	idle, err := ib.memory("VmRSS")
	if err != nil {
		return err
	}
	started := time.Now()
	if _, _, err := ib.timeImport(ctx, job, file); err != nil {
		return err
	}
	peak, err := ib.memory("VmHWM")
	if err != nil {
		return err
	}
	if n, err := ib.count(ctx); err != nil || n != stats.Distinct {
		return fmt.Errorf("%d rows in the table, want %d: %w", n, stats.Distinct, err)
	}
	fmt.Printf("| %s | %.0f | %d | %d | %d |\n", name, time.Since(started).Seconds(), idle>>10, peak>>10, (peak-idle)>>10)
	return nil
}

// memory reads a field of the worker's /proc status, in KiB.
func (ib *importBench) memory(field string) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", ib.worker.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("memory is measured on Linux only: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			return strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		}
	}
	return 0, fmt.Errorf("no %s in /proc status", field)
}
