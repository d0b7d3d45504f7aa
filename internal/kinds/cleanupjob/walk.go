package cleanupjob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// cleanupPlace is where a walk through a part is: after the row with that key and, among those of the same key, that
// tid; or in front of that block.
type cleanupPlace struct {
	At    string `json:"at,omitempty"`
	TID   string `json:"tid,omitempty"`
	Block int64  `json:"block,omitempty"`
}

// beforeAll is in front of all tids.
const beforeAll = "(0,0)"

// cleanupWalk goes through a part in a way that never looks at a place twice, so that the dead rows that it leaves behind
// do not slow it down.
type cleanupWalk struct {
	rule *cleanupRule
	part cleanupPart

	index  string // that the walk follows; empty: the part is read block by block
	nulls  string // where the index has NULLs, if not where ORDER BY has them; no row that is due is one
	inside bool   // the index has only rows for which the rule's condition is true, so it is part of the search
	sorted bool   // among rows of the same key the index does not order by tid, so each group is sorted
	blocks int64  // of the part; for a walk by blocks
	unfit  string // an index that begins with the column, and why it does not serve; for a walk by blocks
}

// rowsPerBlock is what a block counts for when a number of rows is asked for.
const rowsPerBlock = 64

// planSettings make the planner follow an index whatever its statistics say, for they are seldom right in a table that is
// being cleaned up.
const planSettings = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('enable_sort', 'off', true), set_config('enable_tidscan', 'on', true), set_config('jit', 'off', true),
	set_config('datestyle', 'ISO', true), set_config('plan_cache_mode', 'force_custom_plan', true)`

// planCleanup finds an index to follow. Without one the walk goes by blocks.
func planCleanup(ctx context.Context, pool *pgxpool.Pool, rule *cleanupRule, part cleanupPart) (*cleanupWalk, error) {
	w := &cleanupWalk{rule: rule, part: part}
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, planSettings); err != nil {
			return err
		}
		plain, err := w.find(ctx, tx)
		if err != nil {
			return err
		}
		best := plain
		if rule.Where != "" {
			// An index for the rule's condition, partial or with its columns in front, is better than one for all rows.
			w.inside = true
			narrow, err := w.find(ctx, tx)
			if err != nil {
				return err
			}
			if w.inside = narrow != nil && (plain == nil || narrow.partial); w.inside {
				best = narrow
			}
		}
		if best != nil {
			w.index, w.sorted, w.nulls = best.name, !best.single, best.nulls
			return nil
		}
		w.nulls = ""
		if w.unfit, err = unfitIndex(ctx, tx, part.oid, rule.Column); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT pg_relation_size($1::oid) / current_setting('block_size')::bigint`, part.oid).Scan(&w.blocks)
	})
	return w, err
}

type cleanupIndex struct {
	name    string
	nulls   string
	partial bool
	single  bool // the column is its only key, so that equal ones are in the order of their tids
}

// find returns an index that has the oldest rows first, nil if there is none. For the planner DESC NULLS LAST, read backwards, is another
// order than the usual one, also where a column has no NULL.
func (w *cleanupWalk) find(ctx context.Context, tx pgx.Tx) (*cleanupIndex, error) {
	for _, nulls := range []string{"", " NULLS FIRST"} {
		w.nulls = nulls
		index, err := w.explain(ctx, tx)
		if index != nil {
			index.nulls = nulls
		}
		if index != nil || err != nil {
			return index, err
		}
	}
	return nil, nil
}

// explain returns the index by which PostgreSQL would find the oldest rows without sorting, nil if there is none.
func (w *cleanupWalk) explain(ctx context.Context, tx pgx.Tx) (*cleanupIndex, error) {
	var plan []struct{ Plan planNode }
	query := "EXPLAIN (FORMAT JSON) SELECT " + w.alias() + ".ctid " + w.from() + " WHERE " + w.column() + " >= '-infinity' AND " +
		w.before() + w.condition(w.inside) + w.order() + " LIMIT 1"
	var text string
	if err := tx.QueryRow(ctx, query).Scan(&text); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &plan); err != nil || len(plan) != 1 {
		return nil, fmt.Errorf("read the plan of a walk through %s: %w", w.part.ident, errors.Join(err, errors.New(text)))
	}
	node := plan[0].Plan
	for node.Type == "Limit" || node.Type == "LockRows" || node.Type == "Result" {
		if len(node.Plans) == 0 {
			return &cleanupIndex{name: "none needed"}, nil // a constraint or the condition says that nothing can be due
		}
		node = node.Plans[0]
	}
	if node.Index == "" || node.Type != "Index Scan" && node.Type != "Index Only Scan" {
		return nil, nil
	}
	index := &cleanupIndex{name: node.Index}
	err := tx.QueryRow(ctx, `
		SELECT i.indpred IS NOT NULL, i.indnkeyatts = 1 AND i.indoption[0] & 1 = 0
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 AND c.relname = $2`, w.part.oid, node.Index).
		Scan(&index.partial, &index.single)
	return index, err
}

