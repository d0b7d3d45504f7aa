package bulk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// smallestSize is the least number of rows to try after a bad one.
const smallestSize = 64

// merge moves staged rows into the table and isolates those that it does not take.
type merge struct {
	*run
	first, end int    // the staged rows
	pos        int    // everything before it is merged
	dead       []bool // rows that are rejected and not in the stage, by index minus first
	rejected   []RowError
}

func newMerge(r *run, first, end int) *merge {
	m := &merge{run: r, first: first, end: end, pos: first, dead: make([]bool, end-first)}
	m.reject(r.res.Rejected)
	return m
}

func (m *merge) reject(rows []RowError) {
	for _, e := range rows {
		m.dead[e.Row-m.first] = true
	}
	m.rejected = append(m.rejected, rows...)
}

// rejectedBefore leaves out what the next Write will find again.
func (m *merge) rejectedBefore(row int) []RowError {
	return slices.DeleteFunc(m.rejected, func(e RowError) bool { return e.Row >= row })
}

// live counts the rows of [from, end) that are in the stage.
func (m *merge) live(from, end int) int {
	n := 0
	for _, dead := range m.dead[from-m.first : end-m.first] {
		if !dead {
			n++
		}
	}
	return n
}

// isolate merges as much as possible at once. Errors of INSERT ... SELECT name no row, so a range that fails is halved until
// the bad row is alone. A range that goes in has the same outcome as its rows one by one: what could make a difference
// is an error, and then the range does not go in.
func (m *merge) isolate(ctx context.Context) error {
	size := m.end - m.first // of the next attempt
	maybeDuplicate := 0     // [pos, possible duplicate) has a bad row
	lastBad := m.first
	for m.pos < m.end {
		if m.dead[m.pos-m.first] {
			m.pos++
			continue
		}
		end := min(m.pos+size, m.end)
		if maybeDuplicate > m.pos {
			end = m.pos + max(1, (maybeDuplicate-m.pos)/2)
		}
		if m.budget <= 0 {
			m.exhausted = true
			return nil
		}
		fault, err := m.attempt(ctx, m.pos, end)
		switch {
		case err != nil:
			return err
		case fault == nil:
			m.pos = end
			size = min(4*size, m.end-m.first)
			continue
		case m.apart && dependsOnOrder(fault.Code):
			return nil // all will be undone
		case m.live(m.pos, end) > 1:
			blamed, err := m.blameForeignKey(ctx, fault, m.pos, end)
			if err != nil {
				return err
			}
			if !blamed {
				maybeDuplicate = end
			}
			continue
		}
		m.reject([]RowError{m.w.fromServer(m.pos, fault)})
		m.pos = end
		maybeDuplicate, size = 0, max(smallestSize, 4*(m.pos-lastBad)) // bad rows continue being as dense as they are
		lastBad = m.pos
	}
	return nil
}

// attempt merges a range under a savepoint and counts it if it goes in.
func (m *merge) attempt(ctx context.Context, from, end int) (*pgconn.PgError, error) {
	var res Result
	fault, err := m.try(ctx, func() error {
		var err error
		res, err = m.apply(ctx, from, end)
		return err
	})
	if err != nil || fault != nil {
		return fault, err
	}
	m.reject(res.Rejected)
	res.Rejected = nil
	m.res.add(res)
	return nil, nil
}

func (m *merge) apply(ctx context.Context, from, end int) (Result, error) {
	bounds := []string{strconv.Itoa(from), strconv.Itoa(end)}
	rows := int64(m.live(from, end))
	switch {
	case len(m.w.spec.Match) == 0:
		inserted, err := m.count(ctx, m.w.sql.all.insert, bounds)
		return Result{Inserted: inserted, Filtered: rows - inserted}, err
	case m.w.table.HasInsertTriggers:
		return m.applyLayers(ctx, bounds)
	}
	switch m.w.spec.OnConflict {
	case Update:
		return m.update(ctx, m.w.sql.all, rows, bounds)
	case Error:
		taken, err := m.dropTaken(ctx, m.w.sql.all, bounds)
		if err != nil {
			return Result{}, err
		}
		inserted, err := m.count(ctx, m.w.sql.all.insert, bounds)
		return Result{Inserted: inserted, Filtered: rows - int64(len(taken)) - inserted, Rejected: taken}, err
	default:
		inserted, err := m.count(ctx, m.w.sql.all.skip, bounds)
		return Result{Inserted: inserted, Duplicate: rows - inserted}, err
	}
}

// count runs a statement and returns how many rows it wrote.
func (m *merge) count(ctx context.Context, sql string, args []string) (int64, error) {
	_, tag, err := m.query(ctx, sql, args...)
	return tag.RowsAffected(), err
}

