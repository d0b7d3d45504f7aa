package bulk

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return "none: " + err.Error()
}
