// Package devdb starts a private PostgreSQL server for whoever has none: `demo`, `up` and the tests.
//
// The server's programs are those of the machine, or are downloaded once if it has none. The server listens on a
// Unix socket in a folder that only its owner can enter, or also on a free loopback port with a random password. It
// ends with the process that started it, in whatever way that process ends, SIGKILL included: a small watchdog
// holds the reading end of a pipe that only this process can write to, and stops the server when the pipe closes.
//
// PostgreSQL refuses to run as root. A root process runs the server as the user postgres, or nobody.
package devdb

import (
	"net/url"
	"path/filepath"
	"strconv"
)

// MinVersion is the oldest major version of PostgreSQL that Start accepts.
const MinVersion = 14

// superuser is the role that initdb creates and that the URLs name.
const superuser = "postgres"

// Opts configures Start; the zero value is a throw-away server.
type Opts struct {
	// BinDir is the folder that holds initdb and postgres. Empty: they are searched for, then downloaded.
	BinDir string

	// CacheDir is where downloaded programs are kept. Empty: a folder of the user's cache, or /var/cache/tidemill
	// for root. The user that the server runs as must be able to read it.
	CacheDir string

	// Dir is where the data is kept between starts; it is created if it does not exist. Empty: a new temporary
	// folder, removed when the server stops.
	Dir string

	// Durable makes commits survive a crash of the machine. Without it fsync, synchronous_commit and
	// full_page_writes are off, which is only for data that may be lost.
	Durable bool

	// Repository is the address of the Maven repository that programs are downloaded from. Empty: Maven Central.
	Repository string

	// Search lists the folders in which initdb and postgres are looked for, in order; a pattern of filepath.Match
	// stands for what it matches, highest version first. Nil: those of PATH, then the folders of known
	// distributions. Empty but not nil: nowhere.
	Search []string

	// Settings are further server settings, such as max_connections (default 200). They cannot change where the
	// server listens.
	Settings map[string]string

	// TempDir is where the temporary folder is made. Empty: the system's folder for temporary files, or /tmp if that
	// is too long for a socket or not open to the user that the server runs as.
	TempDir string

	// TCP makes the server listen on a free port of 127.0.0.1 too, and URL point there.
	TCP bool
}

// DB is a running server. It must be kept until Close: the server is stopped as well when a DB is garbage collected.
type DB struct {
	binDir    string
	password  string // of the superuser over TCP; the socket needs none
	port      int
	server    *server
	socketDir string
	tcp       bool
}

// BinDir is the folder of the programs that the server runs from. A downloaded one has no psql.
func (db *DB) BinDir() string { return db.binDir }

// DatabaseURL is the URL of the database called name of this server, as the superuser.
func (db *DB) DatabaseURL(name string) string {
	if db.tcp {
		u := url.URL{
			Scheme:   "postgres",
			User:     url.UserPassword(superuser, db.password),
			Host:     "127.0.0.1:" + strconv.Itoa(db.port),
			Path:     "/" + name,
			RawQuery: "sslmode=disable",
		}
		return u.String()
	}
	return db.socketURL(name)
}

// LogFile is the path of the server's log. It goes with the temporary folder, if the data is in one.
func (db *DB) LogFile() string { return db.server.logFile }

// URL is the URL of the database "postgres" as the superuser.
func (db *DB) URL() string { return db.DatabaseURL("postgres") }

// socketURL names the folder in the query, where libpq and pgx both accept a path.
func (db *DB) socketURL(name string) string {
	query := url.Values{
		"host": {filepath.ToSlash(db.socketDir)},
		"port": {strconv.Itoa(db.port)},
		"user": {superuser},
	}
	u := url.URL{Scheme: "postgres", Path: "/" + name, RawQuery: query.Encode()}
	return "postgres://" + u.EscapedPath() + "?" + u.RawQuery
}
