package migrations_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/migrations"
)

// The statement of each calls join_args for thousands of rows: it pays no call of a function for them.
func TestJoinArgsIsInlined(t *testing.T) {
	t.Parallel()

	pool := testdb.Pool(t, testdb.URL(t))
	if _, err := migrations.Up(t.Context(), pool, migrations.Schema{}, nil); err != nil {
		t.Fatal(err)
	}
	for _, nests := range []string{"true", "false"} {
		rows, err := pool.Query(t.Context(), `EXPLAIN VERBOSE WITH child AS MATERIALIZED (SELECT jsonb_build_object('n', i) AS given FROM generate_series(1, 3) i)
			SELECT tidemill.join_args('{"job": "j"}', `+nests+`, given, given, '{}') FROM child`)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(plan, "\n"); strings.Contains(text, "join_args") || !strings.Contains(text, "||") {
			t.Errorf("nests %s:\n%s", nests, text)
		}
	}
}
