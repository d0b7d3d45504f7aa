package kind

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/migrations"
)

// Deps is what the workers of a kind may need.
type Deps struct {
	Config   *config.Config
	Jobs     Jobs
	Clock    Clock
	Location *time.Location // of due times that no start gave
	Ledger   *batch.Ledger
	Logger   *slog.Logger
	Pool     *pgxpool.Pool
	Schema   migrations.Schema
	Version  string // of the program
	// Storage opens the storage; the error says what to configure if there is none.
	Storage func(context.Context) (*storage.Bucket, error)
	// OnChunk gets what each committed chunk did.
	OnChunk func(job string, delta batch.Counters)
	// Child says how a job inserts another one for a row, as a start of it would.
	Child func(job string) (Child, error)
}

// WithDefaults returns the same with UTC, the default logger and schema, and functions that do nothing where none are set.
func (d *Deps) WithDefaults() *Deps {
	out := *d
	out.Location = cmp.Or(d.Location, time.UTC)
	out.Logger = cmp.Or(d.Logger, slog.Default())
	out.Schema = d.Schema.Defaults()
	out.Version = cmp.Or(d.Version, "dev")
	if d.OnChunk == nil {
		out.OnChunk = func(string, batch.Counters) {}
	}
	return &out
}

// Child is how a job is inserted by another one.
type Child struct {
	Job  string // its name
	Kind string // as River has it
	// Args are what all children have. Params are in a field of their own, as they are given, if ArgsNested is set, and are fields of Args
	// otherwise.
	Args        []byte
	ArgsNested  bool
	ParamTypes  []byte // params that a row must have, as the table job has them; nil: it may have any
	Queue       string
	Priority    int
	MaxAttempts int // River's
}
