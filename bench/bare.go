package main

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// database makes an empty database and returns its URL.
func (b *bench) database(ctx context.Context, name string) (string, error) {
	admin, err := pgx.Connect(ctx, b.db.URL())
	if err != nil {
		return "", err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", err
	}
	return b.db.DatabaseURL(name), nil
}

// bareDatabase makes a database with River's tables as River makes them.
func (b *bench) bareDatabase(ctx context.Context, name string) (string, error) {
	url, err := b.database(ctx, name)
	if err != nil {
		return "", err
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return "", err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return url, err
}

// workBare starts a River client on a pool of its own. Workers, ID, Queues and Schema of the configuration are the caller's.
func workBare(ctx context.Context, pool *pgxpool.Pool, config *river.Config) (stop func() error, err error) {
	config.Logger = slog.New(slog.DiscardHandler)
	client, err := river.NewClient(riverpgxv5.New(pool), config)
	if err != nil {
		pool.Close()
		return nil, err
	}
	if err := client.Start(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return func() error { defer pool.Close(); return client.Stop(ctx) }, nil
}
