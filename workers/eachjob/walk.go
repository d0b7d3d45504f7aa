package eachjob

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// eachRows is how many rows a transaction deals with.
const eachRows = 5000

// eachWalk reads the query of a job by key and makes children of the rows, all within the database: a row becomes JSON there
// (to_jsonb) and goes into River's table without a way through this process.
type eachWalk struct {
	def    *Config
	child  kind.Child
	notify bool
	schema migrations.Schema
	parent int64

	stmt   *statement.Statement
	values []any    // of the query's parameters: texts, or nil for NULL
	keys   []string // the order's columns, quoted
	types  []string // of keys, as SQL names them
	nulls  string   // behind each key of an ORDER BY
}

// eachPart is what one chunk did.
type eachPart struct {
	Rows, Children int64
	Last           []string // key of the last row
	More           bool     // whether there are rows behind it
	Rejects        []batch.Reject
	Rejected       int64 // rows of Rejects
}

// bindQuery takes semicolons from the end, which would end the query within the statements that it becomes part of.
func bindQuery(source string) (*statement.Statement, error) {
	return statement.Bind(strings.TrimRight(source, "; \t\r\n"))
}

// prepare looks at the query, and whether its columns are what the child takes.
func (w *eachWalk) prepare(ctx context.Context, pool *pgxpool.Pool, params map[string]any, jobs kind.Jobs) error {
	var err error
	if w.stmt, err = bindQuery(w.def.Query); err != nil {
		return retry.Permanent(fmt.Errorf("query: %w", err))
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	described, err := conn.Conn().PgConn().Prepare(ctx, "", w.stmt.Text, nil)
	if err != nil {
		return fmt.Errorf("query: %w", w.stmt.Describe(err))
	}
	texts, err := statement.Values(conn.Conn().TypeMap(), w.stmt.Names, described.ParamOIDs, params)
	if err != nil {
		return retry.Permanent(err)
	}
	for _, text := range texts {
		if text == nil {
			w.values = append(w.values, nil)
			continue
		}
		w.values = append(w.values, string(text))
	}
	if child, ok := jobs(w.def.Enqueue.Job); ok {
		if problems := eachMisfits(w.def, child, described.Fields); len(problems) > 0 {
			return retry.Permanent(problems[0])
		}
	}
	for _, column := range w.def.OrderBy {
		i := slices.IndexFunc(described.Fields, func(f pgconn.FieldDescription) bool { return f.Name == column })
		var name string // with a typmod of -1, so that bpchar is not taken for character(1)
		if err := conn.QueryRow(ctx, "SELECT format_type($1, -1)", described.Fields[i].DataTypeOID).Scan(&name); err != nil {
			return fmt.Errorf("type of column %s: %w", column, err)
		}
		w.keys, w.types = append(w.keys, pgx.Identifier{column}.Sanitize()), append(w.types, name)
	}
	w.nulls, err = statement.NullsFirst(ctx, conn.Conn(), w.values, func(nulls string) string {
		return "SELECT * FROM " + w.rows() + " ORDER BY " + w.keyList("tidemill_row", nulls) + " LIMIT " + strconv.Itoa(eachRows)
	})
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	return nil
}

// keyList writes the key columns of the row with that name, each followed by more.
func (w *eachWalk) keyList(row, more string) string {
	list := make([]string, len(w.keys))
	for i, key := range w.keys {
		list[i] = row + "." + key + more
	}
	return strings.Join(list, ", ")
}

// rows is the query as a table. A comment may end it, so the bracket stands on a line of its own.
func (w *eachWalk) rows() string { return "(" + w.stmt.Text + "\n) tidemill_row" }

// last returns the greatest key, or nil if there is no row.
func (w *eachWalk) last(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	query := "SELECT ARRAY[" + w.keyList("tidemill_row", "::text") + "] FROM " + w.rows() +
		" ORDER BY " + w.keyList("tidemill_row", " DESC") + " LIMIT 1"
	var key []*string
	rows, err := pool.Query(ctx, query, append([]any{pgx.QueryExecModeDescribeExec}, w.values...)...)
	if err != nil {
		return nil, fmt.Errorf("query: find the last key: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[[]*string])
	switch {
	case err != nil:
		return nil, fmt.Errorf("query: find the last key: %w", err)
	case len(keys) == 0:
		return nil, nil
	}
	key = keys[0]
	until := make([]string, len(key))
	for i, text := range key {
		if text == nil {
			return nil, w.nullKey()
		}
		until[i] = *text
	}
	return until, nil
}

func (w *eachWalk) nullKey() error {
	return retry.Permanent(fmt.Errorf("a column of order_by (%s) is NULL in some row; it must never be", strings.Join(w.def.OrderBy, ", ")))
}

// sqlBuilder numbers the parameters of a statement.
type sqlBuilder struct{ args []any }

func (b *sqlBuilder) arg(value any, cast string) string {
	b.args = append(b.args, value)
	return "$" + strconv.Itoa(len(b.args)) + "::" + cast
}

// bound writes a key as a row of values.
func (w *eachWalk) bound(b *sqlBuilder, key []string) string {
	casts := make([]string, len(key))
	for i, text := range key {
		casts[i] = b.arg(text, "text") + "::" + w.types[i]
	}
	return "(" + strings.Join(casts, ", ") + ")"
}

// enqueue makes the children of the rows behind cursor.After, in one statement. One row more than it deals with tells
// whether there are more, and whether the order is unique also where a chunk ends.
func (w *eachWalk) enqueue(ctx context.Context, tx pgx.Tx, cursor eachCursor) (eachPart, error) {
	size := max(1, eachRows/w.def.Batch) * w.def.Batch
	b := &sqlBuilder{args: slices.Clone(w.values)}
	key := "(" + w.keyList("tidemill_row", "") + ")"
	where := key + " <= " + w.bound(b, cursor.Until)
	if len(cursor.After) > 0 {
		where += " AND " + key + " > " + w.bound(b, cursor.After)
	}
	repeated := make([]string, len(w.keys))
	for i, k := range w.keys {
		repeated[i] = "r." + k + " = lag(r." + k + ") OVER w"
	}
	order := w.keyList("tidemill_row", w.nulls)
	query := `
WITH walked AS MATERIALIZED (
	SELECT row_number() OVER w AS n, to_jsonb(r.*) AS doc, ARRAY[` + w.keyList("r", "::text") + `] AS key,
	       ` + strings.Join(repeated, " AND ") + ` AS repeated
	  FROM (SELECT * FROM ` + w.rows() + ` WHERE ` + where + ` ORDER BY ` + order + ` LIMIT ` + strconv.Itoa(size+1) + `) r
	WINDOW w AS (ORDER BY ` + w.keyList("r", "") + `)),
child AS (` + w.childSQL(b, size) + `),
made AS MATERIALIZED (` + w.madeSQL(b) + `),
inserted AS (
	INSERT INTO {river}.river_job (kind, args, queue, priority, max_attempts, state, scheduled_at, metadata)
	SELECT ` + b.arg(w.child.Kind, "text") + `, args, ` + b.arg(w.child.Queue, "text") + `,
	       ` + b.arg(w.child.Priority, "smallint") + `, ` + b.arg(w.child.MaxAttempts, "smallint") + `, 'available', now(),
	       ` + b.arg(string(batch.ChildMetadata(w.parent, w.child.Job)), "jsonb") + ` FROM made WHERE problem IS NULL ORDER BY n
	RETURNING 1),
told AS (
	SELECT pg_notify({river:text} || '.river_insert', json_build_object('queue', ` + b.arg(w.child.Queue, "text") + `)::text)
	 WHERE ` + b.arg(w.notify, "boolean") + ` AND EXISTS (SELECT FROM inserted))
SELECT count(*) FILTER (WHERE n <= ` + strconv.Itoa(size) + `), (SELECT count(*) FROM inserted), count(*) > ` + strconv.Itoa(size) + `,
       (SELECT key FROM walked WHERE n <= ` + strconv.Itoa(size) + ` ORDER BY n DESC LIMIT 1),
       coalesce(bool_or(repeated), false), coalesce(bool_or(array_position(key, NULL) IS NOT NULL), false), (SELECT count(*) FROM told),
       (SELECT max(octet_length(args::text)) FROM made WHERE problem IS NULL), (SELECT max_args FROM {tidemill}.setting),
       (SELECT coalesce(sum(rows), 0) FROM made WHERE problem IS NOT NULL),
       (SELECT jsonb_agg(jsonb_build_object('n', n, 'given', left(given::text, ` + strconv.Itoa(maxEachRaw+1) + `), 'problem', problem) ORDER BY n)
          FROM made WHERE problem IS NOT NULL)
  FROM walked`
	var part eachPart
	var twice, null bool
	var longest *int
	var most int
	var refused []eachRefused
	err := tx.QueryRow(ctx, w.schema.SQL(query), append([]any{pgx.QueryExecModeDescribeExec}, b.args...)...).
		Scan(&part.Rows, &part.Children, &part.More, &part.Last, &twice, &null, nil, &longest, &most, &part.Rejected, &refused)
	switch {
	case err != nil:
		return eachPart{}, fmt.Errorf("enqueue the children of a chunk: %w", err)
	case twice:
		return eachPart{}, retry.Permanent(fmt.Errorf("order_by (%s) is not unique: rows with the same key could be left out; add a column that makes it so",
			strings.Join(w.def.OrderBy, ", ")))
	case null:
		return eachPart{}, w.nullKey()
	case longest != nil && *longest > most:
		return eachPart{}, retry.Permanent(fmt.Errorf(
			"a job of this chunk would have arguments of %d bytes, and max_args is %d; select fewer columns, or keys only, or make batch smaller", *longest, most))
	}
	for _, r := range refused {
		part.Rejects = append(part.Rejects, r.reject(cursor.Rows))
	}
	if part.More {
		err = w.hidden(ctx, tx, part.Last)
	}
	return part, err
}

// hidden looks for rows that no later chunk would find: those with the beginning of the key that was the last one, and NULL
// after that. No comparison of keys is true for them. With NULLS FIRST they come at the beginning of such rows, where they
// are seen.
func (w *eachWalk) hidden(ctx context.Context, tx pgx.Tx, last []string) error {
	if len(w.keys) == 1 || w.nulls != "" {
		return nil
	}
	b := &sqlBuilder{args: slices.Clone(w.values)}
	var places, prefix []string
	for i, key := range w.keys {
		if i > 0 {
			places = append(places, "("+strings.Join(prefix, " AND ")+" AND tidemill_row."+key+" IS NULL)")
		}
		if i < len(w.keys)-1 {
			prefix = append(prefix, "tidemill_row."+key+" = "+b.arg(last[i], "text")+"::"+w.types[i])
		}
	}
	var found bool
	query := "SELECT EXISTS (SELECT FROM " + w.rows() + " WHERE " + strings.Join(places, " OR ") + ")"
	if err := tx.QueryRow(ctx, query, append([]any{pgx.QueryExecModeDescribeExec}, b.args...)...).Scan(&found); err != nil {
		return fmt.Errorf("look for NULL in the key: %w", err)
	}
	if found {
		return w.nullKey()
	}
	return nil
}

// childSQL selects what each child is given.
func (w *eachWalk) childSQL(b *sqlBuilder, size int) string {
	fixed := w.def.Enqueue.Params
	if len(fixed) == 0 {
		fixed = json.RawMessage("{}")
	}
	given := b.arg(string(fixed), "jsonb") + " || "
	from := " FROM walked WHERE n <= " + strconv.Itoa(size)
	if w.def.Batch == 1 {
		return "SELECT n, 1 AS rows, " + given + "doc AS given" + from
	}
	return "SELECT min(n) AS n, count(*) AS rows, " + given + "jsonb_build_object('" + RowsParam + "', jsonb_agg(doc ORDER BY n)) AS given" + from +
		" GROUP BY (n - 1) / " + strconv.Itoa(w.def.Batch)
}

// madeSQL makes the arguments of a child of what it is given, as each start does, or says why it cannot be started.
func (w *eachWalk) madeSQL(b *sqlBuilder) string {
	args := func(resolved string) string {
		return "{tidemill}.join_args(" + b.arg(string(w.child.Args), "jsonb") + ", " + strconv.FormatBool(w.child.Nests) + ", child.given, " + resolved + ", '{}') AS args FROM child"
	}
	if w.child.Declared == nil {
		return "SELECT n, rows, given, NULL AS problem, " + args("child.given")
	}
	return "SELECT n, rows, given, tried.problem, " + args("tried.resolved") + ", {tidemill}.try_params(" +
		b.arg(w.child.Job, "text") + ", " + b.arg(string(w.child.Declared), "jsonb") + ", child.given, now()) tried"
}
