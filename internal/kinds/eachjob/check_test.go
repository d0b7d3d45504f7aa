package eachjob

import (
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/kinds/httpjob"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testdb"
)

func TestCheckEach(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.URL(t))
	_, err := pool.Exec(t.Context(), `CREATE TABLE people (id int PRIMARY KEY, email text, born date, seen timestamptz, at timestamp, score float8, tags text[], doc jsonb, ok boolean, key uuid)`)
	if err != nil {
		t.Fatal(err)
	}
	const children = `
  any: {kind: own}
  typed: {kind: own, params: {id: integer, email: text, born: date}}
  defaults: {kind: own, params: {id: integer, note: {type: text, default: none}}}
  wide: {kind: own, params: {id: number, seen: timestamp, score: number, tags: json, doc: json, ok: boolean, key: uuid}}
  texts: {kind: own, params: {id: integer, seen: text, key: text, born: text}}
  misfit: {kind: own, params: {id: date, at: timestamp, score: text, doc: text, ok: integer, key: integer}}
  rows: {kind: own, params: {rows: json}}
  rowtext: {kind: own, params: {rows: text}}
`
	for _, tt := range []struct {
		name, fields string
		want         []string
	}{
		{"anything", "query: SELECT * FROM people, order_by: [id], enqueue: {job: any}", nil},
		{"declared", "query: 'SELECT id, email, born FROM people', order_by: [id], enqueue: {job: typed}", nil},
		{"defaults", "query: SELECT id FROM people, order_by: [id], enqueue: {job: defaults}", nil},
		{"wide", "query: 'SELECT id, seen, score, tags, doc, ok, key FROM people', order_by: [id], enqueue: {job: wide}", nil},
		{"texts", "query: 'SELECT id, seen, key, born FROM people', order_by: [id], enqueue: {job: texts}", nil},
		{"fixed", "query: 'SELECT id, email FROM people', order_by: [id], enqueue: {job: typed, params: {born: 2000-01-01}}", nil},
		{"rows", "query: SELECT * FROM people, order_by: [id], batch: 10, enqueue: {job: rows}", nil},
		{"params", "query: 'SELECT id FROM people WHERE born = :day', params: {day: date}, order_by: [id], enqueue: {job: any}", nil},
		{"comment at the end", `query: "SELECT id FROM people -- all\n;", order_by: [id], enqueue: {job: any}`, nil},

		{"no table", "query: SELECT id FROM persons, order_by: [id], enqueue: {job: any}", []string{`.query: line 1, column 16: relation "persons" does not exist (SQLSTATE 42P01)`}},
		{"no query", "query: DELETE FROM people RETURNING id, order_by: [id], enqueue: {job: any}", []string{`.query: cannot be in brackets, as part of another query: syntax error at or near "FROM"`}},
		{"order", "query: SELECT email FROM people, order_by: [id], enqueue: {job: any}", []string{".order_by: the query has no column id"}},
		{"two columns", "query: 'SELECT id, id FROM people', order_by: [id], enqueue: {job: any}", []string{".query: the query has two columns with the name id"}},
		{"param of another type", "query: 'SELECT id FROM people WHERE id = :day', params: {day: date}, order_by: [id], enqueue: {job: any}", []string{`.params.day: is of type date, which does not fit the statement: invalid input syntax for type integer: "2026-01-31" (SQLSTATE 22P02)`}},
		{"missing and unknown", "query: 'SELECT id, ok FROM people', order_by: [id], enqueue: {job: typed}", []string{
			".enqueue.job: job typed has no param ok, and the query has such a column", ".enqueue.job: job typed needs param email", ".enqueue.job: job typed needs param born",
		}},
		{"types", "query: 'SELECT id, at, score, doc, ok, key FROM people', order_by: [id], enqueue: {job: misfit}", []string{
			".enqueue.job: param id of job misfit is of type date, which the query's column of that name does not fit",
			".enqueue.job: param at of job misfit is of type timestamp, which the query's column of that name does not fit",
			".enqueue.job: param score of job misfit is of type text, which the query's column of that name does not fit",
			".enqueue.job: param doc of job misfit is of type text, which the query's column of that name does not fit",
			".enqueue.job: param ok of job misfit is of type integer, which the query's column of that name does not fit",
			".enqueue.job: param key of job misfit is of type integer, which the query's column of that name does not fit",
		}},
		{"rows as text", "query: SELECT id FROM people, order_by: [id], batch: 2, enqueue: {job: rowtext}", []string{".enqueue.job: param rows of job rowtext is of type text, and gets a list of rows"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("t.yaml", []byte("jobs:\n  a: {kind: each, "+tt.fields+"}"+children), &config.Opts{Kinds: []config.Kind{configKind(), httpjob.Kind().Kind}})
			if err != nil {
				t.Fatal(err)
			}
			problems, err := CheckLive(t.Context(), pool, cfg, cfg.Jobs["a"])
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range problems {
				got = append(got, strings.TrimPrefix(p.Path, "jobs.a")+": "+p.Message)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
