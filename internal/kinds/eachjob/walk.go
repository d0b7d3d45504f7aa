package eachjob

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/keyset"
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
	rows   int // that a transaction deals with
	notify bool
	schema migrations.Schema
	parent int64

	keys keyset.Walk
}

// eachPart is what one chunk did.
type eachPart struct {
	Rows, Children int64
	More           bool     // whether there are further rows
	Last           []string // key of the last row, if there are
	Rejects        []batch.Reject
	Rejected       int64 // rows of Rejects
}

// prepare looks at the query, and whether its columns are what the child takes.
func (w *eachWalk) prepare(ctx context.Context, pool *pgxpool.Pool, params map[string]any, jobs kind.Jobs) error {
	stmt, err := statement.Bind(w.def.Query)
	if err != nil {
		return retry.Permanent(fmt.Errorf("query: %w", err))
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	described, err := conn.Conn().PgConn().Prepare(ctx, "", stmt.Text, nil)
	if err != nil {
		return fmt.Errorf("query: %w", stmt.Describe(err))
	}
	texts, err := statement.Values(conn.Conn().TypeMap(), stmt.Names, described.ParamOIDs, params)
	if err != nil {
		return retry.Permanent(err)
	}
	w.keys = keyset.Walk{Query: stmt.Text, Mode: pgx.QueryExecModeDescribeExec}
	for _, text := range texts {
		if text == nil {
			w.keys.Args = append(w.keys.Args, nil)
			continue
		}
		w.keys.Args = append(w.keys.Args, string(text))
	}
	if child, ok := jobs(w.def.Enqueue.Job); ok {
		if problems := eachMisfits(w.def, child, described.Fields); len(problems) > 0 {
			return retry.Permanent(problems[0])
		}
	}
	for _, column := range w.def.OrderBy {
		w.keys.Columns = append(w.keys.Columns, keyset.Column{Name: column})
	}
	if err := w.keys.Prepare(ctx, conn, w.rows); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	return nil
}

// enqueue makes the children of the rows after cursor.After, in one statement.
func (w *eachWalk) enqueue(ctx context.Context, tx pgx.Tx, cursor eachCursor) (eachPart, error) {
	b := w.keys.NewArgs()
	query := `
WITH walked AS MATERIALIZED (` + w.keys.Page("row_number() OVER w AS n, to_jsonb(r.*) AS doc", b, cursor.Span, w.rows) + `),
child AS (` + w.childSQL(b) + `),
made AS MATERIALIZED (` + w.madeSQL(b) + `),
inserted AS (
	INSERT INTO {river}.river_job (kind, args, queue, priority, max_attempts, state, scheduled_at, metadata)
	SELECT ` + b.Add(w.child.Kind, "text") + `, args, ` + b.Add(w.child.Queue, "text") + `,
	       ` + b.Add(w.child.Priority, "smallint") + `, ` + b.Add(w.child.MaxAttempts, "smallint") + `, 'available', now(),
	       ` + b.Add(string(batch.ChildMetadata(w.parent, w.child.Job)), "jsonb") + ` FROM made WHERE problem IS NULL ORDER BY n
	RETURNING 1),
notified AS (
	SELECT pg_notify({river:text} || '.river_insert', json_build_object('queue', ` + b.Add(w.child.Queue, "text") + `)::text)
	 WHERE ` + b.Add(w.notify, "boolean") + ` AND EXISTS (SELECT FROM inserted))
SELECT count(*) FILTER (WHERE n <= ` + strconv.Itoa(w.rows) + `), (SELECT count(*) FROM inserted), count(*) > ` + strconv.Itoa(w.rows) + `,
       (SELECT tidemill_key FROM walked WHERE n = ` + strconv.Itoa(w.rows) + ` AND tidemill_wrong = 0),
       coalesce(max(tidemill_wrong), 0), (SELECT count(*) FROM notified),
       (SELECT max(octet_length(args::text)) FROM made WHERE problem IS NULL), (SELECT max_args FROM {tidemill}.setting),
       (SELECT coalesce(sum(rows), 0) FROM made WHERE problem IS NOT NULL),
       (SELECT jsonb_agg(jsonb_build_object('n', n, 'given', left(given::text, ` + strconv.Itoa(maxEachRaw+1) + `), 'problem', problem) ORDER BY n)
          FROM made WHERE problem IS NOT NULL)
  FROM walked`
	var part eachPart
	var longest *int
	var wrong, most int
	var refused []eachRefused
	err := tx.QueryRow(ctx, w.schema.SQL(query), b.All()...).
		Scan(&part.Rows, &part.Children, &part.More, &part.Last, &wrong, nil, &longest, &most, &part.Rejected, &refused)
	switch {
	case err != nil:
		return eachPart{}, fmt.Errorf("enqueue the children of a chunk: %w", err)
	case wrong != 0:
		return eachPart{}, w.keys.Wrong(wrong)
	case longest != nil && *longest > most:
		return eachPart{}, retry.Permanent(fmt.Errorf(
			"a job of this chunk would have arguments of %d bytes, and max_args is %d; select fewer columns, or keys only, or make batch smaller", *longest, most))
	}
	for _, r := range refused {
		part.Rejects = append(part.Rejects, r.reject(cursor.Rows))
	}
	if part.More {
		err = w.keys.CheckNull(ctx, tx, part.Last)
	}
	return part, err
}

// childSQL selects what each child is given.
func (w *eachWalk) childSQL(b *keyset.Args) string {
	fixed := w.def.Enqueue.Params
	if len(fixed) == 0 {
		fixed = json.RawMessage("{}")
	}
	given := b.Add(string(fixed), "jsonb") + " || "
	from := " FROM walked WHERE n <= " + strconv.Itoa(w.rows)
	if w.def.Batch == 1 {
		return "SELECT n, 1 AS rows, " + given + "doc AS given" + from
	}
	return "SELECT min(n) AS n, count(*) AS rows, " + given + "jsonb_build_object('" + RowsParam + "', jsonb_agg(doc ORDER BY n)) AS given" + from +
		" GROUP BY (n - 1) / " + strconv.Itoa(w.def.Batch)
}

// madeSQL makes the arguments of a child of what it is given, as each start does, or says why it cannot be started.
func (w *eachWalk) madeSQL(b *keyset.Args) string {
	args := func(resolved string) string {
		return "{tidemill}.join_args(" + b.Add(string(w.child.Args), "jsonb") + ", " + strconv.FormatBool(w.child.ArgsNested) + ", child.given, " + resolved + ", '{}') AS args FROM child"
	}
	if w.child.ParamTypes == nil {
		return "SELECT n, rows, given, NULL AS problem, " + args("child.given")
	}
	return "SELECT n, rows, given, tried.problem, " + args("tried.resolved") + ", {tidemill}.try_params(" +
		b.Add(w.child.Job, "text") + ", " + b.Add(string(w.child.ParamTypes), "jsonb") + ", child.given, now()) tried"
}
