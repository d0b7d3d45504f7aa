package sqlparams

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/testdb"
)

func TestBind(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		statement, sql string
		names          []string
	}{
		"none":               {"SELECT 1", "SELECT 1", nil},
		"empty":              {"", "", nil},
		"one":                {"CALL app.stats(:day)", "CALL app.stats($1)", []string{"day"}},
		"order of the text":  {"SELECT :b, :a, :b", "SELECT $1, $2, $1", []string{"b", "a"}},
		"at the end":         {"SELECT 1 WHERE a=:a", "SELECT 1 WHERE a=$1", []string{"a"}},
		"after a word":       {"SELECT:a", "SELECT $1", []string{"a"}},
		"long name":          {"SELECT :a_2b", "SELECT $1", []string{"a_2b"}},
		"capitals":           {"SELECT :Day", "SELECT $1", []string{"Day"}},
		"beyond ASCII":       {"SELECT :jür", "SELECT $1", []string{"jür"}},
		"cast":               {"SELECT x::date, :d::date", "SELECT x::date, $1::date", []string{"d"}},
		"cast of a cast":     {"SELECT :d::text::date", "SELECT $1::text::date", []string{"d"}},
		"assignment":         {"SELECT f(a := 1, b := :b)", "SELECT f(a := 1, b := $1)", []string{"b"}},
		"arrow":              {"SELECT f(a => :a)", "SELECT f(a => $1)", []string{"a"}},
		"slice, digits":      {"SELECT a[1:2], a[:2], a[1:]", "SELECT a[1:2], a[:2], a[1:]", nil},
		"slice, space":       {"SELECT a[1: n]", "SELECT a[1: n]", nil},
		"slice, columns":     {"SELECT a[low:high], a[1:n], a[f(x):n], a[b[1]:n]", "SELECT a[low:high], a[1:n], a[f(x):n], a[b[1]:n]", nil},
		"slice, params":      {"SELECT a[:low : :high]", "SELECT a[$1 : $2]", []string{"low", "high"}},
		"index":              {"SELECT a[:n]", "SELECT a[$1]", []string{"n"}},
		"after a slice":      {"SELECT a[1:n]+x:n", "SELECT a[1:n]+x $1", []string{"n"}},
		"closing too often":  {"SELECT ] x:n", "SELECT ] x $1", []string{"n"}},
		"lone colons":        {": :: ::: : :1", ": :: ::: : :1", nil},
		"string":             {`SELECT ':a', 'it''s :a', :b`, `SELECT ':a', 'it''s :a', $1`, []string{"b"}},
		"backslash":          {`SELECT '\', :b, ':c'`, `SELECT '\', $1, ':c'`, []string{"b"}},
		"escape string":      {`SELECT E'\':a', e'\\', :b`, `SELECT E'\':a', e'\\', $1`, []string{"b"}},
		"escape, doubled":    {`SELECT E''':a\'', :b`, `SELECT E''':a\'', $1`, []string{"b"}},
		"escape, continued":  {"SELECT E'a' -- it's\n '\\':a', :b", "SELECT E'a' -- it's\n '\\':a', $1", []string{"b"}},
		"not continued":      {"SELECT E'a' || '\\', :b", "SELECT E'a' || '\\', $1", []string{"b"}},
		"not an escape":      {`SELECT nameE'\', :b`, `SELECT nameE'\', $1`, []string{"b"}},
		"escape at the end":  {"SELECT :b, E'a' -- end", "SELECT $1, E'a' -- end", []string{"b"}},
		"other prefixes":     {`SELECT N'\', X'\', U&'\', :b`, `SELECT N'\', X'\', U&'\', $1`, []string{"b"}},
		"quoted identifier":  {`SELECT ":a", "it"":a", :b`, `SELECT ":a", "it"":a", $1`, []string{"b"}},
		"dollar quote":       {"SELECT $$:a'$$, :b", "SELECT $$:a'$$, $1", []string{"b"}},
		"tagged":             {"SELECT $t$:a $$ $T$ :b $t$, :c", "SELECT $t$:a $$ $T$ :b $t$, $1", []string{"c"}},
		"dollar in a name":   {"SELECT a$b$, :c, a$1", "SELECT a$b$, $1, a$1", []string{"c"}},
		"line comment":       {"SELECT 1 -- :a '\n, :b", "SELECT 1 -- :a '\n, $1", []string{"b"}},
		"comment to the end": {"SELECT :b -- :a", "SELECT $1 -- :a", []string{"b"}},
		"comment":            {"SELECT /* :a /* ' */ :b */ :c", "SELECT /* :a /* ' */ :b */ $1", []string{"c"}},
		"operators":          {"SELECT a/:b, a-:c", "SELECT a/$1, a-$2", []string{"b", "c"}},
		"time in a string":   {"SELECT '12:30:00' < :t", "SELECT '12:30:00' < $1", []string{"t"}},
		"json":               {`SELECT '{"a":true}'::jsonb ->> :k`, `SELECT '{"a":true}'::jsonb ->> $1`, []string{"k"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sql, names, err := Bind(tt.statement)
			if err != nil {
				t.Fatal(err)
			}
			if sql != tt.sql {
				t.Errorf("sql %s, want %s", sql, tt.sql)
			}
			if diff := cmp.Diff(tt.names, names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBindRefuses(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		"SELECT $1":               "$1 at line 1, column 8 stands for a parameter by number; write :name, and declare name in params",
		"SELECT 1$1":              "$1 at line 1, column 9 stands for a parameter by number; write :name, and declare name in params",
		"SELECT 'é',\n '日' || $2": "$2 at line 2, column 9 stands for a parameter by number; write :name, and declare name in params",
		"SELECT 'a":               "the string that begins at line 1, column 8 is not closed",
		"SELECT 'a''":             "the string that begins at line 1, column 8 is not closed",
		`SELECT E'a\'`:            "the string that begins at line 1, column 9 is not closed",
		`SELECT E'a\`:             "the string that begins at line 1, column 9 is not closed",
		"SELECT E'a'\n'\\'":       "the string that begins at line 1, column 9 is not closed",
		"SELECT\n\"a":             "the quoted identifier that begins at line 2, column 1 is not closed",
		"DO $ BEGIN END $":        "the $ at line 1, column 4 stands alone",
		"SELECT $a$ $b$":          "the dollar quote $a$ that begins at line 1, column 8 is not closed",
		"SELECT /* /* */":         "the comment that begins at line 1, column 8 is not closed",
	} {
		if _, _, err := Bind(statement); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", statement, err, want)
		}
	}
}

// PostgreSQL must see the same borders: each statement returns the value of the parameter x or an expression with it.
func TestPostgreSQLAgrees(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.URL(t))
	const x = `it's \':x $$ -- /*`
	for statement, want := range map[string]string{
		`SELECT :x`:                                        x,
		`SELECT:x`:                                         x,
		`SELECT E'\':x' || :x`:                             "':x" + x,
		"SELECT E'a' -- it's\n  '\\':x' || :x":             "a':x" + x,
		`SELECT '\' || :x || ':x'`:                         `\` + x + ":x",
		`SELECT U&'\0041:x' || :x`:                         "A:x" + x,
		`SELECT $q$ ' :x $$ $q$ || :x`:                     " ' :x $$ " + x,
		`SELECT /* :x /* ' */ ' */ :x -- :x '`:             x,
		`SELECT a":x" FROM (SELECT :x AS "a"":x") AS x(a)`: x,
		`SELECT a$x$ FROM (SELECT :x) AS v(a$x$)`:          x,
		`SELECT (ARRAY['b',:x,'c'])[n:n]::text[] = ARRAY[:x] FROM (SELECT 2) AS v(n)`: "t",
		`SELECT (ARRAY[1,2,3])[:l : :h]::text FROM (SELECT :x) AS v`:                  "{2,3}",
		`SELECT (ARRAY[1,2,3])[2:3]::text FROM (SELECT :x) AS v`:                      "{2,3}",
		`SELECT upper(:x)::varchar::text`:                                             strings.ToUpper(x),
	} {
		sql, names, err := Bind(statement)
		if err != nil {
			t.Errorf("%s: %v", statement, err)
			continue
		}
		args := make([][]byte, len(names))
		for i, name := range names {
			args[i] = []byte(map[string]string{"x": x, "l": "2", "h": "3"}[name])
		}
		got, err := ask(t, pool, sql, args)
		if err != nil || got != want {
			t.Errorf("%s\nas %s\n got %s, %v\nwant %s", statement, sql, got, err, want)
		}
	}
}

// ask returns the one value that a statement gives, as text.
func ask(t *testing.T, pool *pgxpool.Pool, sql string, args [][]byte) (string, error) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	result := conn.Conn().PgConn().ExecParams(t.Context(), sql, args, nil, nil, nil).Read()
	if result.Err != nil || len(result.Rows) != 1 {
		return "", fmt.Errorf("%d rows: %w", len(result.Rows), result.Err)
	}
	return string(result.Rows[0][0]), nil
}

func FuzzBind(f *testing.F) {
	for _, seed := range []string{
		"SELECT :a, 'b:c', \":d\", $$:e$$, -- :f\n /* /* */ :g */ E'\\':h' x::int a[1:2] :a",
		"SELECT E'a'\n--x\n'b\\'' :a", "$t$ $t$ $1", "::: := :", "a:b:c[d:e][:f]", "'", "E'\\", "1$a$b$a$", "é:é",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, statement string) {
		sql, names, err := Bind(statement)
		if err != nil {
			return
		}
		if len(names) == 0 && sql != statement {
			t.Fatalf("%q became %q without a name", statement, sql)
		}
		for i, name := range names {
			if !strings.Contains(statement, ":"+name) || slices.Index(names, name) != i {
				t.Fatalf("%q has the names %q", statement, names)
			}
		}
		// What is left is a statement with parameters by number.
		if _, again, err := Bind(sql); len(names) > 0 && err == nil {
			t.Fatalf("%q became %q, which binds %q", statement, sql, again)
		}
	})
}

func TestReplace(t *testing.T) {
	t.Parallel()
	got, err := Replace("SELECT:a, ':a', x::int, :b, $$:a$$ -- :b\nWHERE c = :a", func(n int) string { return []string{"'O''Neil'", "2"}[n-1] })
	if want := "SELECT 'O''Neil', ':a', x::int, 2, $$:a$$ -- :b\nWHERE c = 'O''Neil'"; got != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := Replace("SELECT ':a", func(int) string { return "" }); err == nil {
		t.Error("an open string was replaced in")
	}
}
