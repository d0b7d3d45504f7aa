package migrations

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/testdb"
)

// A step locks first what it alters, in the order river_job, run, the rest by name: then nobody waits for one of its locks while it waits
// for another, and two steps never wait for each other.
func TestStepsSayWhatTheyLock(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	pool := testdb.Pool(t, testdb.URL(t))
	schema := Schema{Name: "tm", River: "rv"}
	if _, err := Up(ctx, pool, schema, nil); err != nil {
		t.Fatal(err)
	}
	steps, err := load()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	check := func(kind string, step Step, sql string) {
		var said []string
		for _, lock := range locksOf(sql) {
			said = append(said, lock.Table)
		}
		if want := locked(t, conn.Conn(), schema, sql); !slices.Equal(want, said) {
			t.Errorf("%03d_%s.%s.sql needs the first line\n-- locks: %s\nand has %v", step.Version, step.Name, kind, strings.Join(want, ", "), said)
		}
	}
	for _, step := range slices.Backward(steps) {
		check("down", step, step.down)
	}
	for _, step := range steps {
		check("up", step, step.up)
	}
}

// locked runs a step and returns which tables, of those that were there, it has locked so that others cannot write.
func locked(t *testing.T, conn *pgx.Conn, schema Schema, sql string) []string {
	t.Helper()
	ctx := context.Background()
	var tables []string
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		names := map[uint32]string{}
		rows, err := tx.Query(ctx, `SELECT oid, CASE relnamespace WHEN 'tm'::regnamespace THEN '{tidemill}.' ELSE '{river}.' END || relname FROM pg_class
			WHERE relkind = 'r' AND relnamespace IN ('tm'::regnamespace, 'rv'::regnamespace)`)
		if err != nil {
			return err
		}
		var oid uint32
		var name string
		if _, err := pgx.ForEachRow(rows, []any{&oid, &name}, func() error { names[oid] = name; return nil }); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, schema.SQL(sql), pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `SELECT DISTINCT relation FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
			AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`)
		if err != nil {
			return err
		}
		_, err = pgx.ForEachRow(rows, []any{&oid}, func() error {
			if name, was := names[oid]; was {
				tables = append(tables, name)
			}
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	first := func(table string) int {
		return -max(2*strings.Count(table, ".river_job"), strings.Count(table+" ", ".run "))
	}
	slices.SortFunc(tables, func(a, b string) int {
		if d := first(a) - first(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return tables
}

// What reads a large table whole while others are locked out of it takes minutes where there are millions of rows.
func TestStepsReadNoLargeTable(t *testing.T) {
	t.Parallel()

	const firstLater = 6 // those before come before the first release
	large := `\{(?:river|tidemill)\}\.(?:river_job|run|run_reject|tick|source_file|message_claim|artifact_part|child_delta|event)\b`
	scans := map[string]*regexp.Regexp{
		"builds an index of": regexp.MustCompile(`(?is)CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?\w+\s+ON\s+` + large),
		"checks or rewrites": regexp.MustCompile(`(?is)ALTER\s+TABLE\s+` + large + `[^;]*\b(?:ADD\s+(?:CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY)|SET\s+NOT\s+NULL|TYPE|VALIDATE)\b`),
	}
	steps, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if step.Version < firstLater {
			continue
		}
		for what, pattern := range scans {
			if pattern.MatchString(step.up) {
				t.Errorf("%03d_%s.up.sql %s a table that may be large", step.Version, step.Name, what)
			}
		}
	}
}

func TestLocksOf(t *testing.T) {
	t.Parallel()

	got := fmt.Sprint(locksOf("-- locks: {river}.river_job, {tidemill}.run\nALTER …"), locksOf("-- A table.\n-- locks: {tidemill}.run"))
	if diff := cmp.Diff("[{{river}.river_job ACCESS EXCLUSIVE} {{tidemill}.run ACCESS EXCLUSIVE}] []", got); diff != "" {
		t.Error(diff)
	}
}

// A database need not be UTF-8, and takes no character that it cannot hold, not even in the comment of a function.
func TestStepsAreASCII(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("sql/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for number, line := range strings.Split(string(text), "\n") {
			if strings.ContainsFunc(line, func(r rune) bool { return r > unicode.MaxASCII }) {
				t.Errorf("%s:%d: %s", file, number+1, line)
			}
		}
	}
}
