// Package migrations brings a database to the schema that this version needs: River's own migrations and then ours.
//
// Any number of processes may migrate at once: a lock on the table migration lets one work while the others wait and then
// find nothing to do. Each migration is one transaction with its row in the table migration, so a killed migrator leaves
// a state from which the next one continues. Each first locks what it alters, for a moment at a time, so that nobody waits long
// behind a migration that waits (Change).
package migrations

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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

// Up applies all that is pending and returns the steps that this call applied, River's included by count only.
func Up(ctx context.Context, pool *pgxpool.Pool, schema Schema, logger *slog.Logger) ([]Step, error) {
	// What bounds the waiting for locks is the session's.
	if err := session.Check(ctx, pool.Config().ConnConfig); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	pool, err := ownPool(ctx, pool)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	m := &migrator{pool: pool, schema: schema.Defaults(), logger: logger}
	status, err := Get(ctx, pool, schema)
	if err != nil || status.Current() {
		return nil, err
	}
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	var applied []Step
	err = m.locked(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if err := m.migrateRiver(ctx, conn); err != nil {
			return err
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
	// What bounds the waiting for locks is the session's.
	if err := session.Check(ctx, pool.Config().ConnConfig); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	pool, err := ownPool(ctx, pool)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	m := &migrator{pool: pool, schema: schema.Defaults()}
	var undone []Step
	status, err := Get(ctx, pool, schema)
	if err != nil || !slices.ContainsFunc(status.Steps, func(step Step) bool { return !step.AppliedAt.IsZero() }) {
		return nil, err
	}
	err = m.locked(ctx, func(ctx context.Context, conn *pgx.Conn) error {
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
	return m.status(ctx, pool) // one connection at a time: River takes another, and a small pool must do for many who ask
}

// Check returns an error that wraps ErrPending, and names what is missing, unless the database has all that this version needs.
func Check(ctx context.Context, pool *pgxpool.Pool, schema Schema) error {
	status, err := Get(ctx, pool, schema)
	if err != nil {
		return err
	}
	return status.pendingError()
}

type migrator struct {
	pool   *pgxpool.Pool
	schema Schema
	logger *slog.Logger
}

// querier is a pool or a connection.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func (m *migrator) status(ctx context.Context, conn querier) (*Status, error) {
	steps, err := load()
	if err != nil {
		return nil, err
	}
	applied, err := m.applied(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := m.unreleased(steps, applied); err != nil {
		return nil, err
	}
	for i := range steps {
		steps[i].AppliedAt = applied[steps[i].Version].AppliedAt
	}

	river, err := m.river(m.pool)
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

// applied reads what the database has, by version; also steps of a newer version, which this one does not know.
func (m *migrator) applied(ctx context.Context, conn querier) (map[int]Step, error) {
	var exists bool
	const find = "SELECT to_regclass($1) IS NOT NULL"
	if err := conn.QueryRow(ctx, find, m.schema.SQL("{tidemill}.migration")).Scan(&exists); err != nil {
		return nil, fmt.Errorf("look for the migration table: %w", err)
	}
	if !exists {
		return nil, nil
	}
	rows, err := conn.Query(ctx, m.schema.SQL("SELECT version, name, applied_at FROM {tidemill}.migration"))
	if err != nil {
		return nil, fmt.Errorf("read the migration table: %w", err)
	}
	applied := map[int]Step{}
	var step Step
	if _, err := pgx.ForEachRow(rows, []any{&step.Version, &step.Name, &step.AppliedAt}, func() error {
		applied[step.Version] = step
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the migration table: %w", err)
	}
	return applied, nil
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
