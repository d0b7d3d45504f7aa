package operate

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/migrations"
)

// Cluster is what all operations work on: the database that worker processes share, with River's client and the ledger.
type Cluster struct {
	Client *river.Client[pgx.Tx]
	Ledger *batch.Ledger
	Pool   *pgxpool.Pool
	Schema migrations.Schema
}
