package config

import (
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/sqlparams"
)

const kindExport = "export"

// ExportKind writes a table or the rows of a query into a file.
func ExportKind() Kind {
	return NewKind[Export](Kind{
		Name: kindExport, Chunked: true, Params: DeclaredParams,
		Doc: "Writes a table, or the rows of a query, into a file in the storage. `tidemill export JOB -o FILE` fetches it.",
	}, exportFields())
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
	Snapshot = "snapshot" // all rows as of one instant; begins anew when its process dies
)

// Export is what a job of kind export does.
type Export struct {
	Table   Table    // Name is empty if Query says what is exported
	Query   string   // :name stands for a param of the job
	Columns []string // of Table, in the order of the file; empty: all
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
	Null      string // what NULL is written as; a text that equals it stands in quotes
	Formulas  string // Defuse or Keep

	Consistency string        // Keyset or Snapshot
	Ranges      int           // read at once, of Snapshot
	Timeout     time.Duration // longest time that a snapshot is held open
	Chunk       int           // rows of a part
	Expire      time.Duration // after the end of its run the file is deleted
}

// exportFields are the further fields of a job of kind export.
func exportFields() object[Export] {
	return object[Export]{
		row("table", tableName{}, "", "The table, or view, to export. Give this or `query`.",
			func(e *Export) *Table { return &e.Table }),
		row("query", text{words: "SQL", check: checkQuery}, "", "The rows to export: `SELECT id, email FROM app.users WHERE created_at >= :since`. Each `:name` is declared in `params`. It runs in a read-only transaction.",
			func(e *Export) *string { return &e.Query }),
		row("columns", texts{"columns"}, "", "Columns of the table, in the order of the file. A query says so itself.",
			func(e *Export) *[]string { return &e.Columns }).from("all columns"),
		row("order_by", texts{"columns"}, "", "Columns that order the file; together they must be unique and never NULL. Of a query they must be among its columns; a query exported with `consistency: snapshot` can do without.",
			func(e *Export) *[]string { return &e.OrderBy }).from("the primary key of the table"),
		row("format", choice{CSV, NDJSON}, CSV, "Format of the file; `ndjson` is a JSON object on each line.",
			func(e *Export) *string { return &e.Format }),
		row("compression", choice{Uncompressed, Gzip, Zstd}, Uncompressed, "How the file is compressed.",
			func(e *Export) *string { return &e.Compression }),
		row("header", boolean{}, "true", "Whether the first record names the columns. Of `csv`.",
			func(e *Export) *bool { return &e.Header }),
		row("delimiter", character{}, `","`, "What separates the fields of a record. Of `csv`.",
			func(e *Export) *byte { return &e.Delimiter }),
		row("line_end", choice{LF, CRLF}, LF, "What ends a record. Line ends within a field stay as they are. Of `csv`.",
			func(e *Export) *string { return &e.LineEnd }),
		row("bom", boolean{}, "false", "Whether the file begins with a byte order mark, by which spreadsheets know UTF-8. Of `csv`.",
			func(e *Export) *bool { return &e.BOM }),
		row("null_as", text{words: "text", check: checkNull}, `""`, "What NULL is written as, without quotes. A text that equals it stands in quotes, so that the two can be told apart. Of `csv`.",
			func(e *Export) *string { return &e.Null }),
		row("formulas", choice{Defuse, Keep}, Defuse, "What is done to a text that begins with `=`, `+`, `-`, `@`, a tab or a carriage return, which a spreadsheet would run as a formula: `defuse` puts a `'` in front and counts it in the result; `keep` is for files that are read back. Numbers and times are never touched. Of `csv`.",
			func(e *Export) *string { return &e.Formulas }),
		row("consistency", choice{Keyset, Snapshot}, Keyset, "`keyset` reads chunk by chunk, each row as it is at that moment, and goes on where it stopped. `snapshot` has all rows as of one instant, and begins anew when its process dies.",
			func(e *Export) *string { return &e.Consistency }),
		row("ranges", integer[int]{1, 16}, "2", "Ranges that are read at once, each through a connection of its own. Of `snapshot`.",
			func(e *Export) *int { return &e.Ranges }),
		row("timeout", duration{time.Second, 7 * day}, "1h", "Longest time that the snapshot is held open: meanwhile no table can be cleared of dead rows. Of `snapshot`.",
			func(e *Export) *time.Duration { return &e.Timeout }),
		row("chunk", integer[int]{1, 1_000_000}, "50000", "Rows of a part, which is what a run that goes on repeats at most.",
			func(e *Export) *int { return &e.Chunk }),
		row("expire", duration{time.Minute, 3650 * day}, "7d", "How long the file is kept after the end of its run.",
			func(e *Export) *time.Duration { return &e.Expire }),
	}
}

