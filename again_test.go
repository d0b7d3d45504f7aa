package tidemill

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
)

// TestImportOfWhatWasImportedBefore gives files to jobs one after the other: the table is at all times that of the last one.
func TestImportOfWhatWasImportedBefore(t *testing.T) {
	t.Parallel()

	app := setup(t, fmt.Sprintf(`
storage: {url: "file://%s"}
jobs:
  load: {kind: import, table: people, match: [id], on_conflict: update}
  also: {kind: import, table: people, match: [id], on_conflict: update}
  always: {kind: import, table: people, match: [id], on_conflict: update, again: always}
  bad: {kind: import, table: people, match: [id], on_conflict: update, reject_limit: {rows: 0}}
`, t.TempDir()))
	exec := func(sql string) {
		t.Helper()
		if _, err := app.Pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE people (id int PRIMARY KEY, name text)`)
	work(t, app)
	const a, b, none = "id,name\n1,Ada\n", "id,name\n1,Grace\n", "id,name\nx,none\n"
	steps := []struct {
		what, job, content, before string
		existing                   bool
		name                       string // in the table at the end
	}{
		{"A", "load", a, "", false, "Ada"},
		{"A again", "load", a, "", true, "Ada"},
		{"B", "load", b, "", false, "Grace"},
		{"A after B", "load", a, "", false, "Ada"},
		{"A after A after B", "load", a, "", true, "Ada"},
		{"A of another job of the same definition", "also", a, `UPDATE people SET name = 'Joan'`, false, "Ada"},
		{"after TRUNCATE", "load", a, `TRUNCATE people`, false, "Ada"},
		{"after DELETE", "load", a, `DELETE FROM people`, false, "Ada"},
		{"again: always", "always", a, `UPDATE people SET name = 'Joan'`, false, "Ada"},
		{"again: always, once more", "always", a, `UPDATE people SET name = 'Joan'`, false, "Ada"},
		{"first of the job", "bad", a, "", false, "Ada"},
		{"one that fails", "bad", none, "", false, "Ada"},
		{"A after one that failed", "bad", a, `UPDATE people SET name = 'Joan'`, false, "Ada"},
	}
	for _, s := range steps {
		if s.before != "" {
			exec(s.before)
		}
		started, err := app.ImportFile(t.Context(), s.job, "people.csv", strings.NewReader(s.content), ImportOpts{})
		if err != nil {
			t.Fatalf("%s: %v", s.what, err)
		}
		want := batch.Succeeded
		if s.content == none {
			want = batch.Failed
		}
		waitStatus(t, app, started.ID, want)
		if got := must(ask[string](t, app, `SELECT name FROM people`)); started.Existing != s.existing || got != s.name {
			t.Errorf("%s: existing = %v, and the table has %s; want %v, %s", s.what, started.Existing, got, s.existing, s.name)
		}
	}
}

// TestImportsThatWaitKeepTheirOrder starts imports before a worker takes any: A, B, A are three runs, and A, A one.
func TestImportsThatWaitKeepTheirOrder(t *testing.T) {
	t.Parallel()

	app := setup(t, `jobs: {load: {kind: import, table: people, match: [id], on_conflict: update, source: "file:///drop/*.csv"}}`)
	start := func(sum string) *batch.Started {
		t.Helper()
		var started *batch.Started
		err := pgx.BeginFunc(t.Context(), app.Pool, func(tx pgx.Tx) (err error) {
			started, err = importjob.StartFound(app.Ledger)(t.Context(), tx, app.Config.Jobs["load"], importjob.Args{Job: "load", Name: "f", SHA256: sum}, 1)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return started
	}
	var got []string
	for _, sum := range []string{"a", "a", "b", "a", "a", "b"} {
		started := start(sum)
		got = append(got, fmt.Sprint(sum, " ", started.ID, " ", started.Existing))
	}
	if list := strings.Join(got, ", "); list != "a 1 false, a 1 true, b 2 false, a 3 false, a 3 true, b 4 false" {
		t.Error(list)
	}
}
