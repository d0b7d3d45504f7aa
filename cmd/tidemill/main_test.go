//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	tidemillcmd "github.com/tidemill/tidemill/cmd"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidemill/tidemill/internal/testengine"
)

// TestMain makes the test binary the tidemill command, with the kinds of register, where it is called by that name: workers
// run so, with the race detector if the tests do.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tidemill": func() { tidemillcmd.Main(register) }})
}

// TestScripts runs testdata/*.txtar, each in a folder and a migrated database of its own.
//
// A script finds DATABASE_URL set, table app.people and, unless it brings its own, tidemill.yaml; see below. Besides the
// commands of testscript it has those of scriptCommands. Programs that it calls are real processes: tidemill is the
// command as it is shipped, and the workers that it starts are the test binary.
func TestScripts(t *testing.T) {
	t.Parallel()
	plain := t.TempDir()
	// With the race detector a process needs half a second to start, and hides how much memory it needs itself.
	if out, err := exec.Command("go", "build", "-o", filepath.Join(plain, "tidemill"), ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Setup:               func(env *testscript.Env) error { return setup(env, plain) },
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

// peopleTable stops at row 2501 as long as a script holds the gate shut, so that a script can act while a run is known to
// be in the middle: a file of the command wide has that row in its second chunk.
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
CREATE TRIGGER gate BEFORE INSERT ON app.people FOR EACH ROW WHEN (NEW.id = 2501) EXECUTE FUNCTION app.gate()`

func setup(env *testscript.Env, plain string) error {
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
	w := &world{plain: filepath.Join(plain, "tidemill"), tb: tb, workers: map[string]*worker{}}
	var err error
	if w.program, err = lookPath(env.Getenv, "tidemill"); err != nil {
		return err
	}
	env.Setenv("PATH", plain+string(filepath.ListSeparator)+env.Getenv("PATH"))
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