// numbers runs a query for one row of numbers.
func (m *merge) numbers(ctx context.Context, sql string, args []string) ([]int64, error) {
	rows, _, err := m.query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, errors.New("count of rows: no answer")
	}
	out := make([]int64, len(rows[0]))
	for i, v := range rows[0] {
		if out[i], err = strconv.ParseInt(string(v), 10, 64); err != nil {
			return nil, fmt.Errorf("count of rows: %w", err)
		}
	}
	return out, nil
}

// update writes the rows of a source; rows of the same key before the last one are duplicates.
func (m *merge) update(ctx context.Context, sql mergeSQL, rows int64, args []string) (Result, error) {
	partitioned := m.w.table.Kind == 'p'
	var before []int64 // keys, and those in the table
	var err error
	if partitioned || m.w.table.HasInsertTriggers {
		if before, err = m.numbers(ctx, sql.taken, args); err != nil {
			return Result{}, err
		}
	}
	n, err := m.numbers(ctx, sql.update, args)
	if err != nil {
		return Result{}, err
	}
	given, inserted, written := n[0], n[1], n[2]
	if partitioned {
		after, err := m.numbers(ctx, sql.taken, args)
		if err != nil {
			return Result{}, err
		}
		inserted = min(max(after[1]-before[1], 0), written)
	}
	res := Result{Inserted: inserted, Updated: written - inserted, Duplicate: rows - given}
	if m.w.table.HasInsertTriggers {
		res.Filtered = min(max(given-before[1]-inserted, 0), given-written)
	}
	res.Unchanged = given - written - res.Filtered
	return res, nil
}

// applyLayers is for tables whose triggers swallow rows. Of rows with the same key any may be swallowed, so all first
// rows of a key are written, then all second ones, and so on: each as if it came alone. A row whose key is there before
// its turn is a duplicate, whatever the trigger would do to it.
func (m *merge) applyLayers(ctx context.Context, bounds []string) (Result, error) {
	layers, err := m.numbers(ctx, m.w.sql.layers, bounds)
	if err != nil {
		return Result{}, err
	}
	var total Result
	for layer := int64(1); layer <= layers[0]; layer++ {
		args := append(slices.Clone(bounds), strconv.FormatInt(layer, 10))
		res, err := m.applyLayer(ctx, args)
		if err != nil {
			return Result{}, err
		}
		total.add(res)
	}
	return total, nil
}

func (m *merge) applyLayer(ctx context.Context, args []string) (Result, error) {
	sql := m.w.sql.layer
	n, err := m.numbers(ctx, sql.taken, args)
	if err != nil {
		return Result{}, err
	}
	rows, taken := n[0], n[1]
	switch m.w.spec.OnConflict {
	case Update:
		return m.update(ctx, sql, rows, args)
	case Error:
		rejected, err := m.dropTaken(ctx, sql, args)
		if err != nil {
			return Result{}, err
		}
		inserted, err := m.count(ctx, sql.insert, args)
		return Result{Inserted: inserted, Filtered: rows - int64(len(rejected)) - inserted, Rejected: rejected}, err
	default:
		inserted, err := m.count(ctx, sql.skip, args)
		filtered := max(rows-taken-inserted, 0)
		return Result{Inserted: inserted, Filtered: filtered, Duplicate: rows - inserted - filtered}, err
	}
}

// dropTaken returns the rows whose key is taken as rejects and sees to it that insert leaves them out.
func (m *merge) dropTaken(ctx context.Context, sql mergeSQL, args []string) ([]RowError, error) {
	rows, _, err := m.query(ctx, sql.dropTaken, args...)
	if err != nil {
		return nil, err
	}
	out := make([]RowError, len(rows))
	for i, r := range rows {
		row, err := strconv.Atoi(string(r[0]))
		if err != nil {
			return nil, fmt.Errorf("ordinal of a staged row: %w", err)
		}
		out[i] = m.taken(row)
	}
	return out, nil
}

// taken is the error of a row whose match key is there already.
func (m *merge) taken(row int) RowError {
	e := RowError{Row: row, Code: codeUnique, Constraint: m.w.matchNames[0]}
	if len(m.w.spec.Match) == 1 {
		e.Column = m.w.spec.Match[0]
	}
	e.Message = fmt.Sprintf("there is a row with %s already", m.keyText(row, m.w.spec.Match))
	return e
}

// keyText names columns and their values in a row.
func (r *run) keyText(row int, columns []string) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = fmt.Sprintf("%q = %s", c, show(r.b.field(row, slices.Index(r.w.spec.Columns, c))))
	}
	return strings.Join(parts, " and ")
}
