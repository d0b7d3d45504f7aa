package golden

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
)

// sections are what others may depend on in the schema of Tidemill, without the tables of River itself.
func sections() []struct{ title, query string } {
	const ours = ` c.relnamespace = 'tidemill'::regnamespace AND c.relname NOT LIKE 'river\_%' `
	return []struct{ title, query string }{
		{"functions", `SELECT format('%s(%s) %s%s%s', proname, pg_get_function_arguments(p.oid), coalesce('returns ' || pg_get_function_result(p.oid), 'procedure'),
				' ' || CASE provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
				concat(CASE WHEN prosecdef THEN ' security definer' END, CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN ' for all' END, ' set ' || array_to_string(proconfig, ', ')))
			FROM pg_proc p WHERE pronamespace = 'tidemill'::regnamespace AND proname NOT LIKE 'river\_%'`},
		{"types", `SELECT format('%s (%s)', typname, (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
			FROM pg_type t WHERE typnamespace = 'tidemill'::regnamespace AND typtype IN ('e', 'd') AND typname NOT LIKE 'river\_%'`},
		{"views", `SELECT format('%s.%s %s', c.relname, attname, format_type(atttypid, atttypmod))
			FROM pg_class c JOIN pg_attribute ON attrelid = c.oid WHERE` + ours + `AND relkind IN ('v', 'm') AND attnum > 0 AND NOT attisdropped`},
		{"tables", `SELECT format('%s.%s %s%s%s', c.relname, attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN ' not null' ELSE '' END,
				CASE WHEN attidentity <> '' THEN ' identity' ELSE coalesce(' default ' || pg_get_expr(adbin, adrelid), '') END)
			FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
			WHERE` + ours + `AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped`},
		{"constraints", `SELECT format('%s: %s %s', c.relname, conname, pg_get_constraintdef(k.oid))
			FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid WHERE` + ours + `AND contype <> 'n'`},
		{"indexes", `SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
			WHERE c.relnamespace = 'tidemill'::regnamespace AND x.relname NOT LIKE 'river\_%'`},
		{"triggers", `SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
			WHERE c.relnamespace = 'tidemill'::regnamespace AND NOT tgisinternal AND tgname NOT LIKE 'river\_%'`},
	}
}

// The order of columns is not held: nobody may depend on it.
func TestSQL(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testengine.URL(t))
	var out strings.Builder
	for _, section := range sections() {
		rows, err := pool.Query(t.Context(), `SELECT line FROM (`+section.query+`) AS all_lines (line) ORDER BY line COLLATE "C"`)
		if err != nil {
			t.Fatalf("%s: %v", section.title, err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", section.title, err)
		}
		fmt.Fprintf(&out, "# %s\n", section.title)
		for _, line := range lines {
			fmt.Fprintln(&out, line)
		}
		fmt.Fprintln(&out)
	}
	check(t, "sql.txt", strings.TrimSuffix(out.String(), "\n"))
}
