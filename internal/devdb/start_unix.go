//go:build linux || darwin

package devdb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// socketPort names the socket's file. The folder is private, so that it cannot be taken.
const socketPort = 5432

// portTries bounds how often a free port may be taken by another process before the server has it.
const portTries = 5

// Start starts a server and returns when it accepts connections; nil opts are the zero value. It takes about a second,
// longer if programs are downloaded or a kept folder was not left clean: ctx alone bounds it. An error leaves nothing
// behind, except what is in Dir.
//
// A *NotFoundError says that there is no PostgreSQL to start.
func Start(ctx context.Context, opts *Opts) (*DB, error) {
	if opts == nil {
		opts = &Opts{}
	}
	for try := 1; ; try++ {
		db, err := start(ctx, opts)
		if err == nil {
			return db, nil
		}
		if try == portTries || !errors.Is(err, errPortTaken) {
			return nil, err
		}
	}
}

// Close stops the server, ending its sessions, and returns when nothing of it is left. The data is removed unless Opts
// named a folder for it. Close may be called again.
func (db *DB) Close() error {
	if err := db.server.close(); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return nil
}

func start(ctx context.Context, opts *Opts) (_ *DB, err error) {
	h, err := openHome(ctx, opts.Dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	progs, err := findPrograms(ctx, opts, h.major)
	if err != nil {
		return nil, err
	}
	if err := h.openScratch(opts.TempDir); err != nil {
		return nil, err
	}
	db := &DB{binDir: progs.dir, port: socketPort, socketDir: h.scratch, tcp: opts.TCP}
	if opts.TCP {
		if db.port, err = freePort(); err != nil {
			return nil, err
		}
	}
	if db.server, err = launch(h, progs, serverArguments(opts, db)); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := db.server.waitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), db.Close())
	}
	if opts.TCP {
		if err := db.setPassword(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("set the password of PostgreSQL: %w", err), db.Close())
		}
	}
	return db, nil
}

// setPassword gives the superuser a new password at each start, so that none needs to be kept beside the data. The
// socket asks for none.
func (db *DB) setPassword(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, db.socketURL(superuser))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	password := rand.Text() // letters and digits: needs no quoting
	if _, err := conn.Exec(ctx, "ALTER ROLE "+superuser+" PASSWORD '"+password+"'"); err != nil {
		return err
	}
	db.password = password
	return nil
}

// serverArguments puts the caller's settings after ours, which they replace, and before where the server listens.
func serverArguments(opts *Opts, db *DB) []string {
	settings := map[string]string{
		"log_timezone":    "UTC",
		"max_connections": "200",
		"shared_buffers":  "32MB",
		"timezone":        "UTC",
	}
	if opts.Durable {
		settings["shared_buffers"] = "128MB"
	} else {
		settings["dynamic_shared_memory_type"] = "mmap" // files in the data, which go with it even after a SIGKILL
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		settings["synchronous_commit"] = "off"
	}
	maps.Copy(settings, opts.Settings)
	settings["external_pid_file"] = ""
	settings["listen_addresses"] = ""
	if opts.TCP {
		settings["listen_addresses"] = "127.0.0.1"
	}
	settings["log_destination"] = "stderr"
	settings["logging_collector"] = "off" // its process would outlive the server by a moment, and keep files in the data
	settings["port"] = strconv.Itoa(db.port)
	settings["unix_socket_directories"] = db.socketDir
	settings["unix_socket_permissions"] = "0700"
	args := make([]string, 0, 2*len(settings))
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// freePort returns a port that was free a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port for PostgreSQL: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("free port for PostgreSQL: %w", err)
	}
	return port, nil
}

// socketFits reports whether the path of the server's socket in dir is as short as the system wants it.
func socketFits(dir string) bool {
	return len(filepath.Join(dir, ".s.PGSQL.65535.lock")) <= 103 // 104 bytes on macOS and 108 on Linux, with a zero
}
