package session

import (
	"context"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// always are settings that our statements and the driver depend on. Every pooler knows them as parameters of a connection.
func always() map[string]string {
	return map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on"}
}

// pinned are further settings that our statements depend on, and which a role or a database may have set otherwise.
func pinned() map[string]string {
	return map[string]string{
		"array_nulls":                   "on", // or NULL in an array is a text
		"default_transaction_isolation": "read committed",
		"lock_timeout":                  "0", // what must not wait long says so itself
		"row_security":                  "on",
		"statement_timeout":             "0",
	}
}

// Greet has sessions that are made from config begin with the settings that every pooler passes on, and, unless few, with all
// that are pinned: a pooler may refuse those (see IsUnknownParameter).
func Greet(config *pgx.ConnConfig, few bool) {
	settings := always()
	if !few {
		maps.Copy(settings, unsaid(config))
	}
	maps.Copy(config.RuntimeParams, settings)
}

// IsUnknownParameter reports whether a pooler refused a connection for one of its parameters.
func IsUnknownParameter(err error) bool {
	return err != nil && strings.Contains(err.Error(), "unsupported startup parameter")
}

// unsaid are the pinned settings but for those that config itself has: they are ours, too.
func unsaid(config *pgx.ConnConfig) map[string]string {
	settings := pinned()
	for name := range config.RuntimeParams {
		delete(settings, strings.ToLower(name))
	}
	return settings
}

// Pin has every session that is made from config take the settings that we depend on, whatever role and database say, after
// what its AfterConnect did before. A session that does not keep them is refused. It belongs to sessions of one's own; see
// Check.
//
// That nothing may be written is pinned away only if it is said of the role. A server or a database that is read-only means
// it: a primary that was replaced is.
func Pin(config *pgx.ConnConfig) {
	settings := always()
	maps.Copy(settings, unsaid(config))
	after(config, func(ctx context.Context, conn *pgconn.PgConn) error { return PinNow(ctx, conn, settings) })
}

// PinNow pins the settings of a session that is there; nil means all.
func PinNow(ctx context.Context, conn *pgconn.PgConn, settings map[string]string) error {
	if settings == nil {
		settings = always()
		maps.Copy(settings, pinned())
	}
	settings = maps.Clone(settings)
	found, err := row(ctx, conn, []string{pathSQL, readOnlySQL}, nil)
	if err != nil {
		return err
	}
	if found[0] != "" {
		settings["search_path"] = found[0]
	}
	if found[1] != "" {
		settings["default_transaction_read_only"] = found[1]
	}
	return Apply(ctx, conn, settings)
}

const (
	// pathSQL is the search path without pg_catalog if that is after other schemas, whose functions and types would be
	// taken for the server's own. Without a place in the path it comes first.
	pathSQL = `CASE WHEN pg_catalog.array_position(pg_catalog.current_schemas(false), 'pg_catalog') OPERATOR(pg_catalog.>) 1 THEN (
		SELECT pg_catalog.string_agg(pg_catalog.quote_ident(s), ', ' ORDER BY n) FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY u (s, n)
		 WHERE s OPERATOR(pg_catalog.<>) 'pg_catalog') ELSE '' END`
	readOnlySQL = `CASE WHEN pg_catalog.current_setting('default_transaction_read_only') OPERATOR(pg_catalog.=) 'on' THEN (
		SELECT CASE WHEN source IN ('user', 'database user') THEN 'off' ELSE '' END FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only') ELSE '' END`
)
