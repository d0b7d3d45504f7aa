package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/retry"
)

// walk reads a query by key.
type walk[R any] struct {
	query   string
	orderBy []string
	size    int
	params  pgx.NamedArgs
	types   []string // of orderBy, as SQL names them
	cursor  eachCursor
}

// describe learns the types of the key columns, so that keys can travel as text.
func (w *walk[R]) describe(ctx context.Context, run *Run) error {
	columns := make([]string, len(w.orderBy))
	for i, column := range w.orderBy {
		columns[i] = "pg_typeof(q." + pgx.Identifier{column}.Sanitize() + ")::text"
	}
	// The left join gives one row of types even if the query gives none.
	query := "SELECT " + strings.Join(columns, ", ") + " FROM (SELECT) one LEFT JOIN (" + w.query + ") q ON false"
	types := make([]any, len(w.orderBy))
	w.types = make([]string, len(w.orderBy))
	for i := range types {
		types[i] = &w.types[i]
	}
	if err := run.engine.opts.Pool.QueryRow(ctx, query, w.params).Scan(types...); err != nil {
		return fmt.Errorf("run %d: look at the query's columns: %w", run.ID(), err)
	}
	return nil
}

// start fixes the upper end and, if asked, counts. It reports whether there is nothing to do.
func (w *walk[R]) start(ctx context.Context, run *Run, count bool, unit string) (bool, error) {
	keys := make([]string, len(w.orderBy))
	last := make([]string, len(w.orderBy))
	for i, column := range w.orderBy {
		name := "q." + pgx.Identifier{column}.Sanitize()
		keys[i], last[i] = name+"::text", name+" DESC"
	}
	query := "SELECT " + strings.Join(keys, ", ") + " FROM (" + w.query + ") q ORDER BY " + strings.Join(last, ", ") + " LIMIT 1"
	until := make([]*string, len(w.orderBy))
	targets := make([]any, len(w.orderBy))
	for i := range until {
		targets[i] = &until[i]
	}
	err := run.engine.opts.Pool.QueryRow(ctx, query, w.params).Scan(targets...)
	if errors.Is(err, pgx.ErrNoRows) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("run %d: find the last key: %w", run.ID(), err)
	}
	for i, key := range until {
		if key == nil {
			return false, retry.Permanent(fmt.Errorf("run %d: order_by column %s is NULL in some row; it must never be", run.ID(), w.orderBy[i]))
		}
		w.cursor.Until = append(w.cursor.Until, *key)
	}
	if !count {
		return false, nil
	}
	var total int64
	if err := run.engine.opts.Pool.QueryRow(ctx, "SELECT count(*) FROM ("+w.query+") q", w.params).Scan(&total); err != nil {
		return false, fmt.Errorf("run %d: count: %w", run.ID(), err)
	}
	return false, run.SetTotal(ctx, total, unit)
}

// sql compares whole keys as rows, which an index on the columns can serve.
func (w *walk[R]) sql() (string, pgx.NamedArgs) {
	args := pgx.NamedArgs{"tidemill_limit": w.size + 1} // one more, to see whether its key is another one
	for name, value := range w.params {
		args[name] = value
	}
	columns := make([]string, len(w.orderBy))
	for i, column := range w.orderBy {
		columns[i] = "q." + pgx.Identifier{column}.Sanitize()
	}
	key := "(" + strings.Join(columns, ", ") + ")"
	bound := func(name string, values []string) string {
		casts := make([]string, len(values))
		for i, value := range values {
			param := fmt.Sprintf("tidemill_%s%d", name, i)
			args[param] = value
			casts[i] = "@" + param + "::text::" + w.types[i]
		}
		return "(" + strings.Join(casts, ", ") + ")"
	}
	query := "SELECT * FROM (" + w.query + ") q WHERE " + key + " <= " + bound("until", w.cursor.Until)
	if len(w.cursor.After) > 0 {
		query += " AND " + key + " > " + bound("after", w.cursor.After)
	}
	return query + " ORDER BY " + strings.Join(columns, ", ") + " LIMIT @tidemill_limit", args
}

// next reads one chunk and the key of its last row.
func (w *walk[R]) next(ctx context.Context, tx pgx.Tx) ([]R, []string, error) {
	query, args := w.sql()
	rows, err := tx.Query(ctx, query, args)
	if err != nil {
		return nil, nil, fmt.Errorf("read a chunk: %w", err)
	}
	defer rows.Close()

	var key []int // known with the first row: a statement that fails has no columns
	scan := rowScanner[R]()
	var out []R
	var last [][]byte
	for rows.Next() {
		raw := rows.RawValues()
		if key == nil {
			if key, err = w.keyColumns(rows); err != nil {
				return nil, nil, err
			}
		}
		for _, i := range key {
			if raw[i] == nil {
				return nil, nil, nullKey(rows.FieldDescriptions()[i].Name)
			}
		}
		if repeats(last, raw, key) {
			return nil, nil, w.repeatedKey()
		}
		if len(out) == w.size {
			break
		}
		last = last[:0]
		for _, i := range key {
			last = append(last, bytes.Clone(raw[i]))
		}
		row, err := scan(rows)
		if err != nil {
			return nil, nil, retry.Permanent(fmt.Errorf("read a row: %w", err))
		}
		out = append(out, row)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("read a chunk: %w", err)
	}
	if len(out) == 0 {
		return nil, nil, nil
	}
	after, err := keyText(tx, rows, key, last)
	if err != nil {
		return nil, nil, err
	}
	return out, after, w.hidden(ctx, tx, after)
}