func checkQuery(s string) (problem, hint string) {
	if strings.TrimSpace(s) == "" {
		return "is no query", "write it like SELECT id, email FROM app.users"
	}
	if _, _, err := sqlparams.Bind(s); err != nil {
		return "is not a query: " + err.Error(), dollarHint(err)
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
func (e *Export) Check(d *Checker, j *Job, at path) {
	if d.sure(at, "table", "query") {
		switch hasTable := e.Table.Name != ""; {
		case hasTable && e.Query != "":
			d.problem(at.join("query"), "remove one of them", "table is given too")
		case !hasTable && e.Query == "":
			d.problem(at, "add table: or query:", "it is not said what to export")
		}
	}
	if e.Query != "" {
		d.checkBound(e.Query, "query", j, at)
		if len(e.Columns) > 0 && d.sure(at, "columns") {
			d.problem(at.join("columns"), "name them in the query", "is for a table")
		}
		if len(e.OrderBy) == 0 && e.Consistency == Keyset && d.sure(at, "query", "order_by", "consistency") {
			d.problem(at, "add order_by: with columns that together are unique, or consistency: snapshot", "order_by is missing")
		}
	} else if len(j.Params) > 0 && d.sure(at, "query", "params") {
		d.problem(at.join("params"), "remove them, or export a query", "a table takes no params")
	}
	d.checkNames("columns", e.Columns, at)
	d.checkNames("order_by", e.OrderBy, at)
	d.checkUnused(at, "format", e.Format == NDJSON, csvOnly(), "is for format csv")
	d.checkUnused(at, "consistency", e.Consistency == Keyset, snapshotOnly(), "is for consistency snapshot")
	if !d.sure(at, "delimiter", "null_as") {
		return
	}
	switch {
	case e.Delimiter == '"' || e.Delimiter == '\'':
		d.problem(at.join("delimiter"), `take , or ; or tab`, "is a quote")
	case strings.IndexByte(e.Null, e.Delimiter) >= 0:
		d.problem(at.join("null_as"), "", "holds the delimiter")
	}
}

// checkNames looks at a list of columns.
func (d *Checker) checkNames(field string, names []string, at path) {
	if !d.sure(at, field) {
		return
	}
	for n, name := range names {
		item := at.join(field).join(index(n))
		problem, shown := identProblem(name), d.shown(item, name)
		switch {
		case problem != "":
			d.problem(item, "", "%q %s", shown, problem)
		case slices.Index(names, name) < n:
			d.problem(item, "remove one of them", "%q is there twice", shown)
		}
	}
}

// checkUnused reports fields that are given and mean nothing because of the field cause.
func (d *Checker) checkUnused(at path, cause string, unused bool, fields []string, why string) {
	if !unused || !d.sure(at, cause) {
		return
	}
	for _, name := range fields {
		if d.given(at.join(name)) {
			d.problem(at.join(name), "remove it", "%s", why)
		}
	}
}

type exportDefinition struct {
	Table          Table
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
func (e *Export) Identity() (string, any) {
	return "Export", exportDefinition{
		Table: e.Table, Query: e.Query, Columns: e.Columns, OrderBy: e.OrderBy, Format: e.Format, Compression: e.Compression,
		Header: e.Header, Delimiter: e.Delimiter, LineEnd: e.LineEnd, BOM: e.BOM, Null: e.Null, Formulas: e.Formulas,
		Consistency: e.Consistency,
	}
}

// Limits are the other fields.
func (e *Export) Limits() []any { return []any{e.Ranges, e.Timeout, e.Chunk, e.Expire} }
