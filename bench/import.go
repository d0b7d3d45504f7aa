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
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/sampledata"
)

// importCase is one kind of file, and what imports it besides tidemill.
type importCase struct {
	name   string
	job    string
	people sampledata.PeopleOpts
	badOf  int // one row in so many is bad; 0: none
	// before is run by both sides, not timed, after the file was loaded: the file is imported over it. nil: an empty table.
	before []string
	peer   func(ctx context.Context, ib *importBench, file string) (time.Duration, error)
}

const (
	peopleColumns = `id bigint NOT NULL, email text NOT NULL, full_name text, country text, signup_date date, age integer, balance numeric(12, 2), notes text`
	importConfig  = `
database: {url: "${DATABASE_URL}"}
storage: {url: "file://${BENCH_DIR}/storage"}
metrics: {listen: ""}
jobs:
  people: {kind: import, table: public.people, match: [email], on_conflict: skip, reject_limit: {rows: 1000000}}
  people-2: {kind: import, table: public.people, match: [email], on_conflict: skip, reject_limit: {rows: 1000000}, writers: 2}
  people-update: {kind: import, table: public.people, match: [email], on_conflict: update, reject_limit: {rows: 1000000}}
  people-update-2: {kind: import, table: public.people, match: [email], on_conflict: update, reject_limit: {rows: 1000000}, writers: 2}
` + exportConfig
)

var importCases = slices.Concat([]importCase{
	{name: "clean, 1 writer", job: "people", people: sampledata.PeopleOpts{Seed: 1}, peer: copyStraight},
	{name: "clean, 2 writers", job: "people-2", people: sampledata.PeopleOpts{Seed: 1}, peer: copyStraight},
	{name: "1 % duplicates, file order, 1 writer", job: "people", people: sampledata.PeopleOpts{Seed: 2, DuplicateRatio: 0.01}, peer: copyMerge},
	{name: "1 % duplicates, file order, 2 writers", job: "people-2", people: sampledata.PeopleOpts{Seed: 2, DuplicateRatio: 0.01}, peer: copyMerge},
	{name: "1 % duplicates, shuffled, 1 writer", job: "people", people: sampledata.PeopleOpts{Seed: 3, DuplicateRatio: 0.01, Shuffle: true}, peer: copyMerge},
	{name: "1 % duplicates, shuffled, 2 writers", job: "people-2", people: sampledata.PeopleOpts{Seed: 3, DuplicateRatio: 0.01, Shuffle: true}, peer: copyMerge},
	{name: "update, 1 % changed, 1 writer", job: "people-update", people: sampledata.PeopleOpts{Seed: 4}, before: changeSome, peer: upsert},
	{name: "update, 1 % changed, 2 writers", job: "people-update-2", people: sampledata.PeopleOpts{Seed: 4}, before: changeSome, peer: upsert},
}, badCases())

// badCases stand beside pgloader, which puts bad rows aside, too. They are bad values only: at a record that is no CSV, or a
// byte that is no UTF-8, pgloader gives the file up.
func badCases() (cases []importCase) {
	for _, bad := range []struct {
		share string
		of    int
	}{{"no", 0}, {"0.1 %", 1000}, {"1 %", 100}, {"10 %", 10}} {
		cases = append(cases, importCase{
			name: bad.share + " bad rows, 2 writers, pgloader", job: "people-2", people: sampledata.PeopleOpts{Seed: 5, BadValues: true}, badOf: bad.of, peer: pgloader,
		})
	}
	return cases
}

// changeSome makes one row in a hundred differ from the file.
var changeSome = []string{`UPDATE people SET balance = balance + 1 WHERE id % 100 = 0`, `VACUUM ANALYZE people`, `CHECKPOINT`}

func copyStraight(ctx context.Context, ib *importBench, file string) (time.Duration, error) {
	return ib.timePSQL(ctx, []string{`\copy people FROM '%s' CSV HEADER`}, file)
}

func copyMerge(ctx context.Context, ib *importBench, file string) (time.Duration, error) {
	return ib.timePSQL(ctx, append(stagePSQL(), `INSERT INTO people SELECT * FROM stage ON CONFLICT (email) DO NOTHING`), file)
}

