package exportjob

import (
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/sqlparams"
)

const kindName = "export"

// configKind writes a table or the rows of a query into a file.
func configKind() config.Kind {
	return config.NewKind[Config](config.Kind{
		Name: kindName, Chunked: true, Params: config.DeclaredParams,
		Doc: "Writes a table, or the rows of a query, into a file in the storage. `tidemill export JOB -o FILE` fetches it.",
	}, fields())
}

// What the words of an export stand for.
const (
	Uncompressed = "none"
	Gzip         = "gzip"
	Zstd         = "zstd"

	LF   = "lf"
	CRLF = "crlf"

	Defuse = "defuse" // a cell that a spreadsheet would take for a formula gets a ' in front
	Keep   = "keep"

	Keyset   = "keyset"   // chunk by chunk in key order, each row as it is when it is read; resumed where it stopped
	Snapshot = "snapshot" // all rows as of one instant; starts over when its process dies
)

// Config is what a job of kind export does.
type Config struct {
	Table   config.Table // Name is empty if Query says what is exported
	Query   string       // :name stands for a param of the job
	Columns []string     // of Table, in the order of the file; empty: all
	// OrderBy names columns that together are unique and never NULL. Empty: the primary key of Table; for a query with
	// consistency snapshot, whatever order the query has.
	OrderBy     []string
	Format      string // CSV or NDJSON
	Compression string // Uncompressed, Gzip or Zstd
	// Of CSV only.
	Header    bool
	Delimiter byte
	LineEnd   string // LF or CRLF
	BOM       bool
	Null      string // what NULL is written as; a text that equals it is in quotes
	Formulas  string // Defuse or Keep

	Consistency string        // Keyset or Snapshot
	Ranges      int           // read at once, of Snapshot
	Timeout     time.Duration // longest time that a snapshot is held open
	Chunk       int           // rows of a part
	Expire      time.Duration // after the end of its run the file is deleted
}

// exportFields are the further fields of a job of kind export.
func fields() field.Table[Config] {
	return field.Table[Config]{
		field.Row("table", config.TableName{}, "", "The table, or view, to export. Give this or `query`.",
			func(e *Config) *config.Table { return &e.Table }),
		field.Row("query", field.Text{Words: "SQL", Check: checkQuery}, "", "The rows to export: `SELECT id, email FROM app.users WHERE created_at >= :since`. Each `:name` is declared in `params`. It runs in a read-only transaction.",
			func(e *Config) *string { return &e.Query }),
		field.Row("columns", field.Texts{Item: "columns"}, "", "Columns of the table, in the order of the file. A query says so itself.",
			func(e *Config) *[]string { return &e.Columns }).Inherit("all columns"),
		field.Row("order_by", field.Texts{Item: "columns"}, "", "Columns that order the file; together they must be unique and never NULL. Of a query they must be among its columns; a query exported with `consistency: snapshot` can do without.",
			func(e *Config) *[]string { return &e.OrderBy }).Inherit("the primary key of the table"),
		field.Row("format", field.Choice{config.CSV, config.NDJSON}, config.CSV, "Format of the file; `ndjson` is a JSON object on each line.",
			func(e *Config) *string { return &e.Format }),
		field.Row("compression", field.Choice{Uncompressed, Gzip, Zstd}, Uncompressed, "How the file is compressed.",
			func(e *Config) *string { return &e.Compression }),
		field.Row("header", field.Boolean{}, "true", "Whether the first record names the columns. Of `csv`.",
			func(e *Config) *bool { return &e.Header }),
		field.Row("delimiter", field.Character{}, `","`, "What separates the fields of a record. Of `csv`.",
			func(e *Config) *byte { return &e.Delimiter }),
		field.Row("line_end", field.Choice{LF, CRLF}, LF, "What ends a record. Line ends within a field stay as they are. Of `csv`.",
			func(e *Config) *string { return &e.LineEnd }),
		field.Row("bom", field.Boolean{}, "false", "Whether the file begins with a byte order mark, by which spreadsheets know UTF-8. Of `csv`.",
			func(e *Config) *bool { return &e.BOM }),
		field.Row("null_as", field.Text{Words: "text", Check: checkNull}, `""`, "What NULL is written as, without quotes. A text that equals it is in quotes, so that the two can be told apart. Of `csv`.",
			func(e *Config) *string { return &e.Null }),
		field.Row("formulas", field.Choice{Defuse, Keep}, Defuse, "What is done to a text that begins with `=`, `+`, `-`, `@`, a tab or a carriage return, which a spreadsheet would run as a formula: `defuse` puts a `'` in front and counts it in the result; `keep` is for files that are read back. Numbers and times are never touched. Of `csv`.",
			func(e *Config) *string { return &e.Formulas }),
		field.Row("consistency", field.Choice{Keyset, Snapshot}, Keyset, "`keyset` reads chunk by chunk, each row as it is at that moment, and resumes where it stopped. `snapshot` has all rows as of one instant, and starts over when its process dies.",
			func(e *Config) *string { return &e.Consistency }),
		field.Row("ranges", field.Integer[int]{Min: 1, Max: 16}, "2", "Ranges that are read at once, each through a connection of its own. Of `snapshot`.",
			func(e *Config) *int { return &e.Ranges }),
		field.Row("timeout", field.Duration{Min: time.Second, Max: 7 * field.Day}, "1h", "Longest time that the snapshot is held open: meanwhile no table can be cleared of dead rows. Of `snapshot`.",
			func(e *Config) *time.Duration { return &e.Timeout }),
		field.Row("chunk", field.Integer[int]{Min: 1, Max: 1_000_000}, "50000", "Rows of a part, which is what a run that continues repeats at most.",
			func(e *Config) *int { return &e.Chunk }),
		field.Row("expire", field.Duration{Min: time.Minute, Max: 3650 * field.Day}, "7d", "How long the file is kept after the end of its run.",
			func(e *Config) *time.Duration { return &e.Expire }),
	}
}

