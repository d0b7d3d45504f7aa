package riverpg

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

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
	// Notify says whether inserts wake workers at once. River's PollOnly ends listening, but a client still notifies with
	// every insert.
	Notify bool
}

// Driver is a River driver; give it to river.NewClient.
type Driver struct {
	*riverpgxv5.Driver
	opts     Opts
	attempts attempts
}

// New returns a driver.
func New(opts Opts) *Driver {
	opts.Schema = opts.Schema.Defaults()
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	return &Driver{Driver: riverpgxv5.New(opts.Pool), opts: opts, attempts: attempts{byJob: map[int64]attempt{}}}
}

// SupportsListenNotify is what River asks before it notifies.
func (d *Driver) SupportsListenNotify() bool { return d.opts.Notify && d.Driver.SupportsListenNotify() }

// GetExecutor returns what runs River's statements. Those inside somebody's transaction (UnwrapExecutor) are River's, but for times.
func (d *Driver) GetExecutor() riverdriver.Executor {
	return &executor{Executor: d.Driver.GetExecutor(), opts: d.opts, pool: d.opts.Pool, attempts: &d.attempts}
}

type executor struct {
	riverdriver.Executor // River's own, for all that has no method here
	opts                 Opts
	pool                 *pgxpool.Pool
	attempts             *attempts
}

func (e *executor) sql(query string) string { return e.opts.Schema.SQL(query) }

// JobGetAvailable fetches jobs.
func (e *executor) JobGetAvailable(ctx context.Context, params *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	result, err := e.Executor.JobGetAvailable(ctx, params)
	if err != nil {
		return nil, err
	}
	e.attempts.remember(result.Jobs)
	return result, nil
}