// hidden looks for rows that no later chunk would find, though they come after the last one: no comparison is true for a key
// with NULL, and a key that equals the last one in another form, as 1.0 and 1.00 do, is not greater.
func (w *walk[R]) hidden(ctx context.Context, tx pgx.Tx, after []string) error {
	if len(w.orderBy) == 1 && oneForm(w.types) {
		return nil
	}
	args := pgx.NamedArgs{}
	for name, value := range w.params {
		args[name] = value
	}
	places, same := []string{"false"}, []string{}
	for i, column := range w.orderBy {
		name := "q." + pgx.Identifier{column}.Sanitize()
		if i > 0 {
			places = append(places, "("+strings.Join(same, " AND ")+" AND "+name+" IS NULL)")
		}
		param := fmt.Sprintf("tidemill_after%d", i)
		args[param] = after[i]
		same = append(same, name+" = @"+param+"::text::"+w.types[i])
	}
	equal := "false"
	if !oneForm(w.types) {
		equal = "(SELECT count(*) > 1 FROM (SELECT FROM (" + w.query + ") q WHERE " + strings.Join(same, " AND ") + " LIMIT 2) two)"
	}
	var null, twice bool
	query := "SELECT EXISTS (SELECT FROM (" + w.query + ") q WHERE " + strings.Join(places, " OR ") + "), " + equal
	if err := tx.QueryRow(ctx, query, args).Scan(&null, &twice); err != nil {
		return fmt.Errorf("look for rows that the end of a chunk hides: %w", err)
	}
	switch {
	case null:
		return nullKey(strings.Join(w.orderBy[1:], " or "))
	case twice:
		return w.repeatedKey()
	}
	return nil
}

// oneForm reports whether equal values of the types are the same bytes.
func oneForm(types []string) bool {
	exact := []string{"smallint", "integer", "bigint", "uuid", "date", "timestamp without time zone", "timestamp with time zone", "bytea", "boolean", "oid"}
	return !slices.ContainsFunc(types, func(name string) bool { return !slices.Contains(exact, name) })
}

func (w *walk[R]) repeatedKey() error {
	return retry.Permanent(fmt.Errorf("order_by %s is not unique: rows with the same key could be lost between chunks; add a column that makes it so",
		strings.Join(w.orderBy, ", ")))
}

func nullKey(column string) error {
	return retry.Permanent(fmt.Errorf("order_by column %s is NULL in some row; it must never be, or rows would be passed over", column))
}

func (w *walk[R]) keyColumns(rows pgx.Rows) ([]int, error) {
	key := make([]int, 0, len(w.orderBy))
	for _, column := range w.orderBy {
		for i, field := range rows.FieldDescriptions() {
			if field.Name == column {
				key = append(key, i)
				break
			}
		}
	}
	if len(key) < len(w.orderBy) {
		return nil, retry.Permanent(fmt.Errorf("the query's result lacks a column of order_by %s", strings.Join(w.orderBy, ", ")))
	}
	return key, nil
}

func repeats(last, raw [][]byte, key []int) bool {
	if len(last) == 0 {
		return false
	}
	for j, i := range key {
		if !bytes.Equal(last[j], raw[i]) {
			return false
		}
	}
	return true
}

// keyText turns a key from the wire's form into text that the server reads back as the same value.
func keyText(tx pgx.Tx, rows pgx.Rows, key []int, raw [][]byte) ([]string, error) {
	types := tx.Conn().TypeMap()
	text := make([]string, len(key))
	for j, i := range key {
		field := rows.FieldDescriptions()[i]
		if raw[j] == nil {
			return nil, nullKey(field.Name)
		}
		if field.Format == pgx.TextFormatCode {
			text[j] = string(raw[j])
			continue
		}
		known, ok := types.TypeForOID(field.DataTypeOID)
		if !ok {
			return nil, retry.Permanent(fmt.Errorf("order_by column %s has type %d, which cannot be a key; cast it to text", field.Name, field.DataTypeOID))
		}
		value, err := known.Codec.DecodeValue(types, field.DataTypeOID, field.Format, raw[j])
		if err != nil {
			return nil, fmt.Errorf("read key column %s: %w", field.Name, err)
		}
		encoded, err := types.Encode(field.DataTypeOID, pgx.TextFormatCode, value, nil)
		if err != nil {
			return nil, fmt.Errorf("write key column %s: %w", field.Name, err)
		}
		text[j] = string(encoded)
	}
	return text, nil
}

// rowScanner maps structs by column name and everything else as the only column.
func rowScanner[R any]() func(pgx.CollectableRow) (R, error) {
	t := reflect.TypeFor[R]()
	if t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() {
		return pgx.RowToStructByNameLax[R]
	}
	return pgx.RowTo[R]
}
