package batch

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Class says what is to be done about an error of a chunk.
type Class int

const (
	Other     Class = iota // a bug or the worker's own error: the attempt fails
	Transient              // the database was busy, away or restarted: the chunk is repeated
	Row                    // one row is at fault, what it holds or what a trigger says of it: it can be found and put aside
	Config                 // the definition, the rights or the schema are wrong: no retry fixes it
)

// Classify sorts an error by its SQLSTATE (PostgreSQL, Appendix A) or by what became of the connection.
func Classify(err error) Class {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyCode(pg.Code)
	}
	// A connection that timed out counts as away, whoever set the timeout: it may be the connection's own. Whether its context
	// has ended, the caller knows.
	var connect *pgconn.ConnectError
	var network *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return Other
	case errors.As(err, &connect), errors.As(err, &network), pgconn.SafeToRetry(err),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return Transient
	}
	return Other
}

func classifyCode(code string) Class {
	switch {
	case code == "40001", code == "40P01", code == "55P03", code == "25P03":
		return Transient
	}
	switch {
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P0"), strings.HasPrefix(code, "53"):
		return Transient
	case rowCode(code):
		return Row
	case strings.HasPrefix(code, "42"), strings.HasPrefix(code, "28"), strings.HasPrefix(code, "3D"), strings.HasPrefix(code, "3F"):
		return Config
	}
	return Other
}

// rowCode says which codes are about one row: its values (22), constraints (23), a view's CHECK OPTION (44), an exception of
// PL/pgSQL, as RAISE makes it (P0), of a trigger (09, 27) or of a query in one (21), and what is too large for an index, a
// page (54000) or the server's stack (54001). internal/bulk and the clean-up in workers go by the same list.
func rowCode(code string) bool {
	if code == "54000" || code == "54001" {
		return true
	}
	for _, class := range []string{"09", "21", "22", "23", "27", "44", "P0"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// These end an attempt without failing it. Run.Chunk returns them, and the work function passes them on; a chunk's function
// never sees them.
var (
	// ErrPaused: somebody asked for a pause; the last chunk is committed.
	ErrPaused = errors.New("run paused")
	// ErrCancelled: somebody asked to cancel; what is committed is kept.
	ErrCancelled = errors.New("run cancelled")
	// ErrDraining: this process is about to end; another continues.
	ErrDraining = errors.New("process is draining")
	// ErrLeaseLost: another attempt owns the run; nothing of this one was committed since.
	ErrLeaseLost = errors.New("another attempt owns the run")
	// ErrStalled: no chunk was committed for the stall time; this one is a failure of the attempt.
	ErrStalled = errors.New("no progress within the stall time")
)

// errFinal says that the run's outcome is committed already.
var errFinal = errors.New("run is final")

// sqlState returns the SQLSTATE of a server's error, or "".
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}