func upsert(ctx context.Context, ib *importBench, file string) (time.Duration, error) {
	return ib.timePSQL(ctx, append(stagePSQL(), `INSERT INTO people SELECT * FROM stage ON CONFLICT (email) DO UPDATE SET id = excluded.id,
		full_name = excluded.full_name, country = excluded.country, signup_date = excluded.signup_date, age = excluded.age,
		balance = excluded.balance, notes = excluded.notes`), file)
}

func stagePSQL() []string {
	return []string{`CREATE TEMP TABLE stage (` + peopleColumns + `)`, `\copy stage FROM '%s' CSV HEADER`}
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
func (ib *importBench) timeImport(ctx context.Context, job, file string) (whole, own time.Duration, err error) {
	cmd := ib.command(ctx, "import", job, file, "--force", "--json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	started := time.Now()
	const withRejects = 3
	if _, err := cmd.Output(); err != nil && cmd.ProcessState.ExitCode() != withRejects {
		return 0, 0, fmt.Errorf("import: %w: %s", err, &stderr)
	}
	whole = time.Since(started)
	var seconds float64
	err = ib.pool.QueryRow(ctx, `SELECT extract(epoch FROM finished_at - started_at)::float8 FROM tidemill.run ORDER BY id DESC LIMIT 1`).Scan(&seconds)
	return whole, time.Duration(seconds * float64(time.Second)), err
}

func (ib *importBench) count(ctx context.Context) (n int, err error) {
	err = ib.pool.QueryRow(ctx, `SELECT count(*) FROM public.people`).Scan(&n)
	return n, err
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
	fmt.Printf("%d rows, %d pairs in turn; seconds as median (least–most); ratio = speed of tidemill import / speed of psql or pgloader\n\n", b.rows, b.rounds)
	fmt.Println("| file | psql or pgloader s | tidemill import s | its run alone s | ratio |")
	fmt.Println("|---|---|---|---|---|")
	for _, c := range importCases {
		if !slices.ContainsFunc(strings.Split(b.cases, "|"), func(part string) bool { return strings.Contains(c.name, part) }) {
			continue
		}
		if err := ib.measure(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (ib *importBench) measure(ctx context.Context, c importCase) error {
	c.people.Rows = ib.rows
	if c.badOf > 0 {
		c.people.Bad = ib.rows / c.badOf
	}
	file, stats, err := ib.people("people", c.people)
	if err != nil {
		return err
	}
	defer os.Remove(file)
	var peer, whole, own, ratio []float64
	for round := range ib.rounds + 1 {
		if round == 0 && ib.rounds == 1 {
			continue // one pair is a look
		}
		if err := ib.prepare(ctx, c, file); err != nil {
			return err
		}
		p, err := c.peer(ctx, ib, file)
		if err != nil {
			return err
		}
		loaded, err := ib.count(ctx)
		if err != nil {
			return err
		}
		if c.badOf == 0 && loaded != stats.Distinct {
			return fmt.Errorf("the other one loaded %d rows, want %d", loaded, stats.Distinct)
		}
		if err := ib.prepare(ctx, c, file); err != nil {
			return err
		}
		w, o, err := ib.timeImport(ctx, c.job, file)
		if err != nil {
			return err
		}
		mine, err := ib.count(ctx)
		if err != nil {
			return err
		}
		if mine != stats.Distinct {
			return fmt.Errorf("tidemill loaded %d rows, want %d", mine, stats.Distinct)
		}
		fmt.Fprintf(os.Stderr, "%s, round %d: %.2f s (%d rows), import %.2f s (run %.2f s, %d rows)\n",
			c.name, round, p.Seconds(), loaded, w.Seconds(), o.Seconds(), mine)
		if round == 0 {
			continue // warms caches on both sides
		}
		peer, whole, own = append(peer, p.Seconds()), append(whole, w.Seconds()), append(own, o.Seconds())
		ratio = append(ratio, p.Seconds()/w.Seconds())
	}
	fmt.Printf("| %s | %s | %s | %s | %s |\n", c.name, spreadOf(peer), spreadOf(whole), spreadOf(own), spreadOf(ratio))
	return nil
}

// prepare gives both sides the same table.
func (ib *importBench) prepare(ctx context.Context, c importCase, file string) error {
	if err := ib.reset(ctx); err != nil || c.before == nil {
		return err
	}
	if _, err := copyStraight(ctx, ib, file); err != nil {
		return err
	}
	for _, sql := range c.before {
		if _, err := ib.pool.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}
