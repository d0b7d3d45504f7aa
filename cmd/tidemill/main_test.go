//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidemill/tidemill/internal/testengine"
)

// TestMain makes the test binary the tidemill command when a script calls it, so that scripts start real processes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tidemill": main})
}

// TestScripts runs testdata/*.txtar, each in a folder and a migrated database of its own.
//
// A script finds DATABASE_URL set and, unless it brings its own, tidemill.yaml and table app.people below. Besides the
// commands of testscript it has those of scriptCommands.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Setup:               setup,
		Cmds:                scriptCommands(),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

const defaultConfig = `database: {url: "${DATABASE_URL}"}
storage: {url: "file://${WORK}/storage"}
metrics: {listen: ""}
queues: {default: 4, other: 1}
retry: {delay: 100ms}
jobs:
  import-people:
    kind: import
    table: app.people
    match: [email]
    on_conflict: skip
    columns: {id: id, email: email, full_name: {field: full_name, trim: true}, country: country, age: age, notes: notes}
    set: {created_at: now on insert}
  import-other:
    kind: import
    queue: other
    table: app.people
    match: [email]
    on_conflict: skip
    columns: {id: id, email: email, full_name: full_name}
    set: {created_at: now on insert}
`

// peopleTable stops at the row that gateID names as long as a script holds the gate shut, so that a script can act
// while a run is known to be in the middle of a chunk.
const peopleTable = `
CREATE SCHEMA app;
CREATE TABLE app.people (
	id bigint, email text PRIMARY KEY, full_name text NOT NULL, country text, age integer, notes text,
	created_at timestamptz NOT NULL
);
CREATE FUNCTION app.gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(4711);
	RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE INSERT ON app.people FOR EACH ROW WHEN (NEW.id = 60001) EXECUTE FUNCTION app.gate()`

func setup(env *testscript.Env) error {
	tb := env.T().(testing.TB)
	url := testengine.URL(tb)
	if err := prepare(url); err != nil {
		return err
	}
	env.Setenv("DATABASE_URL", url)
	env.Setenv("TIDEMILL_CONFIG", "")

	path := filepath.Join(env.WorkDir, "tidemill.yaml")
	if _, err := os.Stat(path); err != nil {
		if err := os.WriteFile(path, []byte(defaultConfig), 0o600); err != nil {
			return err
		}
	}
	w := &world{workers: map[string]*worker{}}
	for _, variable := range env.Vars {
		w.addVariable(variable)
	}
	env.Values[worldKey{}] = w
	env.Defer(func() { w.close(tb) })
	return nil
}

// prepare makes what defaultConfig imports into.
func prepare(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, peopleTable)
	return err
}

// patience is how long a script waits for anything.
const patience = 45 * time.Second
