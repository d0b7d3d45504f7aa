package testdb

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// Main runs the tests of a package whose examples connect to DATABASE_URL as a program would: it sets that variable to an
// empty database of theirs, and drops it at the end.
func Main(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testdb: the database of the examples:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	s, err := shared() // before the variable changes: the tests share this server, too
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), queryBound)
	defer cancel()
	database, err := s.create(ctx, "")
	if err != nil {
		return 0, err
	}
	if err := os.Setenv("DATABASE_URL", s.databaseURL(database)); err != nil {
		return 0, err
	}
	code = m.Run()
	return code, s.drop(database)
}
