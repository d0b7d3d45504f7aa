package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
)

// baseConfig is the least that a worker needs.
const baseConfig = "database: {url: \"${URL}\"}\nmetrics: {listen: \"\"}\n"

// newApp is a Tidemill application with that configuration; ${URL} stands for the database.
func newApp(ctx context.Context, database, text string) (*tidemill.App, error) {
	cfg, err := config.Parse("bench.yaml", []byte(text), &config.Opts{Kinds: workers.Configs(), Lookup: func(string) (string, bool) { return database, true }})
	if err != nil {
		return nil, err
	}
	return tidemill.New(ctx, cfg, &tidemill.Opts{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))})
}

// tidemillDatabase makes a migrated database.
func (b *bench) tidemillDatabase(ctx context.Context, name string) (string, error) {
	url, err := b.database(ctx, name)
	if err != nil {
		return "", err
	}
	app, err := newApp(ctx, url, baseConfig)
	if err != nil {
		return "", err
	}
	defer app.Close()
	_, err = app.Migrate(ctx)
	return url, err
}

// runApp runs the application as a worker until stop, which closes it too.
func runApp(ctx context.Context, app *tidemill.App) (stop func() error) {
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(running, nil) }()
	return func() error { defer app.Close(); cancel(); return <-ended }
}

// withConns bounds the pools made from a database's URL.
func withConns(database string, conns int) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", fmt.Errorf("database URL: %w", err)
	}
	query := u.Query()
	query.Set("pool_max_conns", strconv.Itoa(conns))
	u.RawQuery = query.Encode()
	return u.String(), nil
}
