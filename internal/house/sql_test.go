package house

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withoutSQL are the doors: they parse, ask and show. What they read and change is an operation that the other door needs too.
func withoutSQL() []string { return []string{"internal/cli", "internal/server"} }

// statementRE finds a statement at the beginning of a line, or after a semicolon or a bracket. A sentence has no word in
// capitals there, and a command line that is shown, as psql -c 'SELECT …', begins with the command.
var statementRE = regexp.MustCompile(`(?m)(?:^|[;(])\s*(SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|WITH|VALUES|SET|CREATE|ALTER|DROP|TRUNCATE|LOCK|COPY|NOTIFY)(?:\s|$)`)

// quietRE finds statements in small letters. They have to have more than one of their words: "select" begins sentences, too.
var quietRE = regexp.MustCompile(`(?m)(?:^|[;(])\s*(select\s[^.]*\sfrom|insert\s+into\s+\S+\s*(?:\(|values|select)|update\s+\S+\s+set|delete\s+from\s+\S+\s+where|with\s+\S+\s+as\s*\()`)

func TestDoorsHaveNoSQL(t *testing.T) {
	t.Parallel()
	report(t, checkSQL(setup(t)))
}

func checkSQL(r *repository) []string {
	var problems []string
	for _, f := range r.goes {
		if f.test || !slices.Contains(withoutSQL(), f.pkg) {
			continue
		}
		for _, lit := range literals(f.ast) {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				continue
			}
			for _, re := range []*regexp.Regexp{statementRE, quietRE} {
				if found := re.FindStringSubmatch(text); found != nil {
					problems = append(problems, fmt.Sprintf("%s: SQL (%s); make it an operation in internal/operate, which command and server both call", r.at(lit), found[1]))
					break
				}
			}
		}
	}
	return problems
}

func TestSQLIsSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		"internal/cli/a.go": "package cli\n\nconst (\n" +
			"\tread   = \"SELECT 1\"\n" +
			"\tlater  = `\n\t\t/* some */\n\t\tWITH a AS (SELECT) SELECT`\n" +
			"\tparts  = \"DELETE FROM \" + table\n" +
			"\ttwo    = \"x; SET LOCAL lock_timeout = 1\"\n" +
			"\tinner  = `id IN (SELECT id FROM job)`\n" +
			"\tsmall  = \"select id\\n  from job\"\n" +
			"\tchange = \"update job set state = $1\"\n" +
			"\tnew    = \"CREATE TABLE people ()\"\n" +
			"\thelp   = `Select files from a folder, update them.\nWith --all, delete from each table what is old.\n" +
			"  psql \"$DATABASE_URL\" -c 'SELECT * FROM people LIMIT 5'\nSETTINGS of the job; UPDATED is when it was set (with --all)`\n" +
			"\thead   = \"CREATED\"\n" +
			")\n",
		"internal/cli/a_test.go":    "package cli\n\nconst a = \"SELECT 1\"\n",
		"internal/operate/a.go":     "package operate\n\nconst a = \"SELECT 1\"\n",
		"internal/server/a.go":      "package server\n\nconst a = \"INSERT INTO job VALUES (1)\"\n",
		"internal/server/deep/a.go": "package deep\n\nconst a = \"SELECT 1\"\n",
	})
	want := []string{
		"internal/cli/a.go:4: SQL (SELECT)", "internal/cli/a.go:5: SQL (WITH)", "internal/cli/a.go:8: SQL (DELETE FROM)", "internal/cli/a.go:9: SQL (SET)",
		"internal/cli/a.go:10: SQL (SELECT)", "internal/cli/a.go:11: SQL (select id\n  from)", "internal/cli/a.go:12: SQL (update job set)",
		"internal/cli/a.go:13: SQL (CREATE)", "internal/server/a.go:3: SQL (INSERT INTO)",
	}
	if diff := cmp.Diff(want, rules(checkSQL(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
