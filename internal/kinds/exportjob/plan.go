package exportjob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/tidwall/gjson"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/rowout"
	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/retry"
)

// exportPlan is an export as the database has it.
type exportPlan struct {
	ex      *Config
	table   *bulk.Table    // nil: a query
	walk    keyset.Walk    // over the table's columns, or the query
	columns []exportColumn // of walk.Query; the first of them may be hidden
	hidden  int            // are not in the file, but in its key
	key     []int          // places of walk.Columns in columns
}

// exportColumn is a column of what is read.
type exportColumn struct {
	Name string `json:"name"`
	Type string `json:"type"` // as SQL writes it

	oid      uint32
	category string // pg_type.typcategory
	table    uint32 // where it comes from, if it is a plain column of a table or view; 0: unknown
	number   uint16 // of the column there
}

// planExport asks the database what the definition comes to, without reading any rows. It may be called in a transaction.
// The error is permanent if only a change of the definition or of the schema helps.
func planExport(ctx context.Context, conn *pgx.Conn, ex *Config, params map[string]any) (*exportPlan, error) {
	p := &exportPlan{ex: ex}
	var err error
	orderBy := ex.OrderBy
	if ex.Query == "" {
		orderBy, err = p.ofTable(ctx, conn)
	} else {
		err = p.ofQuery(ctx, conn, params)
	}
	if err == nil {
		err = p.describe(ctx, conn)
	}
	if err == nil {
		err = p.setKey(orderBy)
	}
	if err == nil && ex.Consistency == Keyset {
		err = p.walk.Prepare(ctx, conn, ex.Chunk)
	}
	switch {
	case err == nil:
		return p, nil
	case batch.Classify(err) == batch.Transient, ctx.Err() != nil:
		return nil, err
	}
	return nil, retry.Permanent(err)
}

// ofTable makes the query of a table and returns its order.
func (p *exportPlan) ofTable(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	table, err := bulk.Describe(ctx, conn, p.ex.Table.Schema, p.ex.Table.Name)
	if err != nil {
		return nil, err
	}
	p.table = table
	names := p.ex.Columns
	if len(names) == 0 {
		for _, column := range table.Columns {
			names = append(names, column.Name)
		}
	}
	orderBy := p.ex.OrderBy
	if len(orderBy) == 0 {
		if orderBy, err = primaryKey(ctx, conn, table); err != nil {
			return nil, err
		}
	}
	var hidden []string
	for _, name := range orderBy {
		if table.Column(name) == nil {
			return nil, fmt.Errorf("order_by: table %s has no column %q", p.ex.Table, name)
		}
		if !slices.Contains(names, name) {
			hidden = append(hidden, name)
		}
	}
	for _, name := range names {
		if table.Column(name) == nil {
			return nil, fmt.Errorf("columns: table %s has no column %q", p.ex.Table, name)
		}
	}
	p.hidden = len(hidden)
	quoted := make([]string, 0, len(names)+len(hidden))
	for _, name := range slices.Concat(hidden, names) {
		quoted = append(quoted, quoteName(name))
	}
	p.walk.Query = "SELECT " + strings.Join(quoted, ", ") + " FROM " + table.Ident()
	return orderBy, nil
}

