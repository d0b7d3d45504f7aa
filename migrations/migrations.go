// Package migrations brings a database to the schema that this version needs: River's own migrations and then ours.
//
// Any number of processes may migrate at once: a session-level advisory lock lets one work while the others wait and then
// find nothing to do. Each migration is one transaction with its row in the table migration, so a killed migrator leaves
// a state from which the next one goes on.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/tidemill/tidemill/internal/session"
)

//go:embed sql/*.sql
var files embed.FS

// Step is one of our migrations.
type Step struct {
	Version int
	Name    string
	// AppliedAt is zero while the step is pending.
	AppliedAt time.Time

	up, down string
}

// Status is what a database has and what it lacks.
type Status struct {
	Steps        []Step
	RiverVersion int // highest applied migration of River
	RiverLatest  int // highest migration of River that this version brings
}

// Current reports whether nothing is pending.
func (s *Status) Current() bool {
	for _, step := range s.Steps {
		if step.AppliedAt.IsZero() {
			return false
		}
	}
	return s.RiverVersion >= s.RiverLatest
}

// ErrPending is returned by Check for a database that lacks migrations.
var ErrPending = errors.New("the database lacks migrations")

// Up applies all that is pending and returns the steps that this call applied, River's included by count only.
func Up(ctx context.Context, pool *pgxpool.Pool, schema Schema, logger *slog.Logger) ([]Step, error) {
	m := &migrator{pool: pool, schema: schema.Defaults(), logger: logger}
	var applied []Step
	err := m.locked(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		for _, name := range []string{m.schema.Name, m.schema.River} {
			if err := createSchema(ctx, conn, name); err != nil {
				return err
			}
		}
		river, err := m.river()
		if err != nil {
			return err
		}
		if _, err := river.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return fmt.Errorf("river's migrations: %w", err)
		}
		status, err := m.status(ctx, conn)
		if err != nil {
			return err
		}
		for _, step := range status.Steps {
			if !step.AppliedAt.IsZero() {
				continue
			}
			if err := m.apply(ctx, conn, step); err != nil {
				return err
			}
			applied = append(applied, step)
		}
		return nil
	})
	return applied, err
}

// Down takes back the newest steps applied, ours only: River's tables may belong to others. It returns what it took back.
func Down(ctx context.Context, pool *pgxpool.Pool, schema Schema, steps int) ([]Step, error) {
	m := &migrator{pool: pool, schema: schema.Defaults()}
	var undone []Step
	err := m.locked(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		status, err := m.status(ctx, conn)
		if err != nil {
			return err
		}
		for i := len(status.Steps) - 1; i >= 0 && len(undone) < steps; i-- {
			step := status.Steps[i]
			if step.AppliedAt.IsZero() {
				continue
			}
			if err := m.undo(ctx, conn, step); err != nil {
				return err
			}
			undone = append(undone, step)
		}
		return nil
	})
	return undone, err
}

// Get reads the status without changing anything.
func Get(ctx context.Context, pool *pgxpool.Pool, schema Schema) (*Status, error) {
	m := &migrator{pool: pool, schema: schema.Defaults()}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	return m.status(ctx, conn.Conn())
}

// Check returns ErrPending unless the database has all that this version needs.
func Check(ctx context.Context, pool *pgxpool.Pool, schema Schema) error {
	status, err := Get(ctx, pool, schema)
	if err != nil {
		return err
	}
	if !status.Current() {
		return ErrPending
	}
	return nil
}

type migrator struct {
	pool   *pgxpool.Pool
	schema Schema
	logger *slog.Logger
}

// locked runs fn on a connection that holds the migration lock of this schema.
func (m *migrator) locked(ctx context.Context, fn func(context.Context, *pgx.Conn) error) error {
	if err := session.Check(ctx, m.pool.Config().ConnConfig); err != nil {
		return fmt.Errorf("database: %w", err) // the lock is the session's
	}
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()

	h := fnv.New64a()
	h.Write([]byte("tidemill migrate " + m.schema.Name))
	key := int64(h.Sum64())
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", key); err != nil {
		return fmt.Errorf("take the migration lock: %w", err)
	}
	defer func() {
		// A cancelled context must not leave the lock on a pooled connection.
		if _, err := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", key); err != nil {
			_ = conn.Conn().Close(context.WithoutCancel(ctx))
		}
	}()
	return fn(ctx, conn.Conn())
}

