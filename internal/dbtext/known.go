package dbtext

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// Known is the encoding of a database, asked for once. The zero value is ready.
type Known struct{ name atomic.Pointer[string] }

const askBound = 5 * time.Second

// Querier is the part of a pool, connection or transaction that Encoding uses.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Of returns the encoding of the database, "" if it cannot be found out now. It answers also when ctx has ended, for how work
// ended is stored then, too.
func (k *Known) Of(ctx context.Context, db Querier) string {
	if name := k.name.Load(); name != nil {
		return *name
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askBound)
	defer cancel()
	name, err := Encoding(ctx, db)
	if err != nil {
		return ""
	}
	k.name.Store(&name)
	return name
}

// Encoding asks for the encoding of a database.
func Encoding(ctx context.Context, db Querier) (string, error) {
	var name string
	err := db.QueryRow(ctx, "SELECT pg_catalog.current_setting('server_encoding')").Scan(&name)
	return name, err
}
