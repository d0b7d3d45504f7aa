package bulk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ErrNoTable is in the chain of the error that Describe returns when there is no such table.
var ErrNoTable = errors.New("no such table")

// Querier is the part of a pool, connection or transaction that Describe uses.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Describe reads a table from the catalog. An empty schema means the search path of the connection. Views and foreign
// tables are described too; [Table.Check] refuses them.
//
// If there is no such table the error wraps [ErrNoTable] and names tables that may have been meant.
func Describe(ctx context.Context, q Querier, schema, name string) (*Table, error) {
	ident := pgx.Identifier{name}
	if schema != "" {
		ident = pgx.Identifier{schema, name}
	}
	t, err := describeTable(ctx, q, ident.Sanitize())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, noTable(ctx, q, schema, name)
	}
	if err != nil {
		return nil, fmt.Errorf("describe table %s: %w", ident.Sanitize(), err)
	}
	if t.Columns, err = describeColumns(ctx, q, t.OID); err != nil {
		return nil, fmt.Errorf("describe columns of %s: %w", t.Ident(), err)
	}
	if t.UniqueIndexes, err = describeIndexes(ctx, q, t.OID); err != nil {
		return nil, fmt.Errorf("describe unique indexes of %s: %w", t.Ident(), err)
	}
	return t, nil
}

// Bits of pg_trigger.tgtype: 1 row, 2 before, 4 insert, 16 update.
const tableSQL = `
SELECT n.nspname::text, c.relname::text, c.oid, c.relkind::text, row_security_active(c.oid),
	EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '3') AND r.ev_enabled <> 'D'),
	EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = ANY (parts) AND g.tgtype & 7 = 7 AND NOT g.tgisinternal AND g.tgenabled <> 'D'),
	EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = ANY (parts) AND g.tgtype & 19 = 19 AND NOT g.tgisinternal AND g.tgenabled <> 'D'),
	current_user::text, CASE WHEN has_database_privilege(current_database(), 'TEMPORARY') THEN ''
		ELSE format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user) END
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace,
LATERAL (SELECT ARRAY(SELECT p.relid::oid FROM pg_partition_tree(c.oid) p) || c.oid AS parts) x
WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`

func describeTable(ctx context.Context, q Querier, ident string) (*Table, error) {
	t := &Table{}
	var kind string
	err := q.QueryRow(ctx, tableSQL, ident).Scan(&t.Schema, &t.Name, &t.OID, &kind, &t.RLS,
		&t.HasInsertRules, &t.HasInsertTriggers, &t.HasUpdateTriggers, &t.Role, &t.GrantTemp)
	if err != nil {
		return nil, err
	}
	t.Kind = kind[0]
	return t, nil
}

const columnsSQL = `
SELECT a.attname::text, a.attnum, a.atttypid, base.oid, base.mod, format_type(a.atttypid, a.atttypmod), a.attnotnull,
	a.attgenerated::text = '' AND (a.atthasdef OR a.attidentity::text <> '' OR t.typdefault IS NOT NULL),
	a.attgenerated::text <> '', a.attidentity::text = 'a',
	getdatabaseencoding() = 'UTF8' AND coalesce((SELECT c.collisdeterministic FROM pg_collation c WHERE c.oid = a.attcollation), false)
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid,
LATERAL (
	WITH RECURSIVE d (oid, mod, depth) AS (
		SELECT a.atttypid, a.atttypmod, 0
		UNION ALL
		SELECT t.typbasetype, t.typtypmod, d.depth + 1 FROM d JOIN pg_type t ON t.oid = d.oid WHERE t.typtype = 'd'
	)
	SELECT d.oid, d.mod FROM d ORDER BY d.depth DESC LIMIT 1
) base
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`

func describeColumns(ctx context.Context, q Querier, oid uint32) ([]Column, error) {
	rows, err := q.Query(ctx, columnsSQL, oid)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Column, error) {
		var c Column
		err := row.Scan(&c.Name, &c.Num, &c.TypeOID, &c.BaseOID, &c.BaseMod, &c.TypeName, &c.NotNull,
			&c.HasDefault, &c.Generated, &c.IdentityAlways, &c.Exact)
		return c, err
	})
}

// Strategy 3 of a btree operator family is equality.
const indexesSQL = `
SELECT c.relname::text,
	ARRAY(SELECT p.relname::text FROM pg_partition_tree(i.indexrelid) t JOIN pg_class p ON p.oid = t.relid) || c.relname::text,
	keys.names, keys.equals, i.indpred IS NOT NULL, i.indexprs IS NOT NULL, NOT i.indimmediate, coalesce(keys.special, false)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am am ON am.oid = c.relam,
LATERAL (
	SELECT coalesce(array_agg(a.attname::text ORDER BY k.pos), '{}') AS names,
		coalesce(array_agg(format('OPERATOR(%I.%s)', n.nspname, o.oprname) ORDER BY k.pos), '{}') AS equals,
		bool_or(NOT oc.opcdefault OR i.indcollation[k.pos - 1] <> a.attcollation) AS special
	FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (num, pos)
	JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
	JOIN pg_opclass oc ON oc.oid = i.indclass[k.pos - 1]
	JOIN pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
		AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
	JOIN pg_operator o ON o.oid = ao.amopopr
	JOIN pg_namespace n ON n.oid = o.oprnamespace
	WHERE k.pos <= i.indnkeyatts
) keys
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND am.amname = 'btree'
ORDER BY NOT i.indisprimary, c.relname`

func describeIndexes(ctx context.Context, q Querier, oid uint32) ([]UniqueIndex, error) {
	rows, err := q.Query(ctx, indexesSQL, oid)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (UniqueIndex, error) {
		var x UniqueIndex
		err := row.Scan(&x.Name, &x.Names, &x.Columns, &x.Equals, &x.Partial, &x.Expression, &x.Deferrable, &x.Special)
		return x, err
	})
}

// noTable builds the error for a table that is not there.
func noTable(ctx context.Context, q Querier, schema, name string) error {
	ident := name
	if schema != "" {
		ident = schema + "." + name
	}
	rows, err := q.Query(ctx, `
SELECT n.nspname::text, c.relname::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
ORDER BY c.relname = $1 DESC, n.nspname, c.relname LIMIT 5000`, name)
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	type entry struct{ Schema, Name string }
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	var similar []string
	for _, e := range all {
		if len(similar) < 3 && (mayMean(e.Name, name) || strings.EqualFold(e.Schema+"."+e.Name, name)) {
			similar = append(similar, e.Schema+"."+e.Name)
		}
	}
	if len(similar) == 0 {
		return fmt.Errorf("%w: %s", ErrNoTable, ident)
	}
	return fmt.Errorf("%w: %s (did you mean %s?)", ErrNoTable, ident, strings.Join(similar, " or "))
}
