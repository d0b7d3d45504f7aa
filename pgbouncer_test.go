package tidemill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/server"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/testbouncer"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/periodic"
	"github.com/tidemill/tidemill/workers"
)

// through is the program of app behind a PgBouncer that shares sessions.
func through(t *testing.T, app *App, parameters string, opts Opts) *App {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	url := testbouncer.Start(t, testbouncer.Opts{URL: app.Config.Database.URL, Mode: "transaction"}) + parameters
	const yaml = "database: {url: \"${DATABASE_URL}\"}\nmetrics: {listen: \"\"}\njobs:\n  hello: {kind: command, argv: [\"true\"], params: {n: integer}}\n"
	cfg, err := config.Parse("tidemill.yaml", []byte(yaml), &config.Opts{Kinds: workers.Configs(), Lookup: func(string) (string, bool) { return url, true }})
	if err != nil {
		t.Fatal(err)
	}
	pooled, err := New(t.Context(), cfg, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pooled.Close)
	return pooled
}

// A program behind a pooler that shares sessions enqueues whatever it may, side by side, in its own transactions.
func TestEnqueueThroughPgBouncer(t *testing.T) {
	t.Parallel()
	const programs, rounds = 8, 10
	tests := []struct {
		name, parameters string
		statement        string // by which a job is started in SQL
	}{
		{"Go", "&default_query_exec_mode=cache_describe", `SELECT tidemill.start('hello', jsonb_build_object('n', $1::int))`},
		{"SQL, statements without names", "&default_query_exec_mode=exec", `SELECT tidemill.start('hello', jsonb_build_object('n', $1::int))`},
		{"SQL, the simple protocol", "&default_query_exec_mode=simple_protocol", `SELECT tidemill.start('hello', jsonb_build_object('n', $1::int))`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			direct := setup(t, "jobs:\n  hello: {kind: command, argv: [\"true\"], params: {n: integer}}\n")
			river.AddWorker(direct.Workers, &letterWorker{})
			if _, err := direct.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			app := through(t, direct, tt.parameters, Opts{})
			ways := map[string]func(ctx context.Context, tx pgx.Tx, n int) error{
				"insert": func(ctx context.Context, tx pgx.Tx, _ int) error {
					_, err := app.Client.InsertTx(ctx, tx, letterArgs{}, nil)
					return err
				},
				"insert many": func(ctx context.Context, tx pgx.Tx, _ int) error {
					_, err := app.Client.InsertManyTx(ctx, tx, []river.InsertManyParams{{Args: letterArgs{}}, {Args: letterArgs{}}})
					return err
				},
				"insert many, fast": func(ctx context.Context, tx pgx.Tx, _ int) error {
					_, err := app.Client.InsertManyFastTx(ctx, tx, []river.InsertManyParams{{Args: letterArgs{}}, {Args: letterArgs{}}})
					return err
				},
				"SQL": func(ctx context.Context, tx pgx.Tx, n int) error {
					_, err := tx.Exec(ctx, tt.statement, n)
					return err
				},
			}
			if tt.name == "Go" {
				ways["start"] = func(ctx context.Context, tx pgx.Tx, n int) error {
					_, err := app.StartTx(ctx, tx, "hello", Params{"n": n})
					return err
				}
			}
			var group sync.WaitGroup
			for range programs {
				group.Go(func() {
					for n := range rounds {
						for name, way := range ways {
							undone := errors.New("undone")
							err := pgx.BeginFunc(context.Background(), app.Pool, func(tx pgx.Tx) error { return way(context.Background(), tx, n) })
							if err != nil {
								t.Errorf("%s: %v", name, err)
							}
							err = pgx.BeginFunc(context.Background(), app.Pool, func(tx pgx.Tx) error {
								return errors.Join(way(context.Background(), tx, n), undone)
							})
							if err.Error() != undone.Error() {
								t.Errorf("%s, undone: %v", name, err)
							}
						}
					}
				})
			}
			group.Wait()
			want := fmt.Sprintf("letter %d, tidemill.command %d", 5*programs*rounds, (len(ways)-3)*programs*rounds)
			got := must(ask[string](t, direct, `SELECT string_agg(kind || ' ' || n, ', ' ORDER BY kind) FROM (SELECT kind, count(*) AS n FROM tidemill.river_job GROUP BY 1) k`))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("jobs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSharedSessionsAreRefused(t *testing.T) {
	t.Parallel()
	direct := setup(t, "")
	if _, err := direct.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	app := through(t, direct, "", Opts{})
	if err := app.Run(t.Context(), nil); !errors.Is(err, session.ErrShared) {
		t.Errorf("Run: %v", err)
	}
	if _, err := app.Migrate(t.Context()); !errors.Is(err, session.ErrShared) {
		t.Errorf("Migrate: %v", err)
	}
}

// The server, and commands, need no session of their own and name no statement.
func TestServerThroughPgBouncer(t *testing.T) {
	t.Parallel()
	direct := setup(t, "jobs:\n  hello: {kind: command, argv: [\"true\"], schedule: {every: 365d}}\n")
	if _, err := direct.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	app := through(t, direct, "", Opts{SharedSessions: true})
	secret := strings.Repeat("secret", 5)
	handler := server.New(server.Opts{
		Schedules: periodic.NewAdmin(app.Pool, app.schema), Ledger: app.Ledger, CronSecrets: []string{secret}, Logger: app.logger,
		Ready: func(ctx context.Context) error { return migrations.Check(ctx, app.Pool, app.schema) },
	})
	get := func(path string, want int) {
		request := httptest.NewRequest(http.MethodGet, path, nil)
		request.Header.Set("Authorization", "Bearer "+secret)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != want {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				get("/api/cron/hello", http.StatusAccepted)
			}
		})
	}
	for range 10 {
		get("/readyz", http.StatusOK)
	}
	group.Wait()
}
