//go:build linux

package main

import (
	"bufio"
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
	"github.com/tidemill/tidemill/internal/sampledata"
)

type command = func(ts *testscript.TestScript, neg bool, args []string)

// scriptCommands are the commands that scripts have besides those of testscript.
func scriptCommands() map[string]command {
	return map[string]command{
		"build":      plain(cmdBuild),
		"eventually": plain(cmdEventually),
		"exits":      plain(cmdExits),
		"gate":       plain(cmdGate),
		"json":       plain(cmdJSON),
		"longlines":  plain(cmdLongLines),
		"people":     plain(cmdPeople),
		"server":     plain(cmdServer),
		"smalldisk":  plain(cmdSmallDisk),
		"sql":        plain(cmdSQL),
		"tty":        plain(cmdTTY),
		"unclosed":   plain(cmdUnclosed),
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

// build FILE makes the command without the race detector, whose memory would hide the command's own.
func cmdBuild(ts *testscript.TestScript, args []string) error {
	out, err := exec.Command("go", "build", "-o", ts.MkAbs(args[0]), ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
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

// sql STATEMENT prints the rows, one a line, columns separated by |.
func cmdSQL(ts *testscript.TestScript, args []string) error {
	out, err := query(ts.Getenv("DATABASE_URL"), args[0])
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
	for ; len(args) >= 2; args = args[2:] {
		if got := gjson.Get(out, args[0]).String(); got != args[1] {
			return fmt.Errorf("%s is %q, want %q, in %s", args[0], got, args[1], out)
		}
	}
	return nil
}

// gate shut|open holds or releases the row with id 60001; see peopleTable.
func cmdGate(ts *testscript.TestScript, args []string) error {
	w := worldOf(ts)
	if args[0] == "open" {
		w.openGate()
		return nil
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
		// The server does not run as root, so that the script's own folder is closed to it.
		dir, err := os.MkdirTemp("", "tidemill-scripts-")
		if err != nil {
			return err
		}
		ts.Defer(func() { _ = os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil {
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

// people FILE ROWS [BAD] writes made-up people, with ascending ids, one in a hundred twice.
func cmdPeople(ts *testscript.TestScript, args []string) error {
	opts := sampledata.PeopleOpts{Seed: 1, DuplicateRatio: 0.01}
	var err error
	if opts.Rows, err = strconv.Atoi(args[1]); err != nil {
		return err
	}
	if len(args) > 2 {
		if opts.Bad, err = strconv.Atoi(args[2]); err != nil {
			return err
		}
	}
	var stats sampledata.PeopleStats
	err = writeFile(ts.MkAbs(args[0]), func(w *bufio.Writer) error {
		stats, err = sampledata.WritePeople(w, opts)
		return err
	})
	ts.Setenv("DISTINCT", strconv.Itoa(stats.Distinct))
	return err
}

// unclosed FILE MIB writes a file of that size whose second row opens a quote that nothing closes; behind it are lines of
// 4 KiB. It sets ROWS to the number of rows that are good.
func cmdUnclosed(ts *testscript.TestScript, args []string) error {
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	rows, written := 1, 0
	err = writeFile(ts.MkAbs(args[0]), func(w *bufio.Writer) error {
		fmt.Fprintln(w, "id,email,full_name,country,age,notes\n1,one@example.com,One,,,\n"+`2,two@example.com,"Two,,,`)
		padding := strings.Repeat("x", 4<<10)
		for written < size<<20 {
			rows++
			n, err := fmt.Fprintf(w, "%d,p%d@example.com,Name,,,%s\n", rows+1, rows, padding)
			if err != nil {
				return err
			}
			written += n
		}
		return nil
	})
	ts.Setenv("ROWS", strconv.Itoa(rows))
	return err
}

// longlines FILE LINES MIB writes a file of one good row and lines of that size, each of which begins with a quote.
func cmdLongLines(ts *testscript.TestScript, args []string) error {
	lines, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	return writeFile(ts.MkAbs(args[0]), func(w *bufio.Writer) error {
		fmt.Fprint(w, "id,email,full_name,country,age,notes\n1,one@example.com,One,,,")
		padding := strings.Repeat("x", 1<<20)
		for range lines {
			fmt.Fprint(w, "\n\"")
			for range size {
				if _, err := w.WriteString(padding); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func writeFile(path string, fill func(*bufio.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(file, 1<<20)
	return errors.Join(fill(w), w.Flush(), file.Close())
}
