package migrations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/tidemill/tidemill/internal/session"
)

// ownPool is a pool like that one, whose sessions depend on no setting of the role or the database.
func ownPool(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Pool, error) {
	config := pool.Config()
	config.MinConns, config.MinIdleConns, config.MaxConns = 0, 0, 3
	session.Pin(config.ConnConfig)
	own, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return own, nil
}

// prepare makes the schemas and the table that says what was applied.
func (m *migrator) prepare(ctx context.Context) error {
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	for _, name := range []string{m.schema.Name, m.schema.River} {
		if err := createSchema(ctx, conn.Conn(), name); err != nil {
			return err
		}
	}
	const table = `CREATE TABLE IF NOT EXISTS {tidemill}.migration (
		version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`
	if _, err := conn.Exec(ctx, m.schema.SQL(table)); err != nil && !madeByAnother(err) {
		return fmt.Errorf("create the migration table: %w", err)
	}
	return nil
}

// madeByAnother reports whether something could not be created because another session was faster; IF NOT EXISTS looks
// before that.
func madeByAnother(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "23505" || pg.Code == "42P06" || pg.Code == "42P07" || pg.Code == "42710")
}

// locked runs fn on a connection while another one holds the migration lock of this schema. That is a lock on a table, because
// an advisory lock can be taken, and kept, by whoever may connect to the database.
func (m *migrator) locked(ctx context.Context, fn func(context.Context, *pgx.Conn) error) error {
	holder, err := m.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer holder.Release()
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	return pgx.BeginFunc(ctx, holder, func(tx pgx.Tx) error {
		const free = `SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0;
			LOCK TABLE {tidemill}.migration IN SHARE UPDATE EXCLUSIVE MODE`
		if _, err := tx.Exec(ctx, m.schema.SQL(free), pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("take the migration lock: %w", err)
		}
		return fn(ctx, conn.Conn())
	})
}

func (m *migrator) river(pool *pgxpool.Pool) (*rivermigrate.Migrator[pgx.Tx], error) {
	logger := m.logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	river, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: logger, Schema: m.schema.River})
	if err != nil {
		return nil, fmt.Errorf("river's migrations: %w", err)
	}
	return river, nil
}

// migrateRiver applies River's migrations one by one, on connections of its own: River begins the transactions, so it
// is the session that must not wait long.
func (m *migrator) migrateRiver(ctx context.Context, conn *pgx.Conn) error {
	status, err := m.status(ctx, conn)
	if err != nil {
		return err
	}
	change := Change{Doing: "river's migrations", Schema: m.schema, Logger: m.logger}
	for range status.RiverLatest - status.RiverVersion {
		err := change.retry(ctx, conn, func(time.Duration) error {
			config := m.pool.Config()
			config.MinConns, config.MinIdleConns, config.MaxConns = 0, 0, 2
			before := config.AfterConnect
			config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
				if before != nil {
					if err := before(ctx, conn); err != nil {
						return err
					}
				}
				// Several locks are taken one after another; see Change.
				_, err := conn.Exec(ctx, fmt.Sprintf("SET lock_timeout = %d", firstWait.Milliseconds()))
				return err
			}
			pool, err := pgxpool.NewWithConfig(ctx, config)
			if err != nil {
				return err
			}
			defer pool.Close()
			river, err := m.river(pool)
			if err != nil {
				return err
			}
			_, err = river.Migrate(ctx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{MaxSteps: 1})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *migrator) apply(ctx context.Context, conn *pgx.Conn, step Step) error {
	return m.change("migration %03d_%s", step, step.up, func(ctx context.Context, tx pgx.Tx) error {
		// First, so that whoever applies the step at the same time waits here and changes nothing.
		if _, err := tx.Exec(ctx, m.schema.SQL("INSERT INTO {tidemill}.migration (version, name) VALUES ($1, $2)"), step.Version, step.Name); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, m.schema.SQL(step.up), pgx.QueryExecModeSimpleProtocol)
		return err
	}).Run(ctx, conn)
}

func (m *migrator) undo(ctx context.Context, conn *pgx.Conn, step Step) error {
	return m.change("take back migration %03d_%s", step, step.down, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, m.schema.SQL("DELETE FROM {tidemill}.migration WHERE version = $1"), step.Version); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, m.schema.SQL(step.down), pgx.QueryExecModeSimpleProtocol)
		return err
	}).Run(ctx, conn)
}

func (m *migrator) change(doing string, step Step, sql string, do func(context.Context, pgx.Tx) error) Change {
	return Change{Doing: fmt.Sprintf(doing, step.Version, step.Name), Schema: m.schema, Lock: locksOf(sql), Do: do, Logger: m.logger}
}

// locksOf reads the first line of a step, which names the tables that are there and that it alters or reads whole, in the order in
// which they are locked: "-- locks: {river}.river_job, {tidemill}.run". TestStepsSayWhatTheyLock holds it to that.
func locksOf(sql string) []TableLock {
	first, _, _ := strings.Cut(sql, "\n")
	list, ok := strings.CutPrefix(first, "-- locks: ")
	if !ok {
		return nil
	}
	var locks []TableLock
	for table := range strings.SplitSeq(list, ",") {
		locks = append(locks, TableLock{Table: strings.TrimSpace(table), Mode: "ACCESS EXCLUSIVE"})
	}
	return locks
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
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{name}.Sanitize()); err != nil && !madeByAnother(err) {
		return fmt.Errorf("create schema %s: %w", name, err)
	}
	return nil
}
