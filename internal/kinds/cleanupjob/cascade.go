package cleanupjob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/bulk"
)

// Effect is what a deletion does to rows of another table, by a foreign key.
type Effect struct {
	Table  string `json:"table"`  // whose rows are deleted or changed, as SQL names it
	Key    string `json:"key"`    // the foreign key
	Of     string `json:"of"`     // the table to which it refers
	Action string `json:"action"` // EffectDelete, EffectSetNull, EffectSetDefault or EffectKeep
}

// What a CleanupEffect may be.
const (
	EffectDelete     = "delete"      // rows that refer to a deleted row are deleted, too (ON DELETE CASCADE), and not counted
	EffectSetNull    = "set null"    // they lose the reference
	EffectSetDefault = "set default" // their reference gets its default
	// EffectKeep: ON DELETE CASCADE of a job that archives. A row is kept while others refer to it, for those would be
	// deleted without being in the archive.
	EffectKeep = "keep"
)

// Note is a sentence about it.
func (e Effect) Note() string {
	switch e.Action {
	case EffectDelete:
		return fmt.Sprintf("rows of %s that refer to deleted rows of %s are deleted, too, and not counted (%s, ON DELETE CASCADE)", e.Table, e.Of, e.Key)
	case EffectKeep:
		return fmt.Sprintf("rows of %s are kept while rows of %s refer to them, as ON DELETE CASCADE (%s) would delete those without archiving them", e.Of, e.Table, e.Key)
	case EffectSetNull:
		return fmt.Sprintf("rows of %s that refer to deleted rows of %s lose the reference (%s, ON DELETE SET NULL)", e.Table, e.Of, e.Key)
	}
	return fmt.Sprintf("rows of %s that refer to deleted rows of %s get the default reference (%s, ON DELETE SET DEFAULT)", e.Table, e.Of, e.Key)
}

// Tables are followed from foreign key to foreign key. A key that exists for a partition only because its parent has it is
// not named again. What refers to a partitioned table has its rows in partitions, to which others may refer.
const cleanupEffectsSQL = `
WITH RECURSIVE reach (oid) AS (
	SELECT unnest($1::oid[])
	UNION
	SELECT t.oid FROM reach JOIN pg_constraint f ON f.confrelid = reach.oid,
		LATERAL (SELECT f.conrelid AS oid UNION SELECT relid FROM pg_partition_tree(f.conrelid)) t
	WHERE f.contype = 'f' AND f.confdeltype = 'c'
)
SELECT f.conrelid::regclass::text, quote_ident(f.conname), f.confrelid::regclass::text,
	CASE f.confdeltype WHEN 'c' THEN '` + EffectDelete + `' WHEN 'n' THEN '` + EffectSetNull + `' ELSE '` + EffectSetDefault + `' END
FROM pg_constraint f
WHERE f.contype = 'f' AND f.confdeltype IN ('c', 'n', 'd') AND f.confrelid IN (SELECT oid FROM reach)
	AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.oid = f.conparentid AND p.confrelid IN (SELECT oid FROM reach))
ORDER BY f.confrelid <> ALL ($1), 1, 2`

// effects are those of deleting rows by the rule.
func (r *cleanupRule) effects(ctx context.Context, db bulk.Querier) ([]Effect, error) {
	tables := []uint32{r.table.OID}
	for _, part := range r.parts {
		tables = append(tables, part.oid)
	}
	query := cleanupEffectsSQL
	if r.archived {
		// No row that would be deleted with another one is, so nothing follows from that.
		query = strings.Replace(query, "f.confdeltype = 'c'\n", "false\n", 1)
	}
	rows, err := db.Query(ctx, query, tables)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Effect, error) {
		var e Effect
		err := row.Scan(&e.Table, &e.Key, &e.Of, &e.Action)
		if r.archived && e.Action == EffectDelete {
			e.Action = EffectKeep
		}
		return e, err
	})
}

