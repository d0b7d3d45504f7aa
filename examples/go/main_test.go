package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

// setup starts the application, with its worker, in this process.
func setup(t *testing.T) (*tidemill.App, http.Handler) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	url := testengine.URL(t)
	cfg, err := config.Load("tidemill.yaml", &config.Opts{Kinds: workers.Configs(), Lookup: func(string) (string, bool) { return url, true }})
	if err != nil {
		t.Fatal(err)
	}
	app, err := tidemill.New(ctx, cfg, &tidemill.Opts{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := register(app); err != nil {
		t.Fatal(err)
	}
	tables, err := os.ReadFile("../schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Pool.Exec(ctx, string(tables)); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		app.Close()
	})
	return app, routes(app, leastPrivileged(t, app))
}

// leastPrivileged connects as a role that may use the application's tables, and call what deploy/grant-enqueue.sql grants.
func leastPrivileged(t *testing.T, app *tidemill.App) *sql.DB {
	t.Helper()
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	role := "app_" + hex.EncodeToString(random[:])
	for _, statement := range []string{
		"CREATE ROLE " + role,
		"GRANT USAGE ON SCHEMA app TO " + role,
		"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA app TO " + role,
	} {
		if _, err := app.Pool.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "psql", app.Config.Database.URL, "-X", "-q", "-v", "role="+role, "-v", "schema=tidemill", "-f", "../../deploy/grant-enqueue.sql")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v: %s", err, out)
	}
	conn, err := pgx.ParseConfig(app.Config.Database.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn.RuntimeParams["role"] = role
	db := stdlib.OpenDB(*conn)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if _, err := app.Pool.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Errorf("drop the role: %v", err)
		}
	})
	var pg *pgconn.PgError
	if _, err := db.ExecContext(t.Context(), `SELECT FROM tidemill.river_job`); !errors.As(err, &pg) || pg.Code != "42501" {
		t.Errorf("%s reads the jobs: %v, want permission denied", role, err)
	}
	return db
}

func TestSignUp(t *testing.T) {
	t.Parallel()
	const pairs = 5
	for _, tt := range []struct {
		path string
		runs int // in the ledger
	}{{"/start", pairs}, {"/insert", 0}, {"/sql", 0}} {
		t.Run(tt.path, func(t *testing.T) {
			t.Parallel()
			app, handler := setup(t)
			post := func(body string, want int) {
				recorder := httptest.NewRecorder()
				handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, tt.path, strings.NewReader(body)))
				if recorder.Code != want {
					t.Errorf("%s: %d %s, want %d", body, recorder.Code, recorder.Body, want)
				}
			}
			var group sync.WaitGroup
			for i := range pairs {
				group.Go(func() { post(fmt.Sprintf(`{"email": "other%d", "plan": "gold"}`, i), http.StatusUnprocessableEntity) }) // rolled back
				group.Go(func() { post(fmt.Sprintf(`{"email": "user%d", "plan": "team"}`, i), http.StatusCreated) })
			}
			group.Wait()
			post(`{`, http.StatusBadRequest)

			type counts struct{ Live, Users, Jobs, Low, First, Runs, Welcomes, Welcomed int }
			want := counts{Users: pairs, Jobs: pairs, Low: pairs, First: pairs, Runs: tt.runs, Welcomes: pairs, Welcomed: pairs}
			deadline := time.Now().Add(30 * time.Second)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ; ; <-tick.C {
				rows, err := app.Pool.Query(t.Context(), `SELECT
					count(*) FILTER (WHERE finalized_at IS NULL),
					(SELECT count(*) FROM app.users),
					count(*),
					count(*) FILTER (WHERE queue = 'low'),
					count(*) FILTER (WHERE attempt = 1 AND state = 'completed'),
					(SELECT count(*) FROM tidemill.run WHERE status = 'succeeded'),
					(SELECT count(*) FROM app.welcomes),
					(SELECT count(DISTINCT user_id) FROM app.welcomes)
					FROM tidemill.river_job`)
				if err != nil {
					t.Fatal(err)
				}
				got, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[counts])
				if err != nil {
					t.Fatal(err)
				}
				if got.Live == 0 || time.Now().After(deadline) {
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
					return
				}
			}
		})
	}
}