func (m *migrator) river() (*rivermigrate.Migrator[pgx.Tx], error) {
	logger := m.logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	river, err := rivermigrate.New(riverpgxv5.New(m.pool), &rivermigrate.Config{Logger: logger, Schema: m.schema.River})
	if err != nil {
		return nil, fmt.Errorf("river's migrations: %w", err)
	}
	return river, nil
}

func (m *migrator) status(ctx context.Context, conn *pgx.Conn) (*Status, error) {
	steps, err := load()
	if err != nil {
		return nil, err
	}
	applied, err := m.applied(ctx, conn)
	if err != nil {
		return nil, err
	}
	for i := range steps {
		steps[i].AppliedAt = applied[steps[i].Version]
	}

	river, err := m.river()
	if err != nil {
		return nil, err
	}
	status := &Status{Steps: steps}
	for _, v := range river.AllVersions() {
		status.RiverLatest = max(status.RiverLatest, v.Version)
	}
	existing, err := river.ExistingVersions(ctx)
	if err != nil {
		return nil, fmt.Errorf("river's migrations: %w", err)
	}
	for _, v := range existing {
		status.RiverVersion = max(status.RiverVersion, v.Version)
	}
	return status, nil
}

func (m *migrator) applied(ctx context.Context, conn *pgx.Conn) (map[int]time.Time, error) {
	var exists bool
	const find = "SELECT to_regclass($1) IS NOT NULL"
	if err := conn.QueryRow(ctx, find, m.schema.SQL("{tidemill}.migration")).Scan(&exists); err != nil {
		return nil, fmt.Errorf("look for the migration table: %w", err)
	}
	if !exists {
		return nil, nil
	}
	rows, err := conn.Query(ctx, m.schema.SQL("SELECT version, applied_at FROM {tidemill}.migration"))
	if err != nil {
		return nil, fmt.Errorf("read the migration table: %w", err)
	}
	applied := map[int]time.Time{}
	var version int
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&version, &at}, func() error { applied[version] = at; return nil }); err != nil {
		return nil, fmt.Errorf("read the migration table: %w", err)
	}
	return applied, nil
}

func (m *migrator) apply(ctx context.Context, conn *pgx.Conn, step Step) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		const table = `CREATE TABLE IF NOT EXISTS {tidemill}.migration (
			version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`
		if _, err := tx.Exec(ctx, m.schema.SQL(table)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, m.schema.SQL(step.up), pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, m.schema.SQL("INSERT INTO {tidemill}.migration (version, name) VALUES ($1, $2)"), step.Version, step.Name)
		return err
	})
	if err != nil {
		return fmt.Errorf("migration %03d_%s: %w", step.Version, step.Name, err)
	}
	return nil
}

func (m *migrator) undo(ctx context.Context, conn *pgx.Conn, step Step) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, m.schema.SQL(step.down), pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, m.schema.SQL("DELETE FROM {tidemill}.migration WHERE version = $1"), step.Version)
		return err
	})
	if err != nil {
		return fmt.Errorf("take back migration %03d_%s: %w", step.Version, step.Name, err)
	}
	return nil
}

// createSchema avoids CREATE SCHEMA IF NOT EXISTS for one that is there: it asks for the CREATE right on the database
// even then, which a role that was given a ready schema lacks.
func createSchema(ctx context.Context, conn *pgx.Conn, name string) error {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", name).Scan(&exists); err != nil {
		return fmt.Errorf("look for schema %s: %w", name, err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("create schema %s: %w", name, err)
	}
	return nil
}

// load reads the embedded files, named NNN_name.up.sql and NNN_name.down.sql, in order.
func load() ([]Step, error) {
	ups, err := fs.Glob(files, "sql/*.up.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]Step, 0, len(ups))
	for _, up := range ups {
		base := strings.TrimSuffix(path.Base(up), ".up.sql")
		number, name, _ := strings.Cut(base, "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration file %s: %w", up, err)
		}
		upSQL, err := files.ReadFile(up)
		if err != nil {
			return nil, err
		}
		downSQL, err := files.ReadFile("sql/" + base + ".down.sql")
		if err != nil {
			return nil, err
		}
		steps = append(steps, Step{Version: version, Name: name, up: string(upSQL), down: string(downSQL)})
	}
	return steps, nil
}