// Effects says, rule by rule, what else a clean-up deletes or changes.
func Effects(ctx context.Context, pool *pgxpool.Pool, job *config.Job) ([][]Effect, error) {
	all := make([][]Effect, len(job.Spec.(*Config).Rules))
	for i, rule := range job.Spec.(*Config).Rules {
		r := &cleanupRule{Rule: rule, archived: job.Spec.(*Config).Archive != ArchiveNone}
		var err error
		if r.table, err = bulk.Describe(ctx, pool, rule.Table.Schema, rule.Table.Name); err == nil {
			r.parts, err = cleanupParts(ctx, pool, r.table)
		}
		if err == nil {
			all[i], err = r.effects(ctx, pool)
		}
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return all, nil
}

// archive makes references that cascade keep the row to which they refer: what they delete would be in no archive. earlier
// are the rules before this one; a table that refers to this one needs one of them, for otherwise its rows keep those of
// this table forever.
func (r *cleanupRule) archive(ctx context.Context, db bulk.Querier, earlier []*cleanupRule) error {
	r.archived = true
	for p := range r.parts {
		for i := range r.parts[p].references {
			ref := &r.parts[p].references[i]
			if !ref.cascades {
				continue
			}
			ref.keeps = true
			switch {
			case !ref.readable:
				return &cleanupProblem{
					"table", fmt.Sprintf("rows of %s are deleted with those of %s (%s, ON DELETE CASCADE), and the role of the worker must not read them, so they cannot be archived", ref.table, r.Table, ref.name),
					"GRANT SELECT ON " + ref.table + " to that role (BYPASSRLS, if it has row-level security); or say archive: none",
				}
			case ref.itself || slices.ContainsFunc(earlier, func(e *cleanupRule) bool { return e.has(ref.from) }):
				continue
			}
			rule, err := r.ruleFor(ctx, db, ref)
			if err != nil {
				return err
			}
			return &cleanupProblem{
				"table", fmt.Sprintf("rows of %s are deleted with those of %s (%s, ON DELETE CASCADE), and would be in no archive", ref.table, r.Table, ref.name),
				"add a rule for the children before this one: " + rule + "; or say archive: none",
			}
		}
	}
	return nil
}

func (r *cleanupRule) has(table uint32) bool {
	return r.table.OID == table || slices.ContainsFunc(r.parts, func(p cleanupPart) bool { return p.oid == table })
}

// ruleFor is the text of a rule for a table that refers to this one, of the same age if the table has a date.
func (r *cleanupRule) ruleFor(ctx context.Context, db bulk.Querier, ref *cleanupReference) (string, error) {
	var column *string
	err := db.QueryRow(ctx, `
		SELECT attname::text FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
			AND atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
		ORDER BY attname <> $2, attnum LIMIT 1`, ref.from, r.Column).Scan(&column)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", err
	}
	name := "COLUMN"
	if column != nil {
		name = *column
	}
	return fmt.Sprintf("{table: %s, column: %s, %s}", ref.table, name, r.Age()), nil
}

// childless returns those of the rows to which no row refers by a key that must keep them now that they are locked: what
// refers to them cannot be inserted until the end of the transaction. Rows that only refer to each other go together.
func (w *cleanupWalk) childless(ctx context.Context, tx pgx.Tx, tids []string) ([]string, error) {
	query := w.childlessSQL()
	for query != "" && len(tids) > 0 {
		var left []string
		if err := tx.QueryRow(ctx, query, tids).Scan(&left); err != nil {
			return nil, err
		}
		if len(left) == len(tids) {
			break
		}
		tids = left
	}
	return tids, nil
}

// childlessSQL is empty if nothing cascades.
func (w *cleanupWalk) childlessSQL() string {
	var terms []string
	refers := w.unused("tidemill_ref")
	for _, ref := range w.part.references {
		if !ref.cascades || !w.rule.archived {
			continue
		}
		others := ""
		if ref.itself {
			others = fmt.Sprintf(" AND NOT (%s.tableoid = %d AND %s.ctid = ANY ($1::text[]::tid[]))", refers, w.part.oid, refers)
		}
		terms = append(terms, "NOT EXISTS (SELECT FROM "+ref.table+" AS "+refers+" WHERE "+ref.matches(w.alias(), refers)+others+")")
	}
	if terms == nil {
		return ""
	}
	return "SELECT coalesce(array_agg(" + w.alias() + ".ctid::text), '{}') " + w.from() + " WHERE " + w.alias() + ".ctid = ANY ($1::text[]::tid[]) AND " + strings.Join(terms, " AND ")
}

// matches is the condition under which a row refers to another one.
func (ref *cleanupReference) matches(row, refers string) string {
	terms := make([]string, len(ref.columns))
	for i := range ref.columns {
		terms[i] = row + "." + ref.toColumns[i] + " " + ref.equal[i] + " " + refers + "." + ref.columns[i]
	}
	return strings.Join(terms, " AND ")
}
