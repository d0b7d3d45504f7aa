package exportjob_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

// typeSamples has values of each type that PostgreSQL ships, in its input form, each as an element of a table of its own
// with NULL and, for an array, with NULL within.
var typeSamples = map[string][]string{
	"aclitem":        {"postgres=r/postgres"},
	"bit":            {"1"},
	"bool":           {"t", "f"},
	"box":            {"(1,2),(3,4)", "(1e300,-1e300),(0,0)"},
	"bpchar":         {"", "x ", "=1", "日本"},
	"bytea":          {`\x`, `\x00ff0a0d2c22`},
	"char":           {"", "a", ","},
	"cid":            {"7"},
	"cidr":           {"10.0.0.0/8", "2001:db8::/32"},
	"circle":         {"<(1,2),3>"},
	"date":           {"2026-01-31", "0044-03-15 BC", "infinity", "-infinity", "5874897-12-31", "4714-11-24 BC"},
	"datemultirange": {"{}", "{[2026-01-01,2026-02-01),[2026-03-01,)}"},
	"daterange":      {"empty", "[2026-01-01,2026-02-01)", "(,)"},
	"float4":         {"0.1", "-0", "NaN", "Infinity", "-Infinity", "3.4028235e38", "1e-45"},
	"float8":         {"0.1", "-0", "NaN", "Infinity", "-Infinity", "1.7976931348623157e308", "5e-324"},
	"gtsvector":      nil,
	"inet":           {"10.0.0.1", "::1/64"},
	"int2":           {"-32768", "32767"},
	"int2vector":     {"", "1 2 3"},
	"int4":           {"-2147483648", "2147483647"},
	"int4multirange": {"{[1,2),[4,)}"},
	"int4range":      {"empty", "[1,5)", "(,5)"},
	"int8":           {"-9223372036854775808", "9223372036854775807"},
	"int8multirange": {"{}"},
	"int8range":      {"[1,9223372036854775807)"},
	"interval":       {"1 year 2 mons -3 days 04:05:06.789", "-178000000 years", "00:00:00"},
	"json":           {`{"a": [1, "x,\"y\"", null], "b": "線"}`, " 1", "\"\"", "[1,\n 2]", "null"},
	"jsonb":          {`{"a": [1, "x,\"y\"", null], "n": 1e400, "e": "😀"}`, "-5", `""`, "null"},
	"jsonpath":       {"$.a[*] ? (@ > 1)"},
	"line":           {"{1,-1,0}"},
	"lseg":           {"[(1,2),(3,4)]"},
	"macaddr":        {"08:00:2b:01:02:03"},
	"macaddr8":       {"08:00:2b:01:02:03:04:05"},
	"money":          {"-92233720368547758.08", "1.50"},
	"name":           {"", "a name", "=x"},
	"numeric": {"NaN", "Infinity", "-Infinity", "0", "-0.00", "1e-16383", strings.Repeat("9", 1000) + "." + strings.Repeat("9", 100),
		"-1" + strings.Repeat("0", 131071)},
	"nummultirange":                {"{[1.5,2.5)}"},
	"numrange":                     {"[1.5,2.5]", "empty", "(,)"},
	"oid":                          {"0", "4294967295"},
	"oidvector":                    {"", "1 2"},
	"path":                         {"[(1,2),(3,4)]", "((1,2),(3,4))"},
	"pg_brin_bloom_summary":        nil,
	"pg_brin_minmax_multi_summary": nil,
	"pg_dependencies":              nil,
	"pg_lsn":                       {"16/B374D848"},
	"pg_mcv_list":                  nil,
	"pg_ndistinct":                 nil,
	"pg_node_tree":                 nil,
	"pg_snapshot":                  {"10:20:10,14,15"},
	"point":                        {"(1,2)", "(Infinity,NaN)"},
	"polygon":                      {"((1,2),(3,4),(5,6))"},
	"refcursor":                    {"", "c1"},
	"regclass":                     {"pg_class", "-"},
	"regcollation":                 {`"C"`},
	"regconfig":                    {"english"},
	"regdictionary":                {"simple"},
	"regnamespace":                 {"public"},
	"regoper":                      {"0"},
	"regoperator":                  {"+(integer,integer)"},
	"regproc":                      {"now"},
	"regprocedure":                 {"now()"},
	"regrole":                      {"postgres"},
	"regtype":                      {"integer[]", "timestamp with time zone"},
	"text": {"", " ", "null", "NULL", `\N`, `\.`, "=1+1", "-1", "@x", "+1", "\ttab", "\rcr", "two\nlines", "two\r\nlines", `"`, `""`, `a"b`, "a,b", "'", `\`,
		`back\slash`, "😀 e\u0301 日本語", "\ufeffbom", "#", "\u2028", "trailing ", "\x01\x7f"},
	"tid":            {"(0,1)", "(4294967295,65535)"},
	"time":           {"00:00:00", "24:00:00", "23:59:59.999999"},
	"timestamp":      {"2026-01-31 09:00:00.123456", "0044-03-15 00:00:00 BC", "infinity", "-infinity", "294276-12-31 23:59:59.999999"},
	"timestamptz":    {"2026-01-31 09:00:00.123456+09", "0044-03-15 00:00:00+00 BC", "infinity", "-infinity", "4714-11-24 00:00:00+00 BC"},
	"timetz":         {"00:00:00+15:59", "23:59:59.999999-12"},
	"tsmultirange":   {"{[2026-01-01,2026-01-02)}"},
	"tsquery":        {"", "'fat' & !'rat':*A"},
	"tsrange":        {"[2026-01-01 00:00:00,infinity)"},
	"tstzmultirange": {"{[2026-01-01 00:00:00+09,)}"},
	"tstzrange":      {"[2026-01-01 00:00:00+09,2026-01-02 00:00:00+00]", "empty"},
	"tsvector":       {"", "'a':1A 'it''s':2"},
	"txid_snapshot":  {"10:20:10,14,15"},
	"uuid":           {"123e4567-e89b-12d3-a456-426614174000"},
	"varbit":         {"", "10101"},
	"varchar":        {"", "x", "=1"},
	"xid":            {"4294967295"},
	"xid8":           {"18446744073709551615"},
	"xml":            {"<a>b &amp; c</a>", "text = 1"},
}

// What is exported and imported again is what it was, for every type that PostgreSQL ships and its arrays.
func TestExportComesBack(t *testing.T) {
	t.Parallel()

	b := setupExport(t, "", "table: source\nformulas: keep")
	ctx := context.Background()
	var define []string
	rows := []string{}
	names, err := b.catalog.Query(ctx, `SELECT typname::text FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace
		AND typtype IN ('b', 'r', 'm') AND typelem = 0 OR oid IN ('name'::regtype, 'point'::regtype, 'lseg'::regtype, 'box'::regtype, 'line'::regtype, 'int2vector'::regtype, 'oidvector'::regtype)
		ORDER BY typname`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(names, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range all {
		samples, known := typeSamples[name]
		if !known {
			t.Errorf("no sample of type %s", name)
		}
		if len(samples) == 0 {
			continue // has no input
		}
		column := fmt.Sprintf("c%d", n)
		n++
		define = append(define, column+" pg_catalog."+pgx.Identifier{name}.Sanitize())
		for _, sample := range samples {
			rows = append(rows, fmt.Sprintf("INSERT INTO source (%s) VALUES ('%s')", column, strings.ReplaceAll(sample, "'", "''")))
		}
		if name == "int2vector" || name == "oidvector" {
			continue
		}
		define = append(define, column+"a pg_catalog."+pgx.Identifier{name}.Sanitize()+"[]")
		var elements []string
		for _, sample := range samples {
			elements = append(elements, "'"+strings.ReplaceAll(sample, "'", "''")+"'")
		}
		rows = append(rows,
			fmt.Sprintf("INSERT INTO source (%[1]sa) VALUES (ARRAY[NULL, %[2]s]::pg_catalog.%[3]s[]), ('{}'), (ARRAY[ARRAY[%[4]s], ARRAY[NULL]]::pg_catalog.%[3]s[])",
				column, strings.Join(elements, ", "), pgx.Identifier{name}.Sanitize(), elements[0]))
	}
	if n < 60 {
		t.Fatalf("only %d types", n)
	}
	create := "CREATE TABLE public.source (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, " + strings.Join(define, ", ") + `);
		CREATE TABLE public.copy (LIKE source);` + strings.Join(rows, ";") + "; INSERT INTO source DEFAULT VALUES"
	if _, err := b.catalog.Exec(ctx, create); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"chunk: 7\ndelimiter: tab\nline_end: crlf", "bom: true\nconsistency: snapshot\nchunk: 20"} {
		b.define(t, "table: source\nformulas: keep\n"+form)
		file, result := b.dump(t, "")
		if result.Defused != 0 {
			t.Errorf("%d cells were changed", result.Defused)
		}
		importFile(t, b, file, form)
		const differ = `SELECT (SELECT count(*) FROM (SELECT s::text FROM source s EXCEPT ALL SELECT c::text FROM copy c) x),
			(SELECT count(*) FROM (SELECT c::text FROM copy c EXCEPT ALL SELECT s::text FROM source s) x), (SELECT count(*) FROM copy)`
		var lost, new, count int64
		if err := b.catalog.QueryRow(ctx, differ).Scan(&lost, &new, &count); err != nil {
			t.Fatal(err)
		}
		if lost != 0 || new != 0 || count != result.Rows {
			t.Errorf("%s: %d rows are lost, %d are new, of %d", form, lost, new, count)
			show, err := b.catalog.Query(ctx, "(SELECT left(s::text, 300) FROM (SELECT s::text FROM source s EXCEPT ALL SELECT c::text FROM copy c) s LIMIT 3) UNION ALL (SELECT left(s::text, 300) FROM (SELECT c::text FROM copy c EXCEPT ALL SELECT s::text FROM source s) s LIMIT 3)")
			if err != nil {
				t.Fatal(err)
			}
			texts, _ := pgx.CollectRows(show, pgx.RowTo[string])
			t.Log(strings.Join(texts, "\n"))
		}
		if _, err := b.catalog.Exec(ctx, "TRUNCATE copy"); err != nil {
			t.Fatal(err)
		}
	}
}

// importFile loads the file into the table copy by an import.
func importFile(t *testing.T, b *exportBundle, file []byte, form string) {
	t.Helper()
	ctx := context.Background()
	text := "jobs: {load: {kind: import, table: public.copy, retry: {max_attempts: 1}, delimiter: \",\"}}"
	if strings.Contains(form, "delimiter: tab") {
		text = strings.Replace(text, `","`, "tab", 1)
	}
	cfg, err := config.Parse("test.yaml", []byte(text), &config.Opts{Kinds: workers.Configs()})
	if err != nil {
		t.Fatal(err)
	}
	object, err := b.storage.Put(ctx, "test", "file.csv", bytes.NewReader(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	engine := testengine.Start(t, b.URL, func(w *river.Workers) {
		river.AddWorker(w, importjob.NewWorker(importjob.Opts{
			Jobs: func(name string) (*config.Job, bool) { job, ok := cfg.Jobs[name]; return job, ok },
			Pool: b.catalog, Storage: b.storage,
		}))
	}, func(c *river.Config) { c.FetchOnlyKnownKinds = true })
	started, err := engine.Ledger.Start(ctx, importjob.Args{
		Job: "load", Object: object.Key, Name: "file.csv", Size: object.Size, SHA256: object.SHA256, Definition: cfg.Jobs["load"].Hash(),
	}, batch.StartOpts{Job: "load"})
	if err != nil {
		t.Fatal(err)
	}
	info := engine.WaitStatus(t, started.ID, batch.Succeeded, batch.SucceededWithRejects, batch.Failed)
	if info.Status == batch.Failed {
		t.Fatal(*info.Error)
	}
	if info.Counters.Rejected > 0 {
		rejects, err := engine.Ledger.Rejects(ctx, info.ID, 0, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rejects {
			t.Errorf("rejected: %s %s", r.Column, r.Reason)
		}
	}
	if err := engine.Client.StopAndCancel(ctx); err != nil {
		t.Error(err)
	}
}
