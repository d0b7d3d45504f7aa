package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

const tables = `
CREATE SCHEMA app;
CREATE TABLE app.users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL, seen_at timestamptz NOT NULL DEFAULT now(), score int NOT NULL DEFAULT 0);
CREATE TABLE app.invoices (user_id bigint PRIMARY KEY REFERENCES app.users)`

// setup starts the application's worker in this process.
func setup(t *testing.T) *tidemill.App {
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
	if _, err := app.Pool.Exec(ctx, tables); err != nil {
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
	return app
}

func TestSignUp(t *testing.T) {
	t.Parallel()

	app := setup(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	id, err := signUp(ctx, app.Pool, app.Client, "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signUp(ctx, app.Pool, app.Client, "ADA@example.com"); !errors.Is(err, errTaken) {
		t.Fatalf("second sign-up: %v", err)
	}
	var user int64
	for {
		err := app.Pool.QueryRow(ctx, `SELECT user_id FROM app.invoices`).Scan(&user)
		if err == nil {
			break
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
	}
	var jobs int
	if err := app.Pool.QueryRow(ctx, `SELECT count(*) FROM tidemill.river_job WHERE kind = 'invoice'`).Scan(&jobs); err != nil {
		t.Fatal(err)
	}
	if user != id || jobs != 1 {
		t.Errorf("invoice of user %d, want %d; %d jobs, want 1: the rolled-back sign-up left none", user, id, jobs)
	}
}

func TestRescoreByName(t *testing.T) {
	t.Parallel()

	app := setup(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := app.Pool.Exec(ctx, `INSERT INTO app.users (email, seen_at)
		SELECT 'user' || i, date '2025-12-31' + i % 2 FROM generate_series(1, 5000) i`); err != nil {
		t.Fatal(err)
	}
	started, err := app.Start(ctx, "rescore-users", tidemill.Params{"since": "2026-01-01"})
	if err != nil {
		t.Fatal(err)
	}
	var last *batch.Info
	err = app.Ledger.Watch(ctx, started.ID, 20*time.Millisecond, func(info *batch.Info) error { last = info; return nil })
	if err != nil {
		t.Fatal(err)
	}
	var once, never int
	if err := app.Pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE score = 1), count(*) FILTER (WHERE score = 0) FROM app.users`).Scan(&once, &never); err != nil {
		t.Fatal(err)
	}
	if last.Status != batch.Succeeded || once != 2500 || never != 2500 || last.Done != 2500 {
		t.Errorf("%s, %d scored once, %d never; %+v", last.Status, once, never, last)
	}
}
