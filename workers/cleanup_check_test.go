package workers_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/workers"
)

// What is wrong with a later rule is known before the first one has deleted anything.
func TestCleanupLooksAtAllRulesFirst(t *testing.T) {
	t.Parallel()
	b := setupCleanup(t, `CREATE TABLE logs (id int, at timestamptz); CREATE INDEX ON logs (at); INSERT INTO logs VALUES (1, '2026-01-01');
		CREATE TABLE heap (at timestamptz)`, "rules: [{table: logs, column: at, expired: true}, {table: heap, column: at, expired: true}]")
	info, _ := b.run(t)
	if info.Status != batch.Failed || !strings.Contains(*info.Error, `"heap" has no index`) {
		t.Errorf("%s: %v", info.Status, info.Error)
	}
	if left := b.list(t, "SELECT count(*)::text FROM logs"); left != "1" {
		t.Error("rows of the first rule were deleted")
	}
}

func TestCheckCleanupTellsAllThatIsWrong(t *testing.T) {
	t.Parallel()
	b := setupCleanup(t, `CREATE TABLE logs (id int, at timestamptz); CREATE INDEX ON logs (at); CREATE TABLE heap (at timestamptz)`,
		"rules: [{table: heap, column: at, expired: true}, {table: logs, column: at, expired: true}, {table: logs, column: at, expired: true, where: nothing}]\narchive: csv")
	b.cfg.Storage.URL = ""
	problems, err := workers.CheckCleanup(t.Context(), b.Pool, b.cfg, b.cfg.Jobs["tidy"])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimPrefix(p.Path, "jobs.tidy.")+": "+p.Message)
	}
	want := []string{
		`rules[0].column: table "public"."heap" has no index that begins with at, so it would be read as a whole`,
		`rules[2].where: ERROR: column "nothing" does not exist (SQLSTATE 42703)`,
		"archive: needs storage.url",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
