package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// foreignKey is a constraint by which rows without a parent can be found in one statement.
type foreignKey struct {
	name     string
	parent   string // quoted and qualified
	label    string // name of the parent for messages
	columns  []string
	parents  []string // the columns that Columns refer to
	equality []string // operators, parent first
}

// blameForeignKey finds all rows of [from, end) that a violated foreign key is about, at once: errors of foreign keys
// name no row, and they are what bad input violates most. It reports whether it found any; if not, halving continues.
//
// A row is blamed only if it would be written: not if its key is there already (Skip, Error), nor if a later good row
// has the same key (Update).
func (m *merge) blameForeignKey(ctx context.Context, fault *pgconn.PgError, from, end int) (bool, error) {
	if fault.Code != codeForeignKey || m.w.table.HasInsertTriggers || m.w.table.HasUpdateTriggers || m.budget < 2 {
		return false, nil // triggers may give the column another value
	}
	fk, err := m.findForeignKey(ctx, fault)
	if err != nil || fk == nil {
		return false, err
	}
	var rows [][][]byte
	refused, err := m.tryUnless(ctx, setAside, func() error {
		var err error
		rows, _, err = m.query(ctx, m.orphans(fk), strconv.Itoa(from), strconv.Itoa(end))
		return err
	})
	if err != nil || refused != nil {
		return false, err
	}
	rejected := make([]RowError, len(rows))
	for i, r := range rows {
		row, err := strconv.Atoi(string(r[0]))
		if err != nil {
			return false, fmt.Errorf("ordinal of a staged row: %w", err)
		}
		rejected[i] = RowError{Row: row, Code: codeForeignKey, Constraint: fk.name,
			Message: fmt.Sprintf("table %q has no row for %s", fk.label, m.keyText(row, fk.columns))}
		if len(fk.columns) == 1 {
			rejected[i].Column = fk.columns[0]
		}
	}
	m.reject(rejected)
	return len(rejected) > 0, nil
}

// setAside: errors of the query for orphans that only mean that it cannot be asked, such as no right to read the parent.
func setAside(e *pgconn.PgError) bool { return rowFault(e) || strings.HasPrefix(e.Code, "42") }

// The constraint must have been validated (else the table has rows like these), be on the table or its partitions, read
// only single values (MATCH SIMPLE, no PERIOD), and refer to a table that is not being written and fully visible.
const foreignKeySQL = `
SELECT format('%I.%I', pn.nspname, p.relname), p.relname::text, col.names, col.parents, col.equality
FROM pg_constraint c
JOIN pg_class r ON r.oid = c.conrelid
JOIN pg_namespace n ON n.oid = r.relnamespace
JOIN pg_class p ON p.oid = c.confrelid
JOIN pg_namespace pn ON pn.oid = p.relnamespace,
LATERAL (
	SELECT array_to_json(array_agg(a.attname ORDER BY k.pos))::text AS names,
		array_to_json(array_agg(f.attname ORDER BY k.pos))::text AS parents,
		array_to_json(array_agg(format('OPERATOR(%I.%s)', opn.nspname, o.oprname) ORDER BY k.pos))::text AS equality
	FROM unnest(c.conkey, c.confkey, c.conpfeqop) WITH ORDINALITY k (num, parent, op, pos)
	JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num
	JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = k.parent
	JOIN pg_operator o ON o.oid = k.op
	JOIN pg_namespace opn ON opn.oid = o.oprnamespace
) col
WHERE c.contype = 'f' AND n.nspname = $2 AND r.relname = $3 AND c.conname = $4
	AND c.convalidated AND (c.confmatchtype = 's' OR cardinality(c.conkey) = 1)
	AND pg_get_constraintdef(c.oid) !~ 'PERIOD' AND NOT row_security_active(c.confrelid)
	AND (c.conrelid = $1 OR c.conrelid IN (SELECT relid FROM pg_partition_tree($1::oid::regclass)))
	AND c.confrelid <> $1 AND c.confrelid NOT IN (SELECT relid FROM pg_partition_tree($1::oid::regclass))`

// findForeignKey looks the constraint up; nil if it is not one that orphans can be asked for.
func (m *merge) findForeignKey(ctx context.Context, fault *pgconn.PgError) (*foreignKey, error) {
	rows, _, err := m.query(ctx, foreignKeySQL, strconv.FormatUint(uint64(m.w.table.OID), 10),
		fault.SchemaName, fault.TableName, fault.ConstraintName)
	if err != nil {
		return nil, fmt.Errorf("look up foreign key %q: %w", fault.ConstraintName, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	fk := &foreignKey{name: fault.ConstraintName, parent: string(rows[0][0]), label: string(rows[0][1])}
	for i, list := range []*[]string{&fk.columns, &fk.parents, &fk.equality} {
		if err := json.Unmarshal(rows[0][2+i], list); err != nil {
			return nil, fmt.Errorf("look up foreign key %q: %w", fault.ConstraintName, err)
		}
	}
	for _, c := range fk.columns {
		if !slices.Contains(m.w.spec.Columns, c) {
			return nil, nil // filled by a default: not in the stage
		}
	}
	return fk, nil
}

// orphans is the statement that takes the rows without a parent out of the stage.
func (m *merge) orphans(fk *foreignKey) string {
	b := newBuilder(m.w)
	var present, same []string
	for i, c := range fk.columns {
		present = append(present, "s."+quote(c)+" IS NOT NULL")
		same = append(same, fmt.Sprintf("p.%s %s s.%s", quote(fk.parents[i]), fk.equality[i], quote(c)))
	}
	columns := append([]string{}, m.w.spec.Match...)
	listed := "s." + b.ord
	if len(columns) > 0 {
		listed += ", " + quoteAll("s.", columns)
	}
	sql := fmt.Sprintf("WITH bad AS MATERIALIZED (SELECT %s FROM pg_temp.%s s WHERE %s AND %s AND NOT EXISTS (SELECT FROM %s p WHERE %s)) "+
		"DELETE FROM pg_temp.%s d USING bad b WHERE d.%s = b.%s",
		listed, stageName, b.within("s"), strings.Join(present, " AND "), fk.parent, strings.Join(same, " AND "),
		stageName, b.ord, b.ord)
	if len(columns) > 0 {
		before := "<"
		if m.w.spec.OnConflict == Update {
			before = ">"
		} else {
			sql += fmt.Sprintf(" AND NOT EXISTS (SELECT FROM %s t WHERE %s)", b.table, b.sameKey("t", "b"))
		}
		sql += fmt.Sprintf(" AND NOT EXISTS (SELECT FROM pg_temp.%s s WHERE %s AND %s AND s.%s %s b.%s AND NOT EXISTS (SELECT FROM bad x WHERE x.%s = s.%s))",
			stageName, b.within("s"), b.sameKey("s", "b"), b.ord, before, b.ord, b.ord, b.ord)
	}
	return sql + " RETURNING d." + b.ord
}