// primaryKey are the columns of the table's primary key, in its order.
func primaryKey(ctx context.Context, conn *pgx.Conn, table *bulk.Table) ([]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT a.attname::text FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k (num, pos), pg_attribute a
		 WHERE i.indrelid = $1 AND i.indisprimary AND k.pos <= i.indnkeyatts AND a.attrelid = i.indrelid AND a.attnum = k.num ORDER BY k.pos`, table.OID)
	if err != nil {
		return nil, fmt.Errorf("read the primary key: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the primary key: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("table %s has no primary key; give order_by: with columns that together are unique", table.Ident())
	}
	return names, nil
}

// ofQuery binds the params of the configured query. COPY takes no values beside it, so they become literals of the types
// that the server has found for them, quoted.
func (p *exportPlan) ofQuery(ctx context.Context, conn *pgx.Conn, params map[string]any) error {
	stmt, prepared, err := prepareQuery(ctx, conn, p.ex.Query)
	if err != nil {
		return err
	}
	values, err := statement.Values(conn.TypeMap(), stmt.Names, prepared.ParamOIDs, params)
	if err != nil {
		return err
	}
	literals := make([]string, len(values))
	for i, value := range values {
		if value != nil {
			_, err := conn.PgConn().ExecParams(ctx, "SELECT $1", values[i:i+1], prepared.ParamOIDs[i:i+1], nil, nil).Close()
			if statement.IsBadValue(err) {
				return fmt.Errorf("param %q does not fit the query: %w", stmt.Names[i], stmt.Describe(err))
			}
			if err != nil {
				return err
			}
		}
		typ, err := typeName(ctx, conn, prepared.ParamOIDs[i])
		if err != nil {
			return err
		}
		literals[i] = literal(value, typ)
	}
	p.walk.Query, err = stmt.With(func(n int) string { return literals[n-1] })
	return err
}

// prepareQuery has the server check the query alone, so that a place in its error is one in the configuration.
func prepareQuery(ctx context.Context, conn *pgx.Conn, query string) (*statement.Statement, *pgconn.StatementDescription, error) {
	stmt, err := statement.Bind(query)
	if err != nil {
		return nil, nil, fmt.Errorf("query: %w", err)
	}
	prepared, err := conn.PgConn().Prepare(ctx, "", stmt.Text, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("query: %w", stmt.Describe(err))
	}
	if len(prepared.Fields) == 0 {
		return nil, nil, errors.New("query: it returns no columns; write a SELECT")
	}
	return stmt, prepared, nil
}

func typeName(ctx context.Context, conn *pgx.Conn, oid uint32) (string, error) {
	var name string
	if err := conn.QueryRow(ctx, "SELECT format_type($1, -1)", oid).Scan(&name); err != nil {
		return "", fmt.Errorf("read the name of type %d: %w", oid, err)
	}
	return name, nil
}

// describe reads the columns of the source.
func (p *exportPlan) describe(ctx context.Context, conn *pgx.Conn) error {
	prepared, err := conn.PgConn().Prepare(ctx, "", "SELECT * FROM "+p.walk.From(), nil)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	oids := make([]uint32, len(prepared.Fields))
	for i, field := range prepared.Fields {
		oids[i] = field.DataTypeOID
		for _, other := range p.columns {
			if other.Name == field.Name {
				return fmt.Errorf("query: two columns are called %q; give one of them another name, with AS", field.Name)
			}
		}
		p.columns = append(p.columns, exportColumn{Name: field.Name, oid: field.DataTypeOID, table: field.TableOID, number: field.TableAttributeNumber})
	}
	rows, err := conn.Query(ctx, `SELECT oid, typcategory::text, format_type(oid, -1) FROM pg_type WHERE oid = ANY ($1)`, oids)
	if err != nil {
		return fmt.Errorf("read the types of the columns: %w", err)
	}
	var oid uint32
	var category, name string
	_, err = pgx.ForEachRow(rows, []any{&oid, &category, &name}, func() error {
		for i := range p.columns {
			if c := &p.columns[i]; c.oid == oid {
				c.category, c.Type = category, name
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the types of the columns: %w", err)
	}
	return nil
}

func (p *exportPlan) setKey(orderBy []string) error {
	for _, name := range orderBy {
		i := slices.IndexFunc(p.columns, func(c exportColumn) bool { return c.Name == name })
		if i < 0 {
			return fmt.Errorf("order_by: the query has no column %q", name)
		}
		p.key = append(p.key, i)
		p.walk.Columns = append(p.walk.Columns, keyset.Column{
			Name: name, Type: p.columns[i].Type, NotNull: p.table != nil && p.table.Column(name).NotNull,
		})
	}
	p.walk.Unique = p.table != nil && slices.ContainsFunc(p.table.UniqueIndexes, func(index bulk.UniqueIndex) bool {
		other := func(column string) bool { return !slices.Contains(orderBy, column) }
		return !index.Partial && !index.Expression && !slices.ContainsFunc(index.Columns, other)
	})
	return nil
}

// certain reports whether no key column is ever NULL, by the table's own word.
func (p *exportPlan) certain() bool {
	return p.table != nil && !slices.ContainsFunc(p.walk.Columns, func(c keyset.Column) bool { return !c.NotNull })
}

// rows encodes what copySQL sends.
func (p *exportPlan) rows() rowout.Rows {
	if p.ex.Format == config.NDJSON {
		return rowout.NDJSON{}
	}
	return p.csv()
}

func (p *exportPlan) csv() *rowout.CSV {
	opts := rowout.CSVOpts{
		Columns: len(p.columns), Hidden: p.hidden, Delimiter: p.ex.Delimiter, Null: p.ex.Null, CRLF: p.ex.LineEnd == CRLF,
	}
	if p.ex.Formulas == Defuse {
		for _, c := range p.columns {
			opts.Defuse = append(opts.Defuse, c.isText())
		}
	}
	return rowout.NewCSV(opts)
}

// isText reports whether values of the column are texts of people's making. Of the other types one that begins like a
// formula is a number or a length of time.
func (c exportColumn) isText() bool {
	if strings.Contains("NDTBARVGI", c.category) {
		return false
	}
	return !slices.Contains([]uint32{pgtype.JSONOID, pgtype.JSONBOID, pgtype.UUIDOID, pgtype.ByteaOID}, c.oid)
}

// values reads the key of a row. It is nil for a message that is no row.
func (p *exportPlan) values(rows rowout.Rows, message []byte) ([]string, error) {
	n := len(p.key) // NDJSON has the key in front
	if p.ex.Format == config.CSV {
		n = slices.Max(p.key) + 1
	}
	all, err := rows.Values(message, n)
	if err != nil || all == nil {
		return nil, err
	}
	key := make([]string, len(p.key))
	for i, k := range p.key {
		if p.ex.Format == config.NDJSON {
			k = i
		}
		if all[k].Null {
			return nil, p.walk.Wrong(i + 1)
		}
		key[i] = all[k].Text
	}
	return key, nil
}

// head is what the file begins with.
func (p *exportPlan) head() []byte {
	var head []byte
	if p.ex.Format != config.CSV {
		return nil
	}
	if p.ex.BOM {
		head = append(head, "\ufeff"...)
	}
	if p.ex.Header {
		names := make([]string, 0, len(p.columns))
		for _, c := range p.columns[p.hidden:] {
			names = append(names, c.Name)
		}
		head = p.csv().Header(head, names)
	}
	return head
}

// shape reports whether the columns are the same as those that an earlier attempt has written.
func (p *exportPlan) shape() string {
	h := sha256.New()
	for _, c := range p.columns {
		fmt.Fprintf(h, "%d:%s;%d;", len(c.Name), c.Name, c.oid)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// expected is the planner's estimate of the number of rows.
func (p *exportPlan) expected(ctx context.Context, conn *pgx.Conn) (int64, error) {
	var plan string
	if err := conn.QueryRow(ctx, "EXPLAIN (FORMAT JSON) SELECT * FROM "+p.walk.From()).Scan(&plan); err != nil {
		return 0, fmt.Errorf("estimate the number of rows: %w", err)
	}
	return gjson.Get(plan, `0.Plan.Plan Rows`).Int(), nil
}

func quoteName(name string) string { return pgx.Identifier{name}.Sanitize() }

// quoteText is a text as a literal that reads the same whatever the settings.
func quoteText(text string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}

// literal is a value in text form as an expression of the type; nil is NULL.
func literal(value []byte, typ string) string {
	if value == nil {
		return "CAST(NULL AS " + typ + ")"
	}
	return "CAST(" + quoteText(string(value)) + " AS " + typ + ")"
}
