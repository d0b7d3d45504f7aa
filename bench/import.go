package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/sampledata"
)

// importCase is one kind of file with what psql needs for the same end.
type importCase struct {
	name   string
	people sampledata.PeopleOpts
	// psql commands, %s being the file.
	psql []string
}

const (
	peopleColumns = `id bigint NOT NULL, email text NOT NULL, full_name text, country text, signup_date date, age integer, balance numeric(12, 2), notes text`
	importConfig  = `
database: {url: "${DATABASE_URL}"}
storage: {url: "file://${BENCH_DIR}/storage"}
metrics: {listen: ""}
jobs:
  people: {kind: import, table: public.people, match: [email], on_conflict: skip}
` + exportConfig
)

var importCases = []importCase{
	{"clean file", sampledata.PeopleOpts{Seed: 1}, []string{`\copy people FROM '%s' CSV HEADER`}},
	{"1 % duplicates, file order", sampledata.PeopleOpts{Seed: 2, DuplicateRatio: 0.01}, mergePSQL},
	{"1 % duplicates, shuffled", sampledata.PeopleOpts{Seed: 3, DuplicateRatio: 0.01, Shuffle: true}, mergePSQL},
}

var mergePSQL = []string{
	`CREATE TEMP TABLE stage (` + peopleColumns + `)`,
	`\copy stage FROM '%s' CSV HEADER`,
	`INSERT INTO people SELECT * FROM stage ON CONFLICT (email) DO NOTHING`,
}

// importBench drives a real worker and real psql.
type importBench struct {
	*bench
	binary, psql string
	pool         *pgxpool.Pool
	worker       *exec.Cmd
}

func startImportBench(ctx context.Context, b *bench) (*importBench, error) {
	ib := &importBench{bench: b, psql: filepath.Join(b.db.BinDir(), "psql")}
	var err error
	if ib.binary, err = b.build(ctx); err != nil {
		return nil, err
	}
	if ib.pool, err = pgxpool.New(ctx, b.db.URL()); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "tidemill.yaml"), []byte(importConfig), 0o600); err != nil {
		return nil, err
	}
	if out, err := ib.command(ctx, "migrate", "up").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("migrate: %w: %s", err, out)
	}
	ib.worker = ib.command(ctx, "worker", "--log-level", "warn")
	ib.worker.Stderr = os.Stderr
	return ib, ib.worker.Start()
}

func (ib *importBench) close() {
	_ = ib.worker.Process.Signal(os.Interrupt)
	_ = ib.worker.Wait()
	ib.pool.Close()
}

func (ib *importBench) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, ib.binary, args...)
	cmd.Dir = ib.dir
	cmd.Env = append(os.Environ(), "DATABASE_URL="+ib.db.URL(), "BENCH_DIR="+ib.dir)
	return cmd
}

func (b *bench) people(name string, o sampledata.PeopleOpts) (string, sampledata.PeopleStats, error) {
	path := filepath.Join(b.dir, strings.ReplaceAll(name, " ", "-")+".csv")
	f, err := os.Create(path)
	if err != nil {
		return "", sampledata.PeopleStats{}, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	stats, err := sampledata.WritePeople(w, o)
	return path, stats, errors.Join(err, w.Flush(), f.Close())
}

// reset gives both sides the same empty table and the same server state.
func (ib *importBench) reset(ctx context.Context) error {
	for _, sql := range []string{
		`DROP TABLE IF EXISTS public.people`, `CREATE TABLE public.people (` + peopleColumns + `, UNIQUE (email))`, `CHECKPOINT`,
	} {
		if _, err := ib.pool.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

func (ib *importBench) timePSQL(ctx context.Context, commands []string, file string) (time.Duration, error) {
	args := []string{"-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", ib.db.URL()}
	for _, command := range commands {
		if strings.Contains(command, "%s") {
			command = fmt.Sprintf(command, file)
		}
		args = append(args, "-c", command)
	}
	started := time.Now()
	out, err := exec.CommandContext(ctx, ib.psql, args...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("psql: %w: %s", err, out)
	}
	return time.Since(started), nil
}

// timeImport is the whole command: storing the file, the run, and noticing its end. own is the run alone.
func (ib *importBench) timeImport(ctx context.Context, file string) (whole, own time.Duration, err error) {
	cmd := ib.command(ctx, "import", "people", file, "--force", "--json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	started := time.Now()
	if _, err := cmd.Output(); err != nil {
		return 0, 0, fmt.Errorf("import: %w: %s", err, &stderr)
	}
	whole = time.Since(started)
	var seconds float64
	err = ib.pool.QueryRow(ctx, `SELECT extract(epoch FROM finished_at - started_at)::float8 FROM tidemill.run ORDER BY id DESC LIMIT 1`).Scan(&seconds)
	return whole, time.Duration(seconds * float64(time.Second)), err
}

func (ib *importBench) count(ctx context.Context, want int) error {
	var n int
	if err := ib.pool.QueryRow(ctx, `SELECT count(*) FROM public.people`).Scan(&n); err != nil {
		return err
	}
	if n != want {
		return fmt.Errorf("%d rows in the table, want %d", n, want)
	}
	return nil
}

func benchImport(ctx context.Context, b *bench) error {
	if b.rounds == 0 {
		b.rounds = 5
	}
	ib, err := startImportBench(ctx, b)
	if err != nil {
		return err
	}
	defer ib.close()
	fmt.Printf("%d rows, %d pairs in turn; seconds as median (least–most); ratio = speed of tidemill import / speed of psql\n\n", b.rows, b.rounds)
	fmt.Println("| file | psql s | tidemill import s | its run alone s | ratio |")
	fmt.Println("|---|---|---|---|---|")
	for _, c := range importCases {
		c.people.Rows = b.rows
		file, stats, err := b.people(c.name, c.people)
		if err != nil {
			return err
		}
		var psql, whole, own, ratio []float64
		for round := range b.rounds + 1 {
			if err := ib.reset(ctx); err != nil {
				return err
			}
			p, err := ib.timePSQL(ctx, c.psql, file)
			if err != nil {
				return err
			}
			if err := errors.Join(ib.count(ctx, stats.Distinct), ib.reset(ctx)); err != nil {
				return err
			}
			w, o, err := ib.timeImport(ctx, file)
			if err != nil {
				return err
			}
			if err := ib.count(ctx, stats.Distinct); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%s, round %d: psql %.2f s, import %.2f s (run %.2f s)\n", c.name, round, p.Seconds(), w.Seconds(), o.Seconds())
			if round == 0 {
				continue // warms caches on both sides
			}
			psql, whole, own = append(psql, p.Seconds()), append(whole, w.Seconds()), append(own, o.Seconds())
			ratio = append(ratio, p.Seconds()/w.Seconds())
		}
		fmt.Printf("| %s | %s | %s | %s | %s |\n", c.name, spreadOf(psql), spreadOf(whole), spreadOf(own), spreadOf(ratio))
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}
