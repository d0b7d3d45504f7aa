package cleanupjob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tidemill/tidemill/internal/bulk"
)

// cleanupProblem is what the table does not allow of a rule. No other try fixes it.
type cleanupProblem struct {
	field         string // of the rule
	message, hint string
}

func (p *cleanupProblem) Error() string {
	if p.hint == "" {
		return p.message
	}
	return p.message + " (" + p.hint + ")"
}

// cleanupRule is a rule beside the table that it is for.
type cleanupRule struct {
	Rule
	table  *bulk.Table
	typ    string // of the column, without domain
	cutoff string // as a value of the column; rows before it are due
	parts  []cleanupPart

	archived bool // rows are written to the storage before they are deleted
}

// cleanupPart is a table that has rows itself: the rule's own, a partition of it, or a table that inherits from it.
type cleanupPart struct {
	oid        uint32
	ident      string
	references []cleanupReference
}

// cleanupReference is a foreign key to the part.
type cleanupReference struct {
	name      string
	table     string // that has it, as SQL names it
	from, to  uint32
	keeps     bool     // what it refers to must not be deleted
	cascades  bool     // it is deleted with what it refers to
	indexed   bool     // its table can be searched for what refers to a row
	readable  bool     // by this role
	itself    bool     // within one table: what refers may be due, too
	columns   []string // of the table that has it, quoted
	equal     []string // operators
	toColumns []string // quoted
}

// describeCleanupRules looks at the tables of all rules.
func describeCleanupRules(ctx context.Context, db bulk.Querier, def *Config, due time.Time, zone *time.Location) ([]*cleanupRule, error) {
	var rules []*cleanupRule
	for i, rule := range def.Rules {
		described, err := describeCleanup(ctx, db, rule, due, zone)
		if err == nil && def.Archive != ArchiveNone {
			err = described.archive(ctx, db, rules)
		}
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		rules = append(rules, described)
	}
	return rules, nil
}

// describeCleanup looks at the table of a rule. zone is the top-level time zone. A *cleanupProblem is in the chain of the
// error if the rule is at fault.
func describeCleanup(ctx context.Context, db bulk.Querier, rule Rule, due time.Time, zone *time.Location) (*cleanupRule, error) {
	table, err := bulk.Describe(ctx, db, rule.Table.Schema, rule.Table.Name)
	if errors.Is(err, bulk.ErrNoTable) {
		return nil, &cleanupProblem{field: "table", message: err.Error()}
	}
	if err != nil {
		return nil, err
	}
	r := &cleanupRule{Rule: rule, table: table}
	switch {
	case table.Kind != 'r' && table.Kind != 'p':
		return nil, &cleanupProblem{"table", rule.Table.String() + " is not a table", "name the table that has the rows"}
	case table.RLS:
		return nil, rowSecurity(rule.Table.String())
	}
	i := slices.IndexFunc(table.Columns, func(c bulk.Column) bool { return c.Name == rule.Column })
	if i < 0 {
		return nil, &cleanupProblem{"column", fmt.Sprintf("table %s has no column %q", rule.Table, rule.Column), dateColumns(table)}
	}
	switch table.Columns[i].BaseOID {
	case pgtype.TimestamptzOID:
		r.typ = "timestamptz"
	case pgtype.TimestampOID:
		r.typ = "timestamp"
	case pgtype.DateOID:
		r.typ = "date"
	default:
		return nil, &cleanupProblem{
			"column", fmt.Sprintf("column %q is of type %s, not timestamptz, timestamp or date", rule.Column, table.Columns[i].TypeName), dateColumns(table),
		}
	}
	if r.cutoff, err = cleanupCutoff(rule, r.typ, due, zone); err != nil {
		return nil, err
	}
	if r.parts, err = cleanupParts(ctx, db, table); err != nil {
		return nil, fmt.Errorf("describe table %s: %w", rule.Table, err)
	}
	return r, nil
}

func rowSecurity(table string) *cleanupProblem {
	return &cleanupProblem{"table", "row-level security may hide rows of " + table + " from the role of the worker", "give that role BYPASSRLS, or work as the owner"}
}