// planNode is what EXPLAIN says of one step.
type planNode struct {
	Type  string     `json:"Node Type"`
	Index string     `json:"Index Name"`
	Rows  float64    `json:"Plan Rows"`
	Plans []planNode `json:"Plans"`
}

func (w *cleanupWalk) byBlocks() bool { return w.index == "" }

// alias is the table's own name, so that conditions of a rule may use it, also in partitions.
func (w *cleanupWalk) alias() string { return pgx.Identifier{w.rule.table.Name}.Sanitize() }

// unused is name, made longer until neither the table is called so nor the rule's condition can mean a table of that name.
func (w *cleanupWalk) unused(name string) string {
	for w.rule.table.Name == name || strings.Contains(strings.ToLower(w.rule.Where), name) {
		name += "_"
	}
	return name
}

func (w *cleanupWalk) from() string { return "FROM ONLY " + w.part.ident + " AS " + w.alias() }

func (w *cleanupWalk) column() string {
	return w.alias() + "." + pgx.Identifier{w.rule.Column}.Sanitize()
}

func (w *cleanupWalk) order() string { return " ORDER BY " + w.column() + w.nulls }

// before is the condition that makes rows due. The cutoff is of our own making.
func (w *cleanupWalk) before() string {
	return w.column() + " < '" + w.rule.cutoff + "'::" + w.rule.typ
}

// condition is the rule's own, to follow others. It is on lines of its own, as it may end in a comment.
func (w *cleanupWalk) condition(given bool) string {
	if !given || w.rule.Where == "" {
		return ""
	}
	return " AND (\n" + w.rule.Where + "\n)"
}

// What a walk says of a row.
const (
	rowNotDue = 0
	rowKept   = 1 // others refer to it
	rowDue    = 2
)

// state is the expression that says it.
func (w *cleanupWalk) state() string {
	var b strings.Builder
	b.WriteString("CASE WHEN false THEN 0") // the others may all be missing
	if w.rule.Where != "" && !w.inside {
		fmt.Fprintf(&b, " WHEN (\n%s\n) IS NOT TRUE THEN %d", w.rule.Where, rowNotDue)
	}
	refers := w.unused("tidemill_ref")
	for _, ref := range w.part.references {
		// Within one table what refers to a row may be deleted with it.
		if !ref.keeps || !ref.readable || ref.itself {
			continue
		}
		fmt.Fprintf(&b, " WHEN EXISTS (SELECT FROM %s AS %s WHERE %s) THEN %d", ref.table, refers, ref.matches(w.alias(), refers), rowKept)
	}
	fmt.Fprintf(&b, " ELSE %d END", rowDue)
	return b.String()
}

