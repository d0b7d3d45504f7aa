//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tidwall/gjson"

	"github.com/tidemill/tidemill/internal/devdb"
	"github.com/tidemill/tidemill/internal/testdb"
)

type command = func(ts *testscript.TestScript, neg bool, args []string)

// scriptCommands are the commands that scripts have besides those of testscript.
func scriptCommands() map[string]command {
	return map[string]command{
		"answer":     plain(cmdAnswer),
		"encoding":   plain(cmdEncoding),
		"eventually": plain(cmdEventually),
		"exits":      plain(cmdExits),
		"gate":       plain(cmdGate),
		"json":       plain(cmdJSON),
		"longlines":  plain(cmdLongLines),
		"people":     plain(cmdPeople),
		"pgbouncer":  plain(cmdPgBouncer),
		"publicdir":  plain(cmdPublicDir),
		"s3":         plain(cmdS3),
		"server":     plain(cmdServer),
		"smalldisk":  plain(cmdSmallDisk),
		"sql":        plain(cmdSQL),
		"tty":        plain(cmdTTY),
		"unclosed":   plain(cmdUnclosed),
		"wide":       plain(cmdWide),
		"worker":     plain(cmdWorker),
	}
}

// plain makes a command of a function that returns what went wrong.
func plain(fn func(ts *testscript.TestScript, args []string) error) command {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command cannot be negated")
		}
		if err := fn(ts, args); err != nil {
			ts.Fatalf("%v", err)
		}
	}
}

// exits CODE PROGRAM [ARG…] runs a program that must end with exactly this code.
func cmdExits(ts *testscript.TestScript, args []string) error {
	code, err := exitCode(ts.Exec(args[1], args[2:]...))
	if err != nil {
		return err
	}
	if strconv.Itoa(code) != args[0] {
		return fmt.Errorf("exit code %d, want %s", code, args[0])
	}
	return nil
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// sql STATEMENT prints the rows, one a line, columns separated by |. Without DATABASE_URL it asks the database of up.
func cmdSQL(ts *testscript.TestScript, args []string) error {
	url := ts.Getenv("DATABASE_URL")
	if url == "" {
		url = ts.ReadFile(".tidemill/database_url")
	}
	out, err := query(url, args[0])
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(ts.Stdout(), out)
	return err
}

func query(url, statement string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	results, err := conn.PgConn().Exec(ctx, statement).ReadAll()
	if err != nil {
		return "", fmt.Errorf("%s: %w", statement, err)
	}
	var out strings.Builder
	for _, result := range results {
		for _, row := range result.Rows {
			cells := make([]string, len(row))
			for i, cell := range row {
				cells[i] = string(cell)
			}
			fmt.Fprintln(&out, strings.Join(cells, "|"))
		}
	}
	return out.String(), nil
}

// eventually PATTERN sql STATEMENT, or PATTERN PROGRAM [ARG…], repeats it until its standard output matches.
func cmdEventually(ts *testscript.TestScript, args []string) error {
	pattern, err := regexp.Compile("(?m)" + args[0])
	if err != nil {
		return err
	}
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var out string
		var err error
		if args[1] == "sql" {
			out, err = query(ts.Getenv("DATABASE_URL"), args[2])
		} else {
			_ = ts.Exec(args[1], args[2:]...)
			out = ts.ReadFile("stdout")
		}
		if pattern.MatchString(out) {
			_, err := fmt.Fprint(ts.Stdout(), out)
			return err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("no match for %q within %s; the last answer was %q, error %v", args[0], patience, out, err)
		}
	}
}

// json [PATH VALUE]… requires the last standard output to be one JSON value with these values at these paths.
func cmdJSON(ts *testscript.TestScript, args []string) error {
	out := ts.ReadFile("stdout")
	if !json.Valid([]byte(out)) {
		return fmt.Errorf("standard output is not JSON: %s", out)
	}
	if len(args)%2 != 0 {
		return fmt.Errorf("%d arguments, want pairs of a path and a value", len(args))
	}
	for ; len(args) > 0; args = args[2:] {
		if got := gjson.Get(out, args[0]).String(); got != args[1] {
			return fmt.Errorf("%s is %q, want %q, in %s", args[0], got, args[1], out)
		}
	}
	return nil
}

// gate shut|open holds or releases the row with id 2501; see peopleTable. gate wait waits until a run is there.
func cmdGate(ts *testscript.TestScript, args []string) error {
	w := worldOf(ts)
	switch args[0] {
	case "open":
		w.openGate()
		return nil
	case "wait":
		return cmdEventually(ts, []string{"^1$", "sql", `SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
			WHERE datname = current_database() AND locktype = 'advisory' AND objid = 4711 AND NOT granted`})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return w.shutGate(ctx, ts.Getenv("DATABASE_URL"))
}

// server start|stop runs a PostgreSQL of the script's own, at the same address and with the same data each time.
func cmdServer(ts *testscript.TestScript, args []string) error {
	w, link := worldOf(ts), ts.MkAbs("pg")
	if args[0] == "stop" {
		db := w.server
		w.server = nil
		return errors.Join(os.Remove(link), db.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if w.serverDir == "" {
		dir, err := publicDir(ts)
		if err != nil {
			return err
		}
		w.serverDir = filepath.Join(dir, "postgres")
	}
	db, err := devdb.Start(ctx, &devdb.Opts{Dir: w.serverDir})
	if err != nil {
		return err
	}
	w.server = db
	// The socket's folder has another name after each start; the link does not.
	config, err := pgx.ParseConfig(db.URL())
	if err != nil {
		return err
	}
	ts.Setenv("DATABASE_URL", fmt.Sprintf("postgres:///%s?host=%s&port=%d&user=%s", config.Database, link, config.Port, config.User))
	return os.Symlink(config.Host, link)
}

// encoding NAME makes an empty database of that encoding the one of DATABASE_URL.
func cmdEncoding(ts *testscript.TestScript, args []string) error {
	ts.Setenv("DATABASE_URL", testdb.Encoded(worldOf(ts).tb, args[0]))
	return nil
}

// publicdir NAME makes a folder and sets NAME to its path.
func cmdPublicDir(ts *testscript.TestScript, args []string) error {
	dir, err := publicDir(ts)
	ts.Setenv(args[0], dir)
	return err
}

// publicDir makes a folder that a PostgreSQL can enter which does not run as root; the script's own is closed to it.
func publicDir(ts *testscript.TestScript) (string, error) {
	dir, err := os.MkdirTemp("", "tidemill-scripts-")
	if err != nil {
		return "", err
	}
	ts.Defer(func() { _ = os.RemoveAll(dir) })
	return dir, os.Chmod(dir, 0o755)
}
