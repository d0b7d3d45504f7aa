package tidemill

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/periodic"
	"github.com/tidemill/tidemill/workers"
)

// sizeYAML lets arguments be of 2 KiB.
const sizeYAML = `
max_args: 2KiB
jobs:
  letters: {kind: letter}
  hook: {kind: http, url: "http://127.0.0.1:1/", params: {n: text}}
  many: {kind: each, query: "SELECT id, repeat('x', id) AS note FROM numbers", order_by: [id], enqueue: {job: letters}}
  together: {kind: each, query: SELECT id FROM numbers, order_by: [id], batch: 1000, enqueue: {job: letters}}
`

func setupSize(t *testing.T) *App {
	t.Helper()
	app := setup(t, sizeYAML)
	river.AddWorker(app.Workers, &letterWorker{})
	if _, err := app.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return app
}

// Arguments over max_args are refused at every door, with the way out, and nothing is left in the database.
func TestTooLongArgumentsAreRefused(t *testing.T) {
	t.Parallel()

	app := setupSize(t)
	exec := func(query string, args ...any) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := app.Pool.Exec(ctx, query, args...)
			return err
		}
	}
	start := func(job string, params Params) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := app.Start(ctx, job, params)
			return err
		}
	}
	long := strings.Repeat("x", 2<<10)
	tests := []struct {
		name  string
		do    func(context.Context) error
		fits  func(context.Context) error
		error string
	}{
		{"enqueue", exec(`SELECT tidemill.enqueue('letter', jsonb_build_object('to', $1::text))`, long),
			exec(`SELECT tidemill.enqueue('letter', jsonb_build_object('to', $1::text))`, long[:2000]),
			"the arguments of a job of kind letter: 2060 bytes, and max_args is 2048"},
		{"enqueue with tags", exec(`SELECT tidemill.enqueue('letter', tags => array_fill('abcdefgh'::text, '{300}'))`),
			exec(`SELECT tidemill.enqueue('letter', tags => array_fill('abcdefgh'::text, '{200}'))`), "2404 bytes, and max_args is 2048"},
		{"start", exec(`SELECT tidemill.start('letters', jsonb_build_object('to', $1::text))`, long),
			exec(`SELECT tidemill.start('letters', jsonb_build_object('to', $1::text))`, long[:1900]), "kind letter: 20"},
		{"start of a built-in kind", exec(`SELECT tidemill.start('hook', jsonb_build_object('n', $1::text))`, long),
			exec(`SELECT tidemill.start('hook', jsonb_build_object('n', $1::text))`, long[:1900]), "kind tidemill.http: 2"},
		{"Start", start("hook", Params{"n": long}), start("hook", Params{"n": long[:1900]}), "kind tidemill.http: 2"},
		{"StartWith of a program's kind", start("letters", Params{"to": long}), start("letters", Params{"to": long[:1900]}), "kind letter: 2"},
		{"Insert", func(ctx context.Context) error {
			_, err := app.Client.Insert(ctx, letterArgs{To: long}, nil)
			return err
		}, func(ctx context.Context) error {
			_, err := app.Client.Insert(ctx, letterArgs{To: long[:2000]}, nil)
			return err
		}, "the arguments of a job of kind letter: 2059 bytes, and max_args is 2048; store them, in a table or a file, and pass their key"},
		{"InsertManyTx, metadata", func(ctx context.Context) error {
			return pgx.BeginFunc(ctx, app.Pool, func(tx pgx.Tx) error {
				_, err := app.Client.InsertManyTx(ctx, tx, []river.InsertManyParams{{Args: letterArgs{}}, {
					Args: letterArgs{}, InsertOpts: &river.InsertOpts{Metadata: []byte(`{"x": "` + long + `"}`)},
				}})
				return err
			})
		}, nil, "kind letter: 20"},
		{"InsertManyFast", func(ctx context.Context) error {
			_, err := app.Client.InsertManyFast(ctx, []river.InsertManyParams{{Args: letterArgs{To: long}}})
			return err
		}, nil, "kind letter: 2059"},
		{"a schedule, applied", func(ctx context.Context) error {
			other := &App{Config: app.Config, Pool: app.Pool, Workers: app.Workers, schema: app.schema}
			other.Schedules = []periodic.Definition{{Name: "s", Job: "letters", Kind: "letter", Args: []byte(`{"to": "` + long + `"}`)}}
			_, err := other.Apply(ctx)
			return err
		}, nil, "the arguments of schedule s: 2058 bytes"},
		{"a job's args, applied", func(ctx context.Context) error {
			return applyOther(ctx, t, app, "max_args: 1KiB\njobs: {a: {kind: letter, args: {to: "+long[:1500]+"}}}")
		}, nil, "the args of job a: 1509 bytes, and max_args is 1024"},
		{"what follows, applied", func(ctx context.Context) error {
			return applyOther(ctx, t, app, "max_args: 1KiB\njobs: {a: {kind: letter, then: {success: [{job: b, params: {to: "+long[:1500]+"}}]}}, b: {kind: letter}}")
		}, nil, "the params that job a gives to b: 1509 bytes"},
	}
	for _, tt := range tests {
		before := must(ask[int](t, app, `SELECT count(*) FROM tidemill.river_job`))
		err := tt.do(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.error) {
			t.Errorf("%s: %v; want %s", tt.name, err, tt.error)
		}
		var pg *pgconn.PgError
		if errors.As(err, &pg) && (pg.Code != "22023" || pg.Hint != "store them, in a table or a file, and pass their key") {
			t.Errorf("%s: %s, hint %s", tt.name, pg.Code, pg.Hint)
		}
		if after := must(ask[int](t, app, `SELECT count(*) FROM tidemill.river_job`)); after != before {
			t.Errorf("%s: %d jobs are there", tt.name, after-before)
		}
		if tt.fits == nil {
			continue
		}
		if err := tt.fits(t.Context()); err != nil {
			t.Errorf("%s, what fits: %v", tt.name, err)
		}
	}
}

// applyOther applies another configuration to the app's database.
func applyOther(ctx context.Context, t *testing.T, app *App, yaml string) error {
	t.Helper()
	cfg, err := config.Parse("tidemill.yaml", []byte(yaml), &config.Opts{Kinds: workers.Configs()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database = app.Config.Database
	other := &App{Config: cfg, Pool: app.Pool, Workers: app.Workers, schema: app.schema}
	_, err = other.Apply(ctx)
	return err
}

// A row that would become a job with too long arguments fails the run that walks over it, with the chunk.
func TestEachRefusesTooLongChildren(t *testing.T) {
	t.Parallel()

	app := setupSize(t)
	if _, err := app.Pool.Exec(t.Context(), `CREATE TABLE numbers AS SELECT id::int FROM generate_series(1, 3000) id`); err != nil {
		t.Fatal(err)
	}
	workOn(t, app)
	for job, want := range map[string]string{
		"many":     "a job of this chunk would have arguments of",
		"together": "a job of this chunk would have arguments of",
	} {
		id := startEach(t, app, job, nil)
		waitStatus(t, app, id, batch.Failed)
		info := must(app.Ledger.Get(t.Context(), id))
		if !strings.Contains(*info.Error, want) {
			t.Errorf("%s: %s", job, *info.Error)
		}
	}
	if n := must(ask[int](t, app, `SELECT count(*) FROM tidemill.river_job WHERE kind = 'letter'`)); n != 0 {
		t.Errorf("%d children", n)
	}
}
