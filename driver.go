package tidemill

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// driver is River's, with a switch that River itself lacks: its PollOnly ends listening, but a client still notifies
// with every insert.
type driver struct {
	*riverpgxv5.Driver
	notify bool
}

func (a *App) driver(pool *pgxpool.Pool) driver {
	return driver{Driver: riverpgxv5.New(pool), notify: a.Config.Database.Notify}
}

// SupportsListenNotify is what River asks before it notifies.
func (d driver) SupportsListenNotify() bool { return d.notify && d.Driver.SupportsListenNotify() }
