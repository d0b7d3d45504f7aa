package keyset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/retry"
)

// DB is the part of a pool, connection or transaction that a walk uses.
type DB interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Last returns the key of the last row, with which a walk ends however fast rows are added; nil if there is no row.
func (w *Walk) Last(ctx context.Context, db DB) ([]string, error) {
	order := w.Names("q") // backwards, and NULL first, so that it is seen
	for i, c := range w.Columns {
		if c.Desc {
			order[i] += " NULLS FIRST"
		} else {
			order[i] += " DESC"
		}
	}
	query := "SELECT " + w.texts("q") + ", " + w.kept("q") + " FROM " + w.From() + " ORDER BY " + strings.Join(order, ", ") + " LIMIT 1"
	var texts []*string
	var kept *bool
	err := db.QueryRow(ctx, query, w.NewArgs().All()...).Scan(&texts, &kept)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the last key: %w", err)
	}
	last := make([]string, len(texts))
	for i, text := range texts {
		if text == nil {
			return nil, w.Wrong(i + 1)
		}
		last[i] = *text
	}
	if kept != nil && !*kept {
		return nil, w.NotKept()
	}
	return last, nil
}

// CheckEnd is CheckNull and CheckUnique for the key with which a page ends.
func (w *Walk) CheckEnd(ctx context.Context, db DB, key []string) error {
	args := w.NewArgs()
	return w.look(ctx, db, args, append(w.nullCases(args, key), w.uniqueCase(args, key)...))
}

// CheckNull looks for rows that no page would find: those that have the beginning of the key with which a page ends, and NULL after
// that. No comparison with the key is true for them. Where NULL comes first in the order such rows are read before, and seen. If the key
// is nil it looks for NULL after the first column in any row; one in the first column is seen by Last.
func (w *Walk) CheckNull(ctx context.Context, db DB, key []string) error {
	args := w.NewArgs()
	return w.look(ctx, db, args, w.nullCases(args, key))
}

// CheckUnique looks whether several rows have the key: it may be equal to the next one in another form, as 1.0 and 1.00 are.
func (w *Walk) CheckUnique(ctx context.Context, db DB, key []string) error {
	args := w.NewArgs()
	return w.look(ctx, db, args, w.uniqueCase(args, key))
}

func (w *Walk) look(ctx context.Context, db DB, args *Args, cases []string) error {
	if len(cases) == 0 {
		return nil
	}
	var wrong int
	if err := db.QueryRow(ctx, "SELECT CASE"+strings.Join(cases, "")+" ELSE 0 END", args.All()...).Scan(&wrong); err != nil {
		return fmt.Errorf("look for rows that the end of a page hides: %w", err)
	}
	return w.Wrong(wrong)
}

func (w *Walk) nullCases(args *Args, key []string) []string {
	names := w.Names("q")
	var cases, same []string
	for i, c := range w.Columns {
		if i == 0 || c.NotNull || key != nil && c.Desc != w.otherNulls {
			continue
		}
		for j := len(same); j < i && key != nil; j++ {
			same = append(same, names[j]+" = "+args.Bind(key[j], w.Columns[j].Type))
		}
		null := strings.Join(slices.Concat(same, []string{IsNull(names[i])}), " AND ")
		cases = append(cases, fmt.Sprintf(" WHEN EXISTS (SELECT FROM %s WHERE %s) THEN %d", w.From(), null, i+1))
	}
	return cases
}

func (w *Walk) uniqueCase(args *Args, key []string) []string {
	if w.Unique || w.oneForm() {
		return nil
	}
	same := w.Names("q")
	for i, value := range w.bind(args.Bind, key) {
		same[i] += " = " + value
	}
	return []string{fmt.Sprintf(" WHEN (SELECT count(*) > 1 FROM (SELECT FROM %s WHERE %s LIMIT 2) two) THEN %d", w.From(), strings.Join(same, " AND "), w.repeats())}
}

// oneForm reports whether equal keys have equal texts.
func (w *Walk) oneForm() bool {
	exact := []string{"smallint", "integer", "bigint", "uuid", "date", "timestamp without time zone", "timestamp with time zone", "bytea", "boolean", "oid"}
	return !slices.ContainsFunc(w.Columns, func(c Column) bool { return !slices.Contains(exact, c.Type) })
}

// What may be wrong with a key, beside NULL in column 1, 2, ….
func (w *Walk) repeats() int { return len(w.Columns) + 1 }
func (w *Walk) changes() int { return len(w.Columns) + 2 }

// NotUnique is the error for a key that repeats.
func (w *Walk) NotUnique() error { return w.Wrong(w.repeats()) }

// NotKept is the error for a page that begins with the key after which it is to begin, going by their texts.
func (w *Walk) NotKept() error { return w.Wrong(w.changes()) }

// Wrong is the error for what Page says of a row; 0 is nothing, and 1 is NULL in the first column.
func (w *Walk) Wrong(code int) error {
	names := make([]string, len(w.Columns))
	for i, c := range w.Columns {
		names[i] = c.Name
	}
	switch all := strings.Join(names, ", "); {
	case code == 0:
		return nil
	case code <= len(names):
		return retry.Permanent(fmt.Errorf("order_by: column %s is NULL in some row, so rows could be left out; "+
			"select only rows where it is not, or order by columns that are never NULL", names[code-1]))
	case code == w.repeats():
		return retry.Permanent(fmt.Errorf("order_by (%s) is not unique: rows with the same key could be left out; add a column that makes it so", all))
	default:
		return retry.Permanent(fmt.Errorf("order_by (%s): a value is another one when it is read back from its text, so rows could be left out; "+
			"set extra_float_digits to 1 for the role, or order by other columns", all))
	}
}
