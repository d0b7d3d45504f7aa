package bulk

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// RowError says why the table does not take a row. It is data, not an error: the run continues.
type RowError struct {
	// Row is the index into the batch. From [Batch.Append] it is the index that the row would have got.
	Row int
	// Code is the SQLSTATE.
	Code string
	// Constraint and Column are empty if unknown.
	Constraint, Column string
	// Message is a plain sentence in lower case. Text that comes from the server is in the server's language.
	Message string
}

// shown is how many characters of a value appear in a message.
const shown = 60

// show quotes a value for a message.
func show(v []byte) string {
	if utf8.RuneCount(v) <= shown {
		return fmt.Sprintf("%q", v)
	}
	end := 0
	for range shown {
		_, size := utf8.DecodeRune(v[end:])
		end += size
	}
	return fmt.Sprintf("%q...", v[:end])
}

// refusal is the sentence for a value that column c does not take.
func refusal(code string, c *Column, v []byte) string {
	switch code {
	case codeBadEncoding:
		if utf8.Valid(v) {
			return fmt.Sprintf("column %q: %s contains a NUL byte, which text cannot hold", c.Name, show(v))
		}
		return fmt.Sprintf("column %q: %s is not valid UTF-8", c.Name, show(v))
	case codeBadDatetime:
		if u := unclearDate(v); u != nil && hasDates(c.BaseOID) {
			return u.why(c)
		}
	case codeOutOfRange:
		return fmt.Sprintf("column %q: %s is out of range for type %s", c.Name, show(v), c.TypeName)
	case codeDatetimeOver:
		return fmt.Sprintf("column %q: there is no such date as %s", c.Name, show(v))
	case codeTooLong:
		return fmt.Sprintf("column %q: %s has %d characters, too long for type %s", c.Name, show(v), utf8.RuneCount(v), c.TypeName)
	}
	return fmt.Sprintf("column %q: %s is not of type %s", c.Name, show(v), c.TypeName)
}

// fromServer turns an error of the server into that of a row.
func (w *Writer) fromServer(row int, e *pgconn.PgError) RowError {
	out := RowError{Row: row, Code: e.Code, Constraint: e.ConstraintName, Column: e.ColumnName, Message: e.Message}
	if e.TableName == stageName { // it has the table's constraints
		out.Message = strings.ReplaceAll(out.Message, `"`+stageName+`"`, `"`+w.table.Name+`"`)
	}
	if out.Column == "" {
		out.Column = contextColumn(e.Where, w.columns)
	}
	if e.Code == codeForeignKey || e.Code == codeUnique || e.Code == codeExclusion {
		if e.Detail != "" { // names the key; for other codes it is the whole row
			out.Message += ": " + e.Detail
		}
	} else if out.Column != "" && !strings.Contains(out.Message, `"`+out.Column+`"`) {
		out.Message = fmt.Sprintf("column %q: %s", out.Column, out.Message)
	}
	const longest = 400
	if utf8.RuneCountInString(out.Message) > longest {
		out.Message = string([]rune(out.Message)[:longest]) + "..."
	}
	return out
}

// rowFault reports whether the server's error is to be blamed on a row: its values (22), constraints (23), a view's CHECK OPTION
// (44), an exception of PL/pgSQL (P0), of a trigger (09, 27) or of a query in one (21), and what is too large for an index, a
// page (54000) or the server's stack (54001). 22P04 is the exception, it says that the stream itself is not as announced.
// What a trigger raises under a code of its own is about the row, too, but for the codes that ask for another try.
func rowFault(e *pgconn.PgError) bool {
	switch e.Code {
	case "22P04":
		return false
	case "54000", "54001":
		return true
	}
	return hasClass(e.Code, "09", "21", "22", "23", "27", "44", "P0") || e.Routine == raised && !hasClass(e.Code, "08", "40", "53", "55", "57")
}

// raised is the place in the server where RAISE reports.
const raised = "exec_stmt_raise"

func hasClass(code string, classes ...string) bool {
	return slices.ContainsFunc(classes, func(class string) bool { return strings.HasPrefix(code, class) })
}
