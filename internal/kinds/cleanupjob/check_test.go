package cleanupjob_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/cleanupjob"
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

// Why an index that seems right is not.
func TestCleanupOfAnIndexThatDoesNotServe(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ index, want string }{
		{"CREATE INDEX i ON logs USING brin (at)", "i is a brin index, which has no order"},
		{"CREATE INDEX i ON logs (at) WHERE id > 5", "i has only rows WHERE (id > 5), and not all that the rule is about"},
		{"CREATE INDEX i ON logs (at); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass", "i is not valid; REINDEX it"},
	} {
		t.Run(tt.index, func(t *testing.T) {
			t.Parallel()
			b := setupCleanup(t, `CREATE TABLE logs (id int, at timestamptz); `+tt.index, "rules: [{table: logs, column: at, expired: true}]")
			info, _ := b.run(t)
			want := `table "public"."logs" has no index that begins with at and can be followed (` + tt.want + `), so it would be read as a whole`
			if info.Status != batch.Failed || !strings.HasPrefix(*info.Error, want) {
				t.Errorf("%s: %s, want %s", info.Status, *info.Error, want)
			}
		})
	}
}

func TestCheckCleanupTellsAllThatIsWrong(t *testing.T) {
	t.Parallel()
	b := setupCleanup(t, `CREATE TABLE logs (id int, at timestamptz); CREATE INDEX ON logs (at); CREATE TABLE heap (at timestamptz)`,
		"rules: [{table: heap, column: at, expired: true}, {table: logs, column: at, expired: true}, {table: logs, column: at, expired: true, where: nothing}]\narchive: csv")
	b.cfg.Storage.URL = ""
	problems, err := cleanupjob.CheckLive(t.Context(), b.Pool, b.cfg, b.cfg.Jobs["tidy"])
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

// All indexes that are missing are named at once: those that a rule walks by, and those of what refers to its table.
func TestCheckCleanupNamesAllMissingIndexes(t *testing.T) {
	t.Parallel()
	b := setupCleanup(t, `
		CREATE TABLE logs (id int PRIMARY KEY, at timestamptz);
		CREATE TABLE notes (log int REFERENCES logs);
		CREATE TABLE tags (log int CONSTRAINT tagged REFERENCES logs);
		CREATE TABLE days (at date) PARTITION BY RANGE (at);
		CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
		CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')`,
		"rules: [{table: logs, column: at, expired: true}, {table: days, column: at, expired: true}]")
	problems, err := cleanupjob.CheckLive(t.Context(), b.Pool, b.cfg, b.cfg.Jobs["tidy"])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		hint, _, _ := strings.Cut(p.Hint, ";")
		got = append(got, strings.TrimPrefix(p.Path, "jobs.tidy.")+": "+hint)
	}
	want := []string{
		"rules[0].table: CREATE INDEX CONCURRENTLY ON public.notes (log)",
		"rules[0].table: CREATE INDEX CONCURRENTLY ON public.tags (log)",
		`rules[0].column: CREATE INDEX CONCURRENTLY ON "public"."logs" ("at")`,
		`rules[1].column: CREATE INDEX CONCURRENTLY ON "public"."days_1" ("at")`,
		`rules[1].column: CREATE INDEX CONCURRENTLY ON "public"."days_2" ("at")`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
