package statement

import (
	"context"
	"errors"
	"regexp"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/sqlparams"
)

// Statement is a statement of the configuration as PostgreSQL takes it.
type Statement struct {
	Source string   // as it is in the configuration
	Text   string   // with $1, $2, …
	Names  []string // of $1, $2, …
}

// A COPY that reads from the client or writes to it would wait for a client that does not know it.
var copyRE = regexp.MustCompile(`(?is)^(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*copy\b.*\b(?:from\s+stdin|to\s+stdout)\b`)

func Bind(source string) (*Statement, error) {
	if copyRE.MatchString(source) {
		return nil, errors.New("COPY … FROM STDIN and TO STDOUT have no file here; load a file with kind import")
	}
	text, names, err := sqlparams.Bind(source)
	if err != nil {
		return nil, err
	}
	return &Statement{Source: source, Text: text, Names: names}, nil
}

// With is the statement with other texts in place of its names, by number from 1.
func (s *Statement) With(text func(n int) string) (string, error) {
	return sqlparams.Replace(s.Source, text)
}

// FindBadParam finds the parameter that made a statement fail with err because its value does not fit the type that the
// statement has for it, and the error for that. PostgreSQL reports it as it does any other bad value, so each is tried
// alone.
func FindBadParam(ctx context.Context, pg *pgconn.PgConn, err error, oids []uint32, values [][]byte) (int, error) {
	if !IsBadValue(err) {
		return 0, nil
	}
	for i, value := range values {
		if value == nil {
			continue
		}
		if _, err := pg.ExecParams(ctx, "SELECT $1", values[i:i+1], oids[i:i+1], nil, nil).Close(); IsBadValue(err) {
			return i, err
		}
	}
	return 0, nil
}
