// Command bench measures Tidemill beside what it is compared with, in the same run on the same machine.
//
//	go run ./bench import     imports of 1,000,000 rows beside psql's \copy and pgloader
//	go run ./bench export     exports of 1,000,000 rows beside psql's \copy
//	go run ./bench triggers   what the triggers and the fencing cost plain River jobs
//	go run ./bench memory     a worker's memory while it imports 1 GB
//	go run ./bench latency    time from Insert to the worker, beside bare River
//	go run ./bench throughput what a whole worker costs per job, beside bare River
//	go run ./bench idle       what idle workers cost, beside bare River
//	go run ./bench insert     transactions per second that insert a job each, beside bare River
//	go run ./bench schedules  what 10 and 10,000 schedules cost that are not due
//	go run ./bench scrape     what metrics cost at 1, 5 and 10 million jobs
//	go run ./bench each       children enqueued per second, and what counting them costs
//	go run ./bench cleanup    a tenth of 10,000,000 rows deleted beside 200 writes a second
//	go run ./bench abandon    how long a killed worker's jobs wait with bare River: an hour
//
// It starts a PostgreSQL of its own. Figures of one machine say little; the ratios of pairs, taken in turn, say more.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/devdb"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if url := os.Getenv(abandonedURL); url != "" {
		if err := workAbandoned(ctx, url); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	benches := map[string]func(context.Context, *bench) error{
		"import": benchImport, "export": benchExport, "triggers": benchTriggers, "memory": benchMemory, "latency": benchLatency,
		"throughput": benchThroughput, "idle": benchIdle, "insert": benchInsert,
		"abandon": benchAbandon, "schedules": benchSchedules, "each": benchEach, "cleanup": benchCleanup, "scrape": benchScrape,
	}
	if len(args) == 0 || benches[args[0]] == nil {
		return fmt.Errorf("usage: go run ./bench import|export|triggers|memory|latency|throughput|idle|insert|schedules|each|cleanup|scrape|abandon [-rows N] [-rounds N] [-jobs N] [-for DURATION] [-scrape] [-sizes N,…] [-cases TEXT]")
	}
	b := &bench{}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.IntVar(&b.rows, "rows", 1_000_000, "rows of imported files")
	flags.IntVar(&b.rounds, "rounds", 0, "pairs; default 5 for import and insert, 10 for triggers and throughput")
	flags.IntVar(&b.jobs, "jobs", 0, "jobs of a drain; default 40,000 for triggers, 100,000 for throughput, 160,000 for each")
	flags.DurationVar(&b.window, "for", 0, "length of one measurement; default 20s for idle, 5s for insert")
	flags.BoolVar(&b.scrape, "scrape", false, "throughput: scrape the metrics every second")
	flags.StringVar(&b.sizes, "sizes", "1,5,10", "millions of jobs for scrape")
	flags.StringVar(&b.cases, "cases", "", "import: only the cases with this in their name; several are joined by |")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tidemill-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	fmt.Fprintln(os.Stderr, "starting PostgreSQL")
	b.db, err = devdb.Start(ctx, &devdb.Opts{Durable: true, Settings: map[string]string{
		"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "1h", "max_connections": "1000",
	}})
	if err != nil {
		return err
	}
	defer b.db.Close()
	return benches[args[0]](ctx, b)
}

// bench is what all measurements share.
type bench struct {
	rows, rounds, jobs int           // the last two 0: the bench's own default
	window             time.Duration // of one measurement; 0: the bench's own default
	scrape             bool          // while measuring
	sizes              string        // millions of jobs
	cases              string        // of import: only those with this in their name
	dir                string
	db                 *devdb.DB
}

// build makes the real command.
func (b *bench) build(ctx context.Context) (string, error) {
	path := filepath.Join(b.dir, "tidemill")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/tidemill/tidemill/cmd/tidemill").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return path, nil
}

// spread is the median, least and most of some figures.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	median := sorted[n/2]
	if n%2 == 0 {
		median = (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return spread{median: median, least: sorted[0], most: sorted[n-1]}
}

// quantile of values, 0 to 1.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.median, s.least, s.most) }
