package exportjob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/migrations"
)

// ExpirerOpts is what an Expirer needs; Pool and Storage are required.
type ExpirerOpts struct {
	Pool    *pgxpool.Pool
	Schema  migrations.Schema // default tidemill
	Storage *storage.Bucket
	Logger  *slog.Logger  // default slog.Default()
	Every   time.Duration // between two looks; default 10 minutes
}

// Expirer deletes exported files some time after the end of their runs, as their jobs' expire says. Any number of processes
// may run one.
type Expirer struct{ opts ExpirerOpts }

// NewExpirer returns an Expirer.
func NewExpirer(opts ExpirerOpts) *Expirer {
	opts.Schema = opts.Schema.Defaults()
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.Every = cmp.Or(opts.Every, 10*time.Minute)
	return &Expirer{opts: opts}
}

// Run looks now and then until ctx ends. What goes wrong is logged, and tried again at the next look.
func (x *Expirer) Run(ctx context.Context) {
	session.NowAndThen(ctx, x.opts.Every, func(ctx context.Context) {
		n, err := x.Sweep(ctx)
		if n > 0 {
			x.opts.Logger.InfoContext(ctx, "deleted expired exports", "exports", n)
		}
		if err != nil && ctx.Err() == nil {
			x.opts.Logger.WarnContext(ctx, "delete expired exports; it will be retried", "error", err)
		}
	})
}

// expired says of the artifact a that its run ended long enough ago, or is gone.
const expired = `CASE WHEN EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = a.run)
	THEN EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = a.run AND r.finished_at < now() - a.keep)
	ELSE a.created_at < now() - a.keep END`

// Sweep deletes what has expired, and returns how many files that were.
func (x *Expirer) Sweep(ctx context.Context) (int, error) {
	rows, err := x.opts.Pool.Query(ctx, x.opts.Schema.SQL(`SELECT a.id FROM {tidemill}.artifact a WHERE `+expired+` ORDER BY a.id LIMIT 1000`))
	if err != nil {
		return 0, fmt.Errorf("look for expired exports: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return 0, fmt.Errorf("look for expired exports: %w", err)
	}
	deleted := 0
	for _, id := range ids {
		done, err := x.expire(ctx, id)
		if err != nil {
			return deleted, fmt.Errorf("delete export %d: %w", id, err)
		}
		if done {
			deleted++
		}
	}
	return deleted, nil
}

// expire keeps the artifact locked while its objects go, so that no run that is being retried continues with it.
func (x *Expirer) expire(ctx context.Context, id int64) (done bool, err error) {
	err = pgx.BeginFunc(ctx, x.opts.Pool, func(tx pgx.Tx) error {
		var prefix string
		err := tx.QueryRow(ctx, x.opts.Schema.SQL(
			`SELECT a.prefix FROM {tidemill}.artifact a WHERE a.id = $1 AND `+expired+` FOR UPDATE SKIP LOCKED`), id).Scan(&prefix)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := x.opts.Storage.DeleteAll(ctx, prefix, nil); err != nil {
			return err
		}
		done = true
		_, err = tx.Exec(ctx, x.opts.Schema.SQL(`DELETE FROM {tidemill}.artifact WHERE id = $1`), id)
		return err
	})
	return done && err == nil, err
}
