package statement

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/retry"
)

const (
	QueryCanceled = "57014"
	syntaxError   = "42601"
)

// Code returns the SQLSTATE of a server's error, or "".
func Code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// IsBadValue reports whether the server refused a value: what does not fit a type (22), or the rules of a domain (23).
func IsBadValue(err error) bool {
	code := Code(err)
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23")
}

// IsOurs reports whether the server refused a statement for what it says, and not for the server's own state or the connection's.
func IsOurs(err error) bool { return Code(err) != "" && batch.Classify(err) != batch.Transient }

// sqlError is a server's error in our words.
type sqlError struct {
	text string
	err  error
}

func (e *sqlError) Error() string { return e.text }
func (e *sqlError) Unwrap() error { return e.err }

// Mark describes an error of the statement, as permanent if no retry can fix it.
func (s *Statement) Mark(err error) error {
	described := fmt.Errorf("statement: %w", s.Describe(err))
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Where != "" { // the line within a function
		described = fmt.Errorf("%w; %s", described, strings.ReplaceAll(pg.Where, "\n", "; "))
	}
	if batch.Classify(err) == batch.Config || strings.HasPrefix(Code(err), "0A") { // 0A: not supported
		return retry.Permanent(described)
	}
	return described
}

// Describe says what is wrong and where in the statement. Errors that are not the server's are returned as they are.
func (s *Statement) Describe(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	// The words are in the server's language, so the place that reports tells which syntax error it is.
	if pg.Code == syntaxError && pg.Routine == "exec_parse_message" {
		return &sqlError{"there are several statements, and a job has one; put them into a procedure and CALL it", err}
	}
	var b strings.Builder
	if pg.Position > 0 {
		line, column := s.place(int(pg.Position))
		fmt.Fprintf(&b, "line %d, column %d: ", line, column)
	}
	b.WriteString(s.named(pg))
	fmt.Fprintf(&b, " (SQLSTATE %s)", pg.Code)
	for _, more := range []string{pg.Detail, pg.Hint} {
		if more != "" {
			b.WriteString("; " + strings.ReplaceAll(more, "\n", "; "))
		}
	}
	return &sqlError{b.String(), err}
}

var numberedRE = regexp.MustCompile(`\$\d+`)

// named is the message with the names of params in place of their numbers. Only errors of the statement itself (42) tell
// numbers; in others the same text is a user's.
func (s *Statement) named(pg *pgconn.PgError) string {
	if !strings.HasPrefix(pg.Code, "42") {
		return pg.Message
	}
	return numberedRE.ReplaceAllStringFunc(pg.Message, func(number string) string {
		if n, err := strconv.Atoi(number[1:]); err == nil && n >= 1 && n <= len(s.Names) {
			return ":" + s.Names[n-1]
		}
		return number
	})
}

// place turns a position in the text that PostgreSQL got, in characters from 1, into line and column of the source,
// likewise. The texts differ only where one has $1, with a space before it if need be, and the other :name.
func (s *Statement) place(position int) (line, column int) {
	source, text := []rune(s.Source), []rune(s.Text)
	at := 0 // in source
	for i := 0; i < min(position-1, len(text)) && at < len(source); at++ {
		if text[i] == source[at] {
			i++
			continue
		}
		if text[i] == ' ' {
			i++
		}
		digits := i + 1
		for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
			digits++
		}
		n, err := strconv.Atoi(string(text[i+1 : digits]))
		if err != nil || n < 1 || n > len(s.Names) || digits > position-1 {
			break // within the placeholder, which begins here
		}
		at += len([]rune(s.Names[n-1])) // the colon is the loop's step
		i = digits
	}
	line, column = 1, 1
	for _, r := range source[:min(at, len(source))] {
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}