func checkQuery(s string) (problem, hint string) {
	if strings.TrimSpace(s) == "" {
		return "is no query", "write it like SELECT id, email FROM app.users"
	}
	if _, _, err := sqlparams.Bind(s); err != nil {
		return "is not a query: " + err.Error(), config.DollarHint(err)
	}
	return "", ""
}

// checkNull refuses what COPY refuses, and what a defused cell could be taken for.
func checkNull(s string) (problem, hint string) {
	switch {
	case strings.ContainsAny(s, "\r\n\"\x00"):
		return "holds a line end, a double quote or a NUL character", `write it like \N or NULL`
	case strings.HasPrefix(s, "'"):
		return "begins with a quote", `write it like \N or NULL`
	}
	return "", ""
}

// csvOnly are the fields that mean nothing for another format, snapshotOnly those for another consistency.
func csvOnly() []string {
	return []string{"header", "delimiter", "line_end", "bom", "null_as", "formulas"}
}

func snapshotOnly() []string { return []string{"ranges", "timeout"} }

// Check looks for what does not fit together.
func (e *Config) Check(d *config.Checker, j *config.Job, at field.Path) {
	if d.Checkable(at, "table", "query") {
		switch hasTable := e.Table.Name != ""; {
		case hasTable && e.Query != "":
			d.Problem(at.Join("query"), "remove one of them", "table is given too")
		case !hasTable && e.Query == "":
			d.Problem(at, "add table: or query:", "it is not said what to export")
		}
	}
	if e.Query != "" {
		d.CheckBound(e.Query, "query", j, at)
		if len(e.Columns) > 0 && d.Checkable(at, "columns") {
			d.Problem(at.Join("columns"), "name them in the query", "is for a table")
		}
		if len(e.OrderBy) == 0 && e.Consistency == Keyset && d.Checkable(at, "query", "order_by", "consistency") {
			d.Problem(at, "add order_by: with columns that together are unique, or consistency: snapshot", "order_by is missing")
		}
	} else if len(j.Params) > 0 && d.Checkable(at, "query", "params") {
		d.Problem(at.Join("params"), "remove them, or export a query", "a table takes no params")
	}
	checkNames(d, "columns", e.Columns, at)
	checkNames(d, "order_by", e.OrderBy, at)
	checkUnused(d, at, "format", e.Format == config.NDJSON, csvOnly(), "is for format csv")
	checkUnused(d, at, "consistency", e.Consistency == Keyset, snapshotOnly(), "is for consistency snapshot")
	if !d.Checkable(at, "delimiter", "null_as") {
		return
	}
	switch {
	case e.Delimiter == '"' || e.Delimiter == '\'':
		d.Problem(at.Join("delimiter"), `take , or ; or tab`, "is a quote")
	case strings.IndexByte(e.Null, e.Delimiter) >= 0:
		d.Problem(at.Join("null_as"), "", "holds the delimiter")
	}
}

// checkNames looks at a list of columns.
func checkNames(d *config.Checker, list string, names []string, at field.Path) {
	if !d.Checkable(at, list) {
		return
	}
	for n, name := range names {
		item := at.Join(list).Join(field.Index(n))
		problem, shown := config.CheckIdentifier(name), d.SourceText(item, name)
		switch {
		case problem != "":
			d.Problem(item, "", "%q %s", shown, problem)
		case slices.Index(names, name) < n:
			d.Problem(item, "remove one of them", "%q is there twice", shown)
		}
	}
}

// checkUnused reports fields that are given and mean nothing because of the field cause.
func checkUnused(d *config.Checker, at field.Path, cause string, unused bool, fields []string, why string) {
	if !unused || !d.Checkable(at, cause) {
		return
	}
	for _, name := range fields {
		if d.Given(at.Join(name)) {
			d.Problem(at.Join(name), "remove it", "%s", why)
		}
	}
}

type exportDefinition struct {
	Table          config.Table
	Query          string
	Columns        []string
	OrderBy        []string
	Format         string
	Compression    string
	Header         bool
	Delimiter      byte
	LineEnd        string
	BOM            bool
	Null, Formulas string
	Consistency    string
}

// Identity is what the file has in it, and how it is written.
func (e *Config) Identity() (string, any) {
	return "Export", exportDefinition{
		Table: e.Table, Query: e.Query, Columns: e.Columns, OrderBy: e.OrderBy, Format: e.Format, Compression: e.Compression,
		Header: e.Header, Delimiter: e.Delimiter, LineEnd: e.LineEnd, BOM: e.BOM, Null: e.Null, Formulas: e.Formulas,
		Consistency: e.Consistency,
	}
}

// Limits are the other fields.
func (e *Config) Limits() []any { return []any{e.Ranges, e.Timeout, e.Chunk, e.Expire} }
