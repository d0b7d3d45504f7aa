package bulk

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// RowError says why the table does not take a row. It is data, not an error: the run goes on.
type RowError struct {
	// Row is the index into the batch. From [Batch.Append] it is the index that the row would have got.
	Row int
	// Code is the SQLSTATE, of class 22 or 23.
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

// rowFault returns the server's error if it is to be blamed on a row: class 22 or 23. 22P04 is the exception, it says
// that the stream itself is not as announced.
func rowFault(e *pgconn.PgError) bool {
	return e.Code != "22P04" && (strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "23"))
}