// query looks at the next rows after $1 (and $2), at most $3, and locks those that are due and free. until is the last
// place of a walk that does not go to the end.
func (w *cleanupWalk) query(until *cleanupPlace) string {
	var search string
	switch {
	case w.byBlocks():
		search = w.alias() + ".ctid >= $1::text::tid AND " + w.alias() + ".ctid < $2::text::tid AND $3::int IS NOT NULL"
	default:
		from := "$1::text::" + w.rule.typ
		search = w.column() + " >= " + from + " AND (" + w.column() + " > " + from + " OR " + w.alias() + ".ctid > $2::text::tid)"
		if until != nil {
			search += " AND " + w.column() + " <= '" + until.At + "'::" + w.rule.typ
		}
	}
	search += " AND " + w.before() + w.condition(w.inside)
	if !w.byBlocks() {
		search += w.order()
		if w.sorted {
			search += ", " + w.alias() + ".ctid"
		}
		search += " LIMIT $3"
	}
	walked, locked, last := w.unused("tidemill_walked"), w.unused("tidemill_locked"), w.unused("tidemill_last")
	return `
WITH ` + walked + ` AS MATERIALIZED (
	SELECT ` + w.alias() + `.ctid AS tid, ` + w.column() + ` AS at, ` + w.state() + ` AS state
	` + w.from() + ` WHERE ` + search + `
), ` + locked + ` AS MATERIALIZED (
	SELECT ` + w.alias() + `.ctid AS tid ` + w.from() + `
	WHERE ` + w.alias() + `.ctid = ANY (ARRAY(SELECT tid FROM ` + walked + ` WHERE state = ` + strconv.Itoa(rowDue) + `))
		AND ` + w.before() + w.condition(true) + `
	FOR UPDATE SKIP LOCKED
), ` + last + ` AS (
	SELECT at::text AS at, tid::text AS tid FROM (SELECT at, tid FROM ` + walked + ` ORDER BY at DESC, tid DESC LIMIT 1) w
)
SELECT count(*), count(*) FILTER (WHERE state = ` + strconv.Itoa(rowKept) + `), count(*) FILTER (WHERE state = ` + strconv.Itoa(rowDue) + `),
	(SELECT min(at)::text FROM ` + walked + `), (SELECT at FROM ` + last + `), (SELECT tid FROM ` + last + `),
	(SELECT coalesce(array_agg(tid::text ORDER BY tid), '{}') FROM ` + locked + `)
FROM ` + walked
}

// cleanupFound is what a walk has met.
type cleanupFound struct {
	kept, due int64
	locked    []string // tids of those due that are ours now
	first     string   // key of the first row; empty for a walk by blocks
	next      cleanupPlace
	end       bool // there is nothing after next
	full      bool // as many rows were looked at as asked for
}

// next looks at rows after a place and locks those that are due. size is in rows.
func (w *cleanupWalk) next(ctx context.Context, tx pgx.Tx, from cleanupPlace, until *cleanupPlace, size int) (cleanupFound, error) {
	var found cleanupFound
	args := []any{from.At, from.TID, size}
	if w.byBlocks() {
		end := w.blocks
		if until != nil {
			end = until.Block
		}
		found.next.Block = min(end, from.Block+int64(max(1, size/rowsPerBlock)))
		args = []any{fmt.Sprintf("(%d,0)", from.Block), fmt.Sprintf("(%d,0)", found.next.Block), size}
	}
	var walked int64
	var first, at, tid *string
	err := tx.QueryRow(ctx, w.query(until), args...).Scan(&walked, &found.kept, &found.due, &first, &at, &tid, &found.locked)
	if err != nil {
		return found, err
	}
	if w.byBlocks() {
		end := w.blocks
		if until != nil {
			end = until.Block
		}
		found.end, found.full = found.next.Block >= end, true
		return found, nil
	}
	found.end, found.full = walked < int64(size), walked == int64(size)
	found.next = from
	if at != nil {
		found.first, found.next = *first, cleanupPlace{At: *at, TID: *tid}
	}
	return found, nil
}

// seekTimeout bounds the search for the first row that is due. It only reads, and where much was deleted lately and not
// vacuumed yet it goes past all of that.
const seekTimeout = time.Minute

// seek returns the place in front of the first row that is due from a place on, false if there is none. The empty place
// is the beginning.
func (w *cleanupWalk) seek(ctx context.Context, pool *pgxpool.Pool, from cleanupPlace) (cleanupPlace, bool, error) {
	if w.byBlocks() {
		return from, from.Block < w.blocks, nil
	}
	if from.At == "" {
		from = cleanupPlace{At: "-infinity", TID: beforeAll}
	}
	place := cleanupPlace{TID: beforeAll}
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, planSettings+", set_config('statement_timeout', '"+strconv.FormatInt(seekTimeout.Milliseconds(), 10)+"', true)"); err != nil {
			return err
		}
		start := "$1::text::" + w.rule.typ
		return tx.QueryRow(ctx, "SELECT "+w.column()+"::text "+w.from()+" WHERE "+w.column()+" >= "+start+
			" AND ("+w.column()+" > "+start+" OR "+w.alias()+".ctid > $2::text::tid) AND "+w.before()+w.condition(w.inside)+
			w.order()+" LIMIT 1", from.At, from.TID).Scan(&place.At)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return from, false, nil
	case err != nil:
		return from, false, fmt.Errorf("find the first row of %s that is due: %w", w.part.ident, err)
	}
	if place.At == from.At {
		return from, true, nil
	}
	return place, true, nil
}
