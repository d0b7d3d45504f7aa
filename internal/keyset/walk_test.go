package keyset_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/retry"
)

// columns are those named, of type integer; a minus before a name has it descend.
func columns(names ...string) []keyset.Column {
	all := make([]keyset.Column, len(names))
	for i, name := range names {
		plain, desc := strings.CutPrefix(name, "-")
		all[i] = keyset.Column{Name: plain, Type: "integer", Desc: desc}
	}
	return all
}

func TestWhere(t *testing.T) {
	t.Parallel()
	text := func(text, _ string) string { return text }
	for _, tt := range []struct {
		columns     []keyset.Column
		after, upTo string
	}{
		{columns("a"), `(q."a") > (1)`, `(q."a") <= (1)`},
		{columns("-a"), `(q."a") < (1)`, `(q."a") >= (1)`},
		{columns("a", "b"), `(q."a", q."b") > (1, 2)`, `(q."a", q."b") <= (1, 2)`},
		{columns("-a", "-b"), `(q."a", q."b") < (1, 2)`, `(q."a", q."b") >= (1, 2)`},
		{
			columns("a", "-b"), `(q."a") >= (1) AND ((q."a") > (1) OR (q."b") < (2))`,
			`(q."a") <= (1) AND ((q."a") < (1) OR (q."b") >= (2))`,
		},
		{
			columns("-a", "b", "c"), `(q."a") <= (1) AND ((q."a") < (1) OR (q."b", q."c") > (2, 3))`,
			`(q."a") >= (1) AND ((q."a") > (1) OR (q."b", q."c") <= (2, 3))`,
		},
		{
			columns("-a", "b", "-c"), `(q."a") <= (1) AND ((q."a") < (1) OR (q."b") >= (2) AND ((q."b") > (2) OR (q."c") < (3)))`,
			`(q."a") >= (1) AND ((q."a") > (1) OR (q."b") <= (2) AND ((q."b") < (2) OR (q."c") >= (3)))`,
		},
	} {
		w := &keyset.Walk{Columns: tt.columns}
		key := []string{"1", "2", "3"}[:len(tt.columns)]
		got := []string{w.Where(text, keyset.Span{After: key}), w.Where(text, keyset.Span{Until: key}), w.Where(text, keyset.Span{After: key, Until: key})}
		if diff := cmp.Diff([]string{tt.after, tt.upTo, tt.upTo + " AND " + tt.after}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestWalks(t *testing.T) {
	t.Parallel()
	const (
		null  = " is NULL in some row, so rows could be left out; select only rows where it is not, or order by columns that are never NULL"
		twice = " is not unique: rows with the same key could be left out; add a column that makes it so"
	)
	url := testdb.URL(t)
	pool := testdb.Pool(t, url)
	for _, tt := range []struct {
		name, query string
		order       []keyset.Column
		want        string // error
	}{
		{"no row", "SELECT 1 AS a, 1 AS id WHERE false", columns("a"), ""},
		{"a comment at the end", "SELECT a, a AS id FROM generate_series(1, 7) a -- all", columns("a"), ""},
		{"a semicolon at the end", "SELECT a, a AS id FROM generate_series(1, 7) a; ", columns("-a"), ""},
		{"up and down", "SELECT a / 5 AS a, a % 5 AS b, a AS id FROM generate_series(1, 40) a", columns("a", "-b"), ""},
		{"a length of one if it is not said", "SELECT v::char(2) AS a, v AS id FROM generate_series(10, 40) v", columns("a"), ""},
		{"a column called as ours", `SELECT a AS q, a AS r, a AS w, a AS id FROM generate_series(1, 7) a`, columns("q", "r"), ""},
		{"NULL", "SELECT nullif(a, 3) AS a, a AS id FROM generate_series(1, 7) a", columns("a"), "order_by: column a" + null},
		{"NULL, descending", "SELECT nullif(a, 3) AS a, a AS id FROM generate_series(1, 7) a", columns("-a"), "order_by: column a" + null},
		{"NULL that a page's end hides", "SELECT a / 4 AS a, nullif(a, 3) AS b, a AS id FROM generate_series(0, 7) a", columns("a", "b"), "order_by: column b" + null},
		{"NULL in the last key", "SELECT 1 AS a, 1 AS b, nullif(a, 3) AS c, a AS id FROM generate_series(1, 7) a", columns("a", "b", "-c"), "order_by: column c" + null},
		{"a row of NULLs", "SELECT CASE WHEN a > 1 THEN ROW(a, a)::pair ELSE ROW(NULL, NULL)::pair END AS a, a AS id FROM generate_series(1, 7) a", columns("a"), ""},
		{"the same key", "SELECT a / 2 AS a, 0 AS b, a AS id FROM generate_series(1, 7) a", columns("a", "b"), "order_by (a, b)" + twice},
		{"the same key in another form", "SELECT a, 1 AS id FROM (VALUES (0.0), (1.0), (1.00)) v (a)", columns("a"), "order_by (a)" + twice},
		{"the same text by its collation", "SELECT a COLLATE folded AS a, 1 AS id FROM (VALUES ('a'), ('A')) v (a)", columns("a"), "order_by (a)" + twice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "no row" {
				exec(t, pool, "CREATE TYPE pair AS (x int, y int); CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
			}
			var rows int
			if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM ("+strings.TrimRight(tt.query, "; ")+"\n) q").Scan(&rows); err != nil {
				t.Fatal(err)
			}
			for name, read := range readers() {
				for size := 1; size < 9; size++ {
					w := &keyset.Walk{Query: tt.query, Mode: []pgx.QueryExecMode{0, pgx.QueryExecModeDescribeExec}[size%2]}
					for _, c := range tt.order {
						w.Columns = append(w.Columns, keyset.Column{Name: c.Name, Desc: c.Desc})
					}
					ids, err := walk(t.Context(), pool, w, read, size)
					if name == "Rows" && size >= rows && strings.HasPrefix(tt.name, "the same") {
						continue // rows that stay together are not compared with each other
					}
					if message(err) != tt.want || tt.want == "" && len(ids) != rows || err != nil && !retry.IsPermanent(err) {
						t.Errorf("by %s, pages of %d: %d of %d rows: %v, want %q", name, size, len(ids), rows, err, tt.want)
					}
				}
			}
		})
	}
}

// A float that loses digits on its way into the cursor would have the walk read the same rows forever.
func TestTextThatIsAnotherKey(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.URL(t)+"&extra_float_digits=0")
	const want = "order_by (a): a value is another one when it is read back from its text, so rows could be left out; " +
		"set extra_float_digits to 1 for the role, or order by other columns"
	for _, query := range []string{
		"SELECT a, 1 AS id FROM (VALUES (0.1::float8 + 0.2), (1)) v (a)", // at the end of a page
		"SELECT a, 1 AS id FROM (VALUES (0.1), (0.1::float8 + 0.2)) v (a)",
	} {
		for name, read := range readers() {
			_, err := walk(t.Context(), pool, &keyset.Walk{Query: query, Columns: []keyset.Column{{Name: "a"}}}, read, 1)
			if message(err) != want {
				t.Errorf("by %s: %v, want %s", name, err, want)
			}
		}
	}
}

// CheckUnique is for walks that read without Page: it finds what the texts of two keys do not show, and costs nothing where they do.
func TestCheckUnique(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.URL(t))
	const rows = "SELECT * FROM (VALUES (1, 0.0), (1, 1.0), (1, 1.00), (2, 1.0)) v (a, b)"
	numeric := []keyset.Column{{Name: "a", Type: "integer"}, {Name: "b", Type: "numeric"}}
	for _, tt := range []struct {
		w    keyset.Walk
		key  []string
		want bool
	}{
		{keyset.Walk{Query: rows, Columns: numeric}, []string{"1", "1.0"}, true},
		{keyset.Walk{Query: rows, Columns: numeric}, []string{"2", "1"}, false},
		{keyset.Walk{Query: "not looked at", Columns: numeric, Unique: true}, []string{"1", "1.0"}, false},
		{keyset.Walk{Query: "not looked at", Columns: columns("a", "b")}, []string{"1", "1"}, false},
	} {
		err := tt.w.CheckUnique(t.Context(), pool, tt.key)
		if (err != nil) != tt.want || tt.want && message(err) != message(tt.w.NotUnique()) {
			t.Errorf("%s of %s: %v", tt.key, tt.w.Query, err)
		}
	}
}
