package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/kinds/exportjob"
)

func TestExportDefaults(t *testing.T) {
	t.Parallel()

	jobs := mustParse(t, `jobs: {a: {kind: export, table: app.users}, b: {kind: export, query: "SELECT :x AS id", order_by: [id], params: {x: text}}}`).Jobs
	want := &exportjob.Config{
		Table: config.Table{Schema: "app", Name: "users"}, Format: config.CSV, Compression: exportjob.Uncompressed, Header: true, Delimiter: ',', LineEnd: exportjob.LF,
		Formulas: exportjob.Defuse, Consistency: exportjob.Keyset, Ranges: 2, Timeout: time.Hour, Chunk: 50_000, Expire: 7 * field.Day,
	}
	if diff := cmp.Diff(want, jobs["a"].Spec.(*exportjob.Config)); diff != "" {
		t.Error(diff)
	}
	if jobs["a"].Params == nil || len(jobs["b"].Params) != 1 || jobs["a"].Stall != 10*time.Minute {
		t.Errorf("%+v\n%+v", jobs["a"], jobs["b"])
	}
}

func TestExportRules(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		fields string
		want   []string
	}{
		"nothing":             {"format: csv", []string{" it is not said what to export (add table: or query:)"}},
		"both":                {"table: t, query: SELECT 1, order_by: [a]", []string{".query: table is given too (remove one of them)"}},
		"empty query":         {`query: " ", order_by: [a]`, []string{`.query: " " is no query (write it like SELECT id, email FROM app.users)`}},
		"open quote":          {`query: "SELECT 'a", order_by: [a]`, []string{`.query: "SELECT 'a" is not a query: the string that begins at line 1, column 8 is not closed`}},
		"query without order": {"query: SELECT 1", []string{" order_by is missing (add order_by: with columns that together are unique, or consistency: snapshot)"}},
		"snapshot without":    {"query: SELECT 1, consistency: snapshot", nil},
		"unknown param":       {`query: "SELECT :x AS a", order_by: [a]`, []string{".query: :x is not among params (add it, such as params: {x: text}; a slice of an array needs a space after the colon)"}},
		"unused param":        {"query: SELECT 1, order_by: [a], params: {x: text}", []string{".params.x: is not in the query (write :x where it belongs, outside of quotes and $$, or remove it)"}},
		"param of a table":    {"table: t, params: {x: text}", []string{".params: a table takes no params (remove them, or export a query)"}},
		"columns of a query":  {"query: SELECT 1, order_by: [a], columns: [a]", []string{".columns: is for a table (name them in the query)"}},
		"twice":               {"table: t, columns: [a, a], order_by: [b, b]", []string{`.columns[1]: "a" is there twice (remove one of them)`, `.order_by[1]: "b" is there twice (remove one of them)`}},
		"csv of ndjson":       {"table: t, format: ndjson, header: false, bom: true", []string{".header: is for format csv (remove it)", ".bom: is for format csv (remove it)"}},
		"snapshot of keyset":  {"table: t, ranges: 4, timeout: 2h", []string{".ranges: is for consistency snapshot (remove it)", ".timeout: is for consistency snapshot (remove it)"}},
		"quote as delimiter":  {`table: t, delimiter: "'"`, []string{".delimiter: is a quote (take , or ; or tab)"}},
		"delimiter in null":   {"table: t, delimiter: '|', null_as: 'a|b'", []string{".null_as: holds the delimiter"}},
		"quote in null":       {`table: t, null_as: "'"`, []string{`.null_as: "'" begins with a quote (write it like \N or NULL)`}},
		"null":                {`table: t, null_as: '\N'`, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, message := range messages(t, "jobs: {a: {kind: export, "+tt.fields+"}}", nil) {
				got = append(got, afterJob(message))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// afterJob is a message without its place and the path of the job.
func afterJob(message string) string {
	_, rest, _ := strings.Cut(message, "jobs.a")
	return strings.TrimPrefix(rest, ":")
}

func TestExportHash(t *testing.T) {
	t.Parallel()

	hash := func(fields string) string {
		return mustParse(t, "jobs: {a: {kind: export, "+fields+"}}").Jobs["a"].Hash()
	}
	base := hash("table: app.t")
	for _, same := range []string{"table: app.t, chunk: 10, expire: 1d, stall: 1h", "table: app.t, format: csv, header: true"} {
		if hash(same) != base {
			t.Errorf("%s has another hash", same)
		}
	}
	seen := map[string]string{base: "table: app.t"}
	for _, other := range []string{
		"table: t", "table: app.t, columns: [a]", "table: app.t, order_by: [a]", "table: app.t, format: ndjson", "table: app.t, compression: zstd",
		"table: app.t, header: false", "table: app.t, delimiter: tab", "table: app.t, line_end: crlf", "table: app.t, bom: true",
		"table: app.t, null_as: none", "table: app.t, formulas: keep", "table: app.t, consistency: snapshot", "query: TABLE app.t, order_by: [a]",
	} {
		h := hash(other)
		if seen[h] != "" {
			t.Errorf("%s has the hash of %s", other, seen[h])
		}
		seen[h] = other
	}
}
