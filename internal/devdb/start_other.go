//go:build !linux && !darwin

package devdb

import (
	"context"
	"errors"
)

type server struct{ logFile string }

// Start returns an error: a private server needs Unix process groups and sockets.
func Start(context.Context, *Opts) (*DB, error) {
	return nil, errors.New("a private PostgreSQL can be started on Linux and macOS only: set DATABASE_URL to a database that you have")
}

// Close does nothing.
func (db *DB) Close() error { return nil }
