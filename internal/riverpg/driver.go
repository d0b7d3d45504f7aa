package riverpg

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// Opts configures New. Only Pool is required.
type Opts struct {
	// Pool is what River's statements run on. A worker's jobs must not take its connections; give them another pool.
	Pool *pgxpool.Pool
	// Notify says whether inserts wake workers at once. River's PollOnly ends listening, but a client still notifies with
	// every insert.
	Notify bool
}

// Driver is a River driver; give it to river.NewClient.
type Driver struct {
	*riverpgxv5.Driver
	opts Opts
}

// New returns a driver.
func New(opts Opts) *Driver {
	return &Driver{Driver: riverpgxv5.New(opts.Pool), opts: opts}
}

// SupportsListenNotify is what River asks before it notifies.
func (d *Driver) SupportsListenNotify() bool { return d.opts.Notify && d.Driver.SupportsListenNotify() }

// GetExecutor returns what runs River's statements. Those inside somebody's transaction (UnwrapExecutor) are River's, but for times.
func (d *Driver) GetExecutor() riverdriver.Executor {
	return &executor{Executor: d.Driver.GetExecutor(), pool: d.opts.Pool}
}

type executor struct {
	riverdriver.Executor // River's own, for all that has no method here
	pool                 *pgxpool.Pool
}
