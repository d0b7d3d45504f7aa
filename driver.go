package tidemill

import (
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/riverpg"
)

func (a *App) driver(pool *pgxpool.Pool) *riverpg.Driver {
	return riverpg.New(riverpg.Opts{
		Pool: pool, Schema: a.schema, Logger: a.logger, Notify: a.Config.Database.Notify, MaxArgs: a.Config.MaxArgs,
	})
}
