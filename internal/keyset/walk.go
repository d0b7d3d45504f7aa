// Package keyset walks through the rows of a query by key, in pages, so that each page begins where the last one ended.
//
// A walk never leaves out a row in silence: it reads every row once, or fails with an error that names the key. It fails if a
// key repeats, in whatever form (1.0 and 1.00), if a column of a key is NULL, and if the text in which a key is kept is not the
// key any more. That holds for rows that nobody changes meanwhile; others may be met at their old place, at the new one, at both
// or at neither.
package keyset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Walk is a query and the order in which to read it.
type Walk struct {
	Query   string            // a SELECT; semicolons at its end are left out
	Args    []any             // of its parameters $1, $2, …
	Mode    pgx.QueryExecMode // of all statements; 0: the connection's own
	Columns []Column          // of the query's result, which together are unique; none is ever NULL
	// Unique says that an index keeps the key unique, so that nobody has to look.
	Unique bool

	otherNulls bool // NULLs are asked for at the other end than SQL has them; see Prepare
}

// Column is one of those that order a walk.
type Column struct {
	Name    string
	Type    string // as format_type writes it with a typmod of -1: bpchar and not character, which is character(1); Prepare learns it
	Desc    bool
	NotNull bool // the database says so
}

// Span is what a walk has yet to read: the rows after one key, up to another one, as a cursor keeps them.
type Span struct {
	After []string `json:"after,omitempty"` // none: from the beginning
	Until []string `json:"until,omitempty"` // none: to the end
}

// Args are the parameters of a statement: first those of the walk's query.
type Args struct {
	mode   pgx.QueryExecMode
	values []any
}

// Add gives the statement another parameter and returns it as an expression of the type.
func (a *Args) Add(value any, typ string) string {
	a.values = append(a.values, value)
	return "$" + strconv.Itoa(len(a.values)) + "::" + typ
}

// Bind is Add for a value that is known by its text.
func (a *Args) Bind(text, typ string) string { return a.Add(text, "text") + "::" + typ }

// All is what pgx is given after the statement.
func (a *Args) All() []any {
	if a.mode == 0 {
		return a.values
	}
	return slices.Concat([]any{a.mode}, a.values)
}

// NewArgs are those of a statement of which the walk's query is a part.
func (w *Walk) NewArgs() *Args { return &Args{mode: w.Mode, values: slices.Clone(w.Args)} }

// From is the query as an item of FROM, called q. A comment may end it, so the bracket is on a line of its own.
func (w *Walk) From() string { return "(" + strings.TrimRight(w.Query, "; \t\r\n") + "\n) q" }

// Names are the key's columns in the row of that name.
func (w *Walk) Names(row string) []string {
	names := make([]string, len(w.Columns))
	for i, c := range w.Columns {
		names[i] = row + "." + pgx.Identifier{c.Name}.Sanitize()
	}
	return names
}

// Order is what follows ORDER BY.
func (w *Walk) Order(row string) string {
	order := w.Names(row)
	for i, c := range w.Columns {
		if c.Desc {
			order[i] += " DESC"
		}
		switch {
		case w.otherNulls && c.Desc:
			order[i] += " NULLS LAST"
		case w.otherNulls:
			order[i] += " NULLS FIRST"
		}
	}
	return strings.Join(order, ", ")
}

// Where is true for the rows of q in the span, but for those with a NULL that matters. bind writes a value, given as text, as an
// expression of the type.
func (w *Walk) Where(bind func(text, typ string) string, s Span) string {
	var conditions []string
	if len(s.Until) > 0 {
		conditions = append(conditions, w.compare(w.bind(bind, s.Until), 0, true))
	}
	if len(s.After) > 0 {
		conditions = append(conditions, w.compare(w.bind(bind, s.After), 0, false))
	}
	return strings.Join(conditions, " AND ")
}

func (w *Walk) bind(bind func(text, typ string) string, key []string) []string {
	values := make([]string, len(w.Columns))
	for i, c := range w.Columns {
		values[i] = bind(key[i], c.Type)
	}
	return values
}

// compare is true for rows after a key, or up to it, as far as the columns from one on say. Neighbours of the same direction are
// compared as rows, which an index on them can serve; where the direction changes, what is before it leads to the place in the index.
func (w *Walk) compare(key []string, from int, upTo bool) string {
	to := from + 1
	for to < len(w.Columns) && w.Columns[to].Desc == w.Columns[from].Desc {
		to++
	}
	operator := ">"
	if upTo != w.Columns[from].Desc {
		operator = "<"
	}
	names, values := list(w.Names("q")[from:to]), list(key[from:to])
	if to < len(w.Columns) {
		return names + " " + operator + "= " + values + " AND (" + names + " " + operator + " " + values + " OR " + w.compare(key, to, upTo) + ")"
	}
	if upTo {
		operator += "="
	}
	return names + " " + operator + " " + values
}

func list(items []string) string { return "(" + strings.Join(items, ", ") + ")" }

// Rows is the statement that reads the span's first rows in order, n at most: the query's columns, and then the key's as texts. Whoever
// reads by it compares each key with the one before, beginning with the span's After, and calls CheckEnd if there are more rows.
func (w *Walk) Rows(args *Args, s Span, n int) string {
	return "SELECT q.*, " + strings.Join(w.Names("q"), "::text, ") + "::text " + w.tail(args, s, n)
}

func (w *Walk) tail(args *Args, s Span, n int) string {
	return "FROM " + w.From() + " WHERE " + w.Where(args.Bind, s) + " ORDER BY " + w.Order("q") + " LIMIT " + strconv.Itoa(n)
}

// Page is Rows for who continues within the statement: it reads size rows, and one more that shows whether there are more and whether the
// last key repeats. what is selected of the row r, in the window w. Two columns follow: tidemill_key is the key of row number size, as an
// array of texts, and NULL in the other rows; tidemill_wrong is for Wrong. If there are more rows, CheckNull is still to be called.
func (w *Walk) Page(what string, args *Args, s Span, size int) string {
	names := w.Names("r")
	var null strings.Builder
	repeats := make([]string, len(names))
	for i, name := range names {
		fmt.Fprintf(&null, " WHEN %s THEN %d", IsNull(name), i+1)
		repeats[i] = name + " = lag(" + name + ") OVER w"
	}
	ends := "row_number() OVER w = " + strconv.Itoa(size)
	return `
SELECT ` + what + `, CASE WHEN ` + ends + ` THEN ` + w.texts("r") + ` END AS tidemill_key,
       CASE` + null.String() + ` WHEN ` + strings.Join(repeats, " AND ") + ` THEN ` + strconv.Itoa(w.repeats()) + `
            WHEN ` + ends + ` AND NOT (` + w.kept("r") + `) THEN ` + strconv.Itoa(w.changes()) + ` ELSE 0 END AS tidemill_wrong
  FROM (SELECT * ` + w.tail(args, s, size+1) + `) r
WINDOW w AS (ORDER BY ` + w.Order("r") + `)
 ORDER BY ` + w.Order("r")
}

// texts is the key as an array.
func (w *Walk) texts(row string) string {
	return "ARRAY[" + strings.Join(w.Names(row), "::text, ") + "::text]"
}

// IsNull is true for NULL alone. IS NULL would be true for a row of NULLs too, which has its place in the order.
func IsNull(name string) string { return name + " IS NOT DISTINCT FROM NULL" }

// kept is true if the key's text is read back as the same key.
func (w *Walk) kept(row string) string {
	same := w.Names(row)
	for i, name := range same {
		same[i] = name + " = " + name + "::text::" + w.Columns[i].Type
	}
	return strings.Join(same, " AND ")
}
