package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/dbtext"
	"github.com/tidemill/tidemill/internal/devdb"
	"github.com/tidemill/tidemill/internal/sampledata"
	"github.com/tidemill/tidemill/workers/kind"
)

const demoConfig = `# The demo's configuration.
database: {url: "${DATABASE_URL}", schema: tidemill_demo}
storage:  {url: "file://${DEMO_DIR}/storage"}
metrics:  {listen: ""}

jobs:
  import-people:
    kind: import
    table: tidemill_demo.people
    match: [email]
    on_conflict: skip
    columns:
      id: id
      email: email
      full_name: {field: full_name, trim: true}
      country: country
      signup_date: signup_date
      age: age
      balance: balance
      notes: notes
    set: {created_at: now on insert}
    reject_limit: {rows: 1000, ratio: 1%}
`

const demoBad = 42

func (m *Main) demoCmd() *cobra.Command {
	var once bool
	var rows int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a database of its own, generated people, an import",
		Long: `Starts a private PostgreSQL (or uses DATABASE_URL, in a schema tidemill_demo), generates a CSV file of people with
everything that goes wrong in real files, imports it with progress, checks every count and stays up to be looked at.

Nothing is left behind, except the schema tidemill_demo in a database that was given.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rows < 1 {
				return &usageError{err: fmt.Errorf("--rows %d is less than 1", rows)}
			}
			ctx, stop := untilSignal(cmd.Context(), m.Stderr)
			defer stop()
			return m.demo(ctx, rows, once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the import; exit 0 only if every count was right")
	cmd.Flags().IntVar(&rows, "rows", 200_000, "size of the generated file")
	return cmd
}

func (m *Main) demo(ctx context.Context, rows int, once bool) error {
	dir, err := os.MkdirTemp("", "tidemill-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg, closeDB, err := m.demoDatabase(ctx, dir)
	if err != nil {
		return err
	}
	defer closeDB()
	app, err := m.connect(ctx, cfg, m.logger(slog.LevelWarn), true)
	if err != nil {
		return err
	}
	defer app.Close()
	if _, err := app.Migrate(ctx); err != nil {
		return err
	}
	if err := sampledata.MakePeopleTable(ctx, app.Pool); err != nil {
		return err
	}
	encoding, err := dbtext.Encoding(ctx, app.Pool)
	if err != nil {
		return fmt.Errorf("ask for the database's encoding: %w", err)
	}

	file := filepath.Join(dir, "people.csv")
	fmt.Fprintf(m.Stdout, "generating %s of people (Japanese and accented names, quoted newlines, 1 %% repeated e-mails, %d bad rows)\n",
		count(int64(rows), "row", "rows"), min(demoBad, rows))
	want, err := writePeople(file, rows, encoding)
	if err != nil {
		return err
	}

	working, stopWorking := context.WithCancel(ctx)
	worked := make(chan error, 1)
	go func() { worked <- app.Run(working, &tidemill.RunOpts{Queues: nil}) }()
	err = m.demoImport(ctx, app, file, want)
	for _, k := range m.Kinds {
		if err == nil && k.Demo != "" {
			err = m.demoKind(ctx, app, demoJob(k))
		}
	}
	if err == nil && !once {
		m.demoLook(cfg, dir)
		select {
		case <-ctx.Done():
		case workErr := <-worked:
			worked <- workErr
		}
	}
	stopWorking()
	if workErr := <-worked; err == nil && workErr != nil {
		err = workErr
	}
	return err
}

// demoDatabase writes the demo's configuration into dir and makes sure of a database.
func (m *Main) demoDatabase(ctx context.Context, dir string) (*config.Config, func(), error) {
	url, closeDB := os.Getenv("DATABASE_URL"), func() {}
	if url == "" {
		fmt.Fprintln(m.Stdout, "starting a private PostgreSQL")
		db, err := devdb.Start(ctx, nil)
		if err != nil {
			return nil, nil, err
		}
		url, closeDB = db.URL(), func() { _ = db.Close() }
	}
	path := filepath.Join(dir, "tidemill.yaml")
	if err := os.WriteFile(path, []byte(demoConfig+m.demoKinds()), 0o600); err != nil {
		closeDB()
		return nil, nil, err
	}
	cfg, err := config.Load(path, &config.Opts{Kinds: tidemill.Kinds(m.Kinds...), Lookup: func(name string) (string, bool) {
		value, ok := map[string]string{"DATABASE_URL": url, "DEMO_DIR": dir}[name]
		return value, ok
	}})
	if err != nil {
		closeDB()
		return nil, nil, err
	}
	return cfg, closeDB, nil
}

// demoKinds are jobs of kinds that the program brings.
func (m *Main) demoKinds() string {
	var b strings.Builder
	for _, k := range m.Kinds {
		if k.Demo != "" {
			fmt.Fprintf(&b, "  %s: {kind: %s, %s\n", demoJob(k), k.Name, strings.TrimPrefix(k.Demo, "{"))
		}
	}
	return b.String()
}

func demoJob(k kind.Kind) string { return "demo-" + k.Name }

// demoKind runs a job to its end and shows it.
func (m *Main) demoKind(ctx context.Context, app *tidemill.App, job string) error {
	started, err := startRun(ctx, app, job, tidemill.StartOpts{})
	if err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "job %s\n", job)
	return m.follow(ctx, app, started.ID, newProgress(m.Stderr))
}

func writePeople(path string, rows int, encoding string) (sampledata.PeopleStats, error) {
	file, err := os.Create(path)
	if err != nil {
		return sampledata.PeopleStats{}, err
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	stats, err := sampledata.WritePeople(w, sampledata.PeopleOpts{Rows: rows, Seed: 1, DuplicateRatio: 0.01, Bad: min(demoBad, rows), Holds: func(text string) bool { return dbtext.Holds(encoding, text) }})
	if err != nil {
		return stats, err
	}
	return stats, errors.Join(w.Flush(), file.Close())
}

func (m *Main) demoImport(ctx context.Context, app *tidemill.App, path string, want sampledata.PeopleStats) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	started, err := app.ImportFile(ctx, "import-people", filepath.Base(path), file, tidemill.ImportOpts{Force: true, Trigger: "cli"})
	if err != nil {
		return err
	}
	bar := newProgress(m.Stderr)
	var last *batch.Info
	err = app.Ledger.Watch(ctx, started.ID, 100*time.Millisecond, func(info *batch.Info) error {
		last = info
		if !info.Status.Final() {
			bar.show(info)
		}
		return nil
	})
	bar.clear()
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	m.summary(m.Stdout, app, last)
	return m.demoCheck(ctx, app, last, want)
}

// demoCheck holds what the run says, and what the table has, against what was generated.
func (m *Main) demoCheck(ctx context.Context, app *tidemill.App, info *batch.Info, want sampledata.PeopleStats) error {
	inTable, distinct, err := sampledata.CountPeople(ctx, app.Pool)
	if err != nil {
		return err
	}
	c := info.Counters
	right := true
	for _, check := range []struct {
		what      string
		got, want int64
	}{
		{"rows read", c.Read, int64(want.Rows)}, {"inserted", c.Inserted, int64(want.Distinct)},
		{"duplicates", c.Duplicate, int64(want.Duplicates)}, {"rejected", c.Rejected, int64(want.Bad)},
		{"rows in the table", inTable, int64(want.Distinct)}, {"distinct e-mails", distinct, int64(want.Distinct)},
	} {
		if check.got != check.want {
			right = false
			fmt.Fprintf(m.Stdout, "%s: %s, but %s were generated\n", check.what, grouped(check.got), grouped(check.want))
		}
	}
	if !right {
		return errors.New("the demo's counts are wrong; please report this")
	}
	_, err = fmt.Fprintf(m.Stdout, "%s every count is what was generated\n", paint(m.Stdout, green, "right:"))
	return err
}

// demoLook says where to look while the demo stays up.
func (m *Main) demoLook(cfg *config.Config, dir string) {
	export := fmt.Sprintf("  export DATABASE_URL='%s'\n", cfg.Database.URL)
	if os.Getenv("DATABASE_URL") != "" { // it is set there, too, and may hold a password
		export = ""
	}
	fmt.Fprintf(m.Stdout, `
Where to look, from another terminal:
%s  export DEMO_DIR=%s TIDEMILL_CONFIG=%s
  tidemill runs list
  tidemill runs rejects RUN
  tidemill processes
  psql "$DATABASE_URL" -c 'SELECT * FROM tidemill_demo.people LIMIT 5'
Ctrl-C ends the demo and removes it.
`, export, dir, cfg.File)
}
