package riverpg

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/tidemill/tidemill/internal/dbtext"
	"github.com/tidemill/tidemill/migrations"
)

// Opts configures New. Only Pool is required.
type Opts struct {
	// Pool is what River's statements run on. A worker's jobs must not take its connections; give them another pool.
	Pool *pgxpool.Pool
	// Schema says where the tables are; default tidemill.
	Schema migrations.Schema
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Notify has inserts wake workers at once. River's PollOnly ends listening, but a client still notifies with
	// every insert.
	Notify bool
	// MaxArgs is how many bytes the arguments of a job may have; default DefaultMaxArgs. Attempts of jobs in the table that
	// have more fail without being read.
	MaxArgs int
}

// Driver is a River driver; give it to river.NewClient.
type Driver struct {
	*riverpgxv5.Driver
	opts     Opts
	attempts attempts
	encoding dbtext.Known
}

// New returns a driver.
func New(opts Opts) *Driver {
	opts.MaxArgs = cmp.Or(opts.MaxArgs, DefaultMaxArgs)
	opts.Schema = opts.Schema.Defaults()
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	return &Driver{Driver: riverpgxv5.New(opts.Pool), opts: opts, attempts: attempts{byJob: map[int64]attempt{}}}
}

// SupportsListenNotify is what River asks before it notifies.
func (d *Driver) SupportsListenNotify() bool { return d.opts.Notify && d.Driver.SupportsListenNotify() }

// GetExecutor returns what runs River's statements. Those inside somebody's transaction (UnwrapExecutor) are River's, but for times.
func (d *Driver) GetExecutor() riverdriver.Executor {
	return &executor{Executor: d.Driver.GetExecutor(), driver: d.Driver, opts: d.opts, pool: d.opts.Pool, attempts: &d.attempts, encoding: &d.encoding}
}

// UnwrapExecutor returns what runs River's statements in the caller's transaction.
func (d *Driver) UnwrapExecutor(tx pgx.Tx) riverdriver.ExecutorTx {
	return &executorTx{ExecutorTx: d.Driver.UnwrapExecutor(tx), driver: d.Driver, tx: tx}
}

// UnwrapTx returns the transaction of an executor.
func (d *Driver) UnwrapTx(tx riverdriver.ExecutorTx) pgx.Tx {
	if ours, ok := tx.(*executorTx); ok {
		return ours.tx
	}
	return d.Driver.UnwrapTx(tx)
}

type executor struct {
	riverdriver.Executor // River's own, for all that has no method here
	driver               *riverpgxv5.Driver
	opts                 Opts
	pool                 *pgxpool.Pool
	attempts             *attempts
	encoding             *dbtext.Known
}

func (e *executor) sql(query string) string { return e.opts.Schema.SQL(query) }

// Begin begins a transaction.
func (e *executor) Begin(ctx context.Context) (riverdriver.ExecutorTx, error) {
	return wrap(e.driver)(e.Executor.Begin(ctx))
}

type executorTx struct {
	riverdriver.ExecutorTx // River's own, for all that has no method here
	driver                 *riverpgxv5.Driver
	tx                     pgx.Tx
}

// Begin begins a transaction inside of this one.
func (e *executorTx) Begin(ctx context.Context) (riverdriver.ExecutorTx, error) {
	return wrap(e.driver)(e.ExecutorTx.Begin(ctx))
}

func wrap(driver *riverpgxv5.Driver) func(riverdriver.ExecutorTx, error) (riverdriver.ExecutorTx, error) {
	return func(tx riverdriver.ExecutorTx, err error) (riverdriver.ExecutorTx, error) {
		if err != nil {
			return nil, err
		}
		return &executorTx{ExecutorTx: tx, driver: driver, tx: driver.UnwrapTx(tx)}, nil
	}
}
