package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/session"
)

// usageError is a mistake in how the command was called.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// hintError carries what to do about an error.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

func withHint(err error, hint string) error { return &hintError{err: err, hint: hint} }

// plainError turns what our SQL functions raise into words for people.
func plainError(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "22023", "0A000", "55000":
		return withHint(errors.New(pg.Message), pg.Hint)
	case "42883":
		return withHint(err, "if the database was not migrated to this version, run: tidemill migrate up")
	}
	return err
}

// exitError ends the command with a code after everything has been said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// exclusiveRE finds the flags in cobra's report of some that exclude each other, the one mistake in usage for which it has
// no hook.
var exclusiveRE = regexp.MustCompile(`^if any flags in the group \[.*\] are set none of the others can be; \[(.*)\] were all set$`)

// asUsage makes a usageError of cobra's reports of wrong usage.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	if flags := exclusiveRE.FindStringSubmatch(err.Error()); flags != nil {
		return &usageError{err: fmt.Errorf("--%s exclude each other", strings.ReplaceAll(flags[1], " ", " and --"))}
	}
	return err
}

// report prints an error the way all commands do and returns the exit code.
func (m *Main) report(err error) int {
	if err == nil {
		return exitOK
	}
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.code
	}
	if list, ok := errors.AsType[field.Errors](err); ok {
		for _, problem := range list {
			fmt.Fprintln(m.Stderr, problem)
		}
		fmt.Fprintf(m.Stderr, "tidemill: the configuration has %s\n", count(int64(len(list)), "problem", "problems"))
		return exitFailed
	}
	fmt.Fprintf(m.Stderr, "tidemill: %s\n", printable(strings.TrimSpace(err.Error())))
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(m.Stderr, "hint: %s\n", hint)
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

func hintOf(err error) string {
	var usage *usageError
	var hinted *hintError
	var live *batch.LiveError
	var state *batch.StateError
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &hinted):
		return hinted.hint
	case errors.As(err, &usage):
		return usage.hint
	case errors.As(err, &live):
		return fmt.Sprintf("tidemill runs watch %d", live.ID)
	case errors.As(err, &state):
		return stateHint(state)
	case errors.Is(err, session.ErrShared), errors.Is(err, session.ErrNotReset): // it says what to do
		return ""
	case errors.As(err, &connect):
		return "is PostgreSQL running, and is database.url (or DATABASE_URL) right?"
	case errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000"):
		return "if the tables are missing, run: tidemill migrate up"
	case isFull(err):
		return "free or add space there, then import again; nothing was started"
	case errors.Is(err, batch.ErrNoRun):
		return "tidemill runs list"
	case errors.Is(err, context.Canceled):
		return ""
	}
	return ""
}

// isFull reports whether there was no room to write.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

func stateHint(err *batch.StateError) string {
	if err.Hint == "" && (err.Status == batch.Paused || err.Status == batch.Pausing) {
		return fmt.Sprintf("tidemill runs resume %d", err.ID)
	}
	return err.Hint
}