func dateColumns(table *bulk.Table) string {
	var names []string
	for _, c := range table.Columns {
		if c.BaseOID == pgtype.TimestamptzOID || c.BaseOID == pgtype.TimestampOID || c.BaseOID == pgtype.DateOID {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "it has " + strings.Join(names, ", ")
}

// cleanupCutoff is the first value of the column that is not due.
func cleanupCutoff(rule Rule, typ string, due time.Time, zone *time.Location) (string, error) {
	at := due.Add(-rule.OlderThan).Truncate(time.Microsecond)
	if typ == "timestamptz" {
		return at.UTC().Format("2006-01-02 15:04:05.999999+00"), nil
	}
	if typ == "timestamp" {
		zone = time.UTC
	}
	if rule.Timezone != "" {
		var err error
		if zone, err = time.LoadLocation(rule.Timezone); err != nil {
			return "", &cleanupProblem{field: "timezone", message: err.Error()}
		}
	}
	if typ == "timestamp" {
		return at.In(zone).Format("2006-01-02 15:04:05.999999"), nil
	}
	// A day whose last moment is before at, and not at's own day.
	return at.In(zone).Format(time.DateOnly), nil
}

const cleanupPartsSQL = `
WITH RECURSIVE tree (oid) AS (
	SELECT $1::oid UNION SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
)
SELECT c.oid, c.relkind::text, n.nspname::text, c.relname::text, row_security_active(c.oid)
FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'f') ORDER BY c.oid`

func cleanupParts(ctx context.Context, db bulk.Querier, table *bulk.Table) ([]cleanupPart, error) {
	rows, err := db.Query(ctx, cleanupPartsSQL, table.OID)
	if err != nil {
		return nil, err
	}
	parts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (cleanupPart, error) {
		var part cleanupPart
		var kind, schema, name string
		var hidden bool
		if err := row.Scan(&part.oid, &kind, &schema, &name, &hidden); err != nil {
			return part, err
		}
		part.ident = pgx.Identifier{schema, name}.Sanitize()
		switch {
		case kind == "f":
			return part, &cleanupProblem{"table", "partition " + part.ident + " is a foreign table", "clean it up where it is"}
		case hidden:
			return part, rowSecurity(part.ident)
		}
		return part, nil
	})
	if err != nil {
		return nil, err
	}
	references, err := cleanupReferences(ctx, db, table, parts)
	if err != nil {
		return nil, err
	}
	for i := range parts {
		for _, ref := range references {
			// A foreign key to a table does not reach what inherits from it, but one to a partitioned table has rows
			// nowhere else.
			if ref.to == parts[i].oid || ref.to == table.OID && table.Kind == 'p' {
				parts[i].references = append(parts[i].references, ref)
			}
		}
	}
	return parts, nil
}

// A constraint that is there only because that of another of the tables is (conparentid, for partitions) is that one.
const cleanupReferencesSQL = `
SELECT f.conname::text, format('%I.%I', n.nspname, c.relname), f.conrelid, f.confrelid, f.confdeltype IN ('a', 'r'), f.confdeltype = 'c',
	EXISTS (SELECT FROM pg_index i WHERE i.indrelid = f.conrelid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = ANY (f.conkey)),
	has_table_privilege(f.conrelid, 'SELECT') AND NOT row_security_active(f.conrelid), f.conrelid = f.confrelid,
	k.names, k.equals, k.targets
FROM pg_constraint f
JOIN pg_class c ON c.oid = f.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace,
LATERAL (
	SELECT array_agg(quote_ident(a.attname)) AS names, array_agg(quote_ident(b.attname)) AS targets,
		array_agg(format('OPERATOR(%I.%s)', ns.nspname, o.oprname)) AS equals
	FROM unnest(f.conkey, f.confkey, f.conpfeqop) u (own, target, equal)
	JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = u.own
	JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = u.target
	JOIN pg_operator o ON o.oid = u.equal
	JOIN pg_namespace ns ON ns.oid = o.oprnamespace
) k
WHERE f.contype = 'f' AND f.confrelid = ANY ($1::oid[])
	AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.oid = f.conparentid AND p.confrelid = ANY ($1::oid[]))
ORDER BY f.conname, 2`

func cleanupReferences(ctx context.Context, db bulk.Querier, table *bulk.Table, parts []cleanupPart) ([]cleanupReference, error) {
	tables := []uint32{table.OID}
	for _, part := range parts {
		tables = append(tables, part.oid)
	}
	rows, err := db.Query(ctx, cleanupReferencesSQL, tables)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (cleanupReference, error) {
		var r cleanupReference
		err := row.Scan(&r.name, &r.table, &r.from, &r.to, &r.keeps, &r.cascades, &r.indexed, &r.readable, &r.itself, &r.columns, &r.equal, &r.toColumns)
		return r, err
	})
}

// unindexed returns the references whose table must be read as a whole for each row that is deleted.
func (r *cleanupRule) unindexed() []*cleanupProblem {
	var problems []*cleanupProblem
	named := map[string]bool{}
	for _, part := range r.parts {
		for _, ref := range part.references {
			// One to a partitioned table is one to each of its partitions.
			if ref.indexed || named[ref.table+" "+ref.name] {
				continue
			}
			named[ref.table+" "+ref.name] = true
			columns := strings.Join(ref.columns, ", ")
			problems = append(problems, &cleanupProblem{
				"table", fmt.Sprintf("%s refers to %s by %s (%s) without an index, so it would be read as a whole for each deleted row", ref.table, r.Table, ref.name, columns),
				fmt.Sprintf("CREATE INDEX CONCURRENTLY ON %s (%s); or say allow_seq_scan: true", ref.table, columns),
			})
		}
	}
	return problems
}
