package house

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whoever reads a SQL function reads the one that runs. Nothing is released yet, so a change is made in place; from the first release
// on a migration that was released may not change, and a file after it may then replace a function of it.
func TestMigrationsCreateEachFunctionOnce(t *testing.T) {
	t.Parallel()
	report(t, checkFunctionsOnce(setup(t)))
}

var createsFunctionRE = regexp.MustCompile(`(?im)^\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\s+\{tidemill\}\.(\w+)`)

func checkFunctionsOnce(r *repository) []string {
	var problems []string
	created := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(r.texts)) {
		if !strings.HasPrefix(name, "migrations/sql/") || !strings.HasSuffix(name, ".sql") {
			continue
		}
		text := r.texts[name]
		for _, match := range createsFunctionRE.FindAllStringSubmatchIndex(text, -1) {
			where := fmt.Sprintf("%s:%d", name, 1+strings.Count(text[:match[2]], "\n"))
			function := text[match[2]:match[3]]
			switch first, twice := created[function]; {
			case strings.HasSuffix(name, ".down.sql"):
				problems = append(problems, fmt.Sprintf("%s: a step down creates function %s; let it only drop", where, function))
			case twice:
				problems = append(problems, fmt.Sprintf("%s: function %s is created at %s, too; change it there", where, function, first))
			default:
				created[function] = where
			}
		}
	}
	return problems
}

func TestFunctionsCreatedTwiceAreSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		"migrations/sql/001_a.up.sql": "-- CREATE FUNCTION {tidemill}.said()\nCREATE FUNCTION {tidemill}.once() RETURNS void\n;\n" +
			"CREATE FUNCTION {tidemill}.twice(a int)\n;\nCREATE OR REPLACE FUNCTION {tidemill}.twice(a int)\n;\n",
		"migrations/sql/001_a.down.sql": "DROP FUNCTION {tidemill}.once;\n",
		"migrations/sql/002_b.up.sql":   "create or replace\nfunction {tidemill}.once() RETURNS void\n;\n",
		"migrations/sql/002_b.down.sql": "CREATE OR REPLACE FUNCTION {tidemill}.once() RETURNS void\n;\n",
		"docs/other.sql":                "CREATE FUNCTION {tidemill}.once() RETURNS void\n;\n",
	})
	want := []string{
		"migrations/sql/001_a.up.sql:6: function twice is created at migrations/sql/001_a.up.sql:4, too",
		"migrations/sql/002_b.down.sql:1: a step down creates function once",
		"migrations/sql/002_b.up.sql:2: function once is created at migrations/sql/001_a.up.sql:2, too",
	}
	if diff := cmp.Diff(want, rules(checkFunctionsOnce(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever holds for every start, such as a limit, has one place in SQL.
func TestMigrationsStartInOnePlace(t *testing.T) {
	t.Parallel()
	report(t, checkOneStart(setup(t)))
}

var insertsStartRE = regexp.MustCompile(`(?i)\bINSERT\s+INTO\s+(\{river\}\.river_job|\{tidemill\}\.run)\b`)

// startsIn are the SQL functions that insert what a start inserts; run_begin enters a run of code elsewhere, which has no job.
var startsIn = map[string][]string{"{river}.river_job": {"insert_job"}, "{tidemill}.run": {"run_begin", "start_run"}}

func checkOneStart(r *repository) []string {
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(r.texts)) {
		if !strings.HasPrefix(name, "migrations/sql/") || !strings.HasSuffix(name, ".up.sql") {
			continue
		}
		text := r.texts[name]
		for _, match := range insertsStartRE.FindAllStringSubmatchIndex(text, -1) {
			table, function := text[match[2]:match[3]], ""
			if before := createsFunctionRE.FindAllStringSubmatch(text[:match[0]], -1); len(before) > 0 {
				function = before[len(before)-1][1]
			}
			if !slices.Contains(startsIn[table], function) {
				problems = append(problems, fmt.Sprintf("%s:%d: function %s inserts into %s; let it call start_run",
					name, 1+strings.Count(text[:match[0]], "\n"), function, table))
			}
		}
	}
	return problems
}

func TestStartsElsewhereAreSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		"migrations/sql/001_a.up.sql": "CREATE FUNCTION {tidemill}.start_run()\nINSERT INTO {tidemill}.run (id)\n;\n" +
			"CREATE FUNCTION {tidemill}.tick()\nINSERT INTO {tidemill}.run_intent\nINSERT INTO {tidemill}.run AS r (id)\n;\n",
		"migrations/sql/002_b.up.sql": "CREATE FUNCTION {tidemill}.insert_job()\nINSERT INTO {river}.river_job AS j\n;\n" +
			"CREATE FUNCTION {tidemill}.each()\ninsert into\n{river}.river_job\n;\n",
	})
	want := []string{
		"migrations/sql/001_a.up.sql:6: function tick inserts into {tidemill}.run",
		"migrations/sql/002_b.up.sql:5: function each inserts into {river}.river_job",
	}
	if diff := cmp.Diff(want, rules(checkOneStart(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
