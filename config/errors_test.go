package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config/field"
)

func TestAllProblemsInOnePass(t *testing.T) {
	t.Parallel()
	src := `databse: {url: x}
database: {url: "${NOPE}", schema: Foo}
storage: {url: "gs://b"}
metrics: {listen: 9394}
queues: {critical: 0, low: {worker: 3}, _x: 1, y: "5", z: 010}
retry: {max_attempts: ten, backoff: exponental, delay: 30, max_delay: 1 hour, jitter: 1}
drain_timeout:
jobs:
  Bad: {kind: import}
  a:
    kind: imprt
    table: x
    args: {a: 007, b: [+1, .5]}
  b: {kind: sync}
  c: {kind: tidemill.x}
  d: {}
  e:
    kind: import
    table: App.Users
    on_conflict: skp
    match: email
    queue: lwo
    stall: 0s
    header: yes
    columns: {a: 1, b: {feild: x}, c: null, d: }
    set: {x: now on update}
    reject_limit: {rows: -1, ratio: 150%}
    max_record: 8M
    format: json
    on_conflict: skip
  g: {kind: invoice, table: 5, quue: a}
`
	want := []string{
		`1:1: databse: unknown field (did you mean database?)`,
		`2:17: database.url: ${NOPE} is not set (set it, or write ${NOPE:-default})`,
		`2:28: database.schema: "Foo" is not a schema name (lower-case letters, digits and _, at most 46)`,
		`3:11: storage.url: "gs://b" is of a scheme that is not known (file:// and s3:// are: write it like file:///var/lib/tidemill)`,
		`4:11: metrics.listen: "9394" is a number, not text (put it in quotes: "9394")`,
		`5:10: queues.critical: "0" is not from 1 to 10000`,
		`5:23: queues.low: workers is missing (add workers:)`,
		`5:29: queues.low.worker: unknown field (did you mean workers?)`,
		`5:41: queues._x: "_x" is not a queue name (lower-case letters and digits, joined by single - or _, at most 64)`,
		`5:48: queues.y: "5" is not a whole number (remove the quotes)`,
		`5:56: queues.z: "010" is not a whole number (remove the leading zero)`,
		`6:9: retry.max_attempts: "ten" is not a whole number`,
		`6:28: retry.backoff: "exponental" is not one of exponential, linear, constant (did you mean exponential?)`,
		`6:49: retry.delay: "30" is not a duration (write it like 30s, 10m, 1h30m or 1d12h)`,
		`6:60: retry.max_delay: "1 hour" is not a duration (write it like 30s, 10m, 1h30m or 1d12h)`,
		`6:79: retry.jitter: "1" is not a ratio (write it from 0% to 100%, or as a number below 1)`,
		`7:1: drain_timeout: has no value (give a duration, or remove it)`,
		`9:3: jobs.Bad: "Bad" is not a job name (lower-case letters, digits, - and _, a letter or digit first, at most 64)`,
		`12:5: jobs.a.table: is a field of kinds import and export, and this job is of kind imprt (did you mean kind: import?)`,
		`13:12: jobs.a.args.a: "007" is not a number in JSON (put it in quotes to keep it as text, or write it without leading zeros, plus signs and bare dots)`,
		`13:24: jobs.a.args.b[0]: "+1" is not a number in JSON (put it in quotes to keep it as text, or write it without leading zeros, plus signs and bare dots)`,
		`13:28: jobs.a.args.b[1]: ".5" is not a number in JSON (put it in quotes to keep it as text, or write it without leading zeros, plus signs and bare dots)`,
		`14:7: jobs.b.kind: kind sync is not built yet (built in: ` + "import, http, command, email, sql, export, cleanup, each" + `)`,
		`15:7: jobs.c.kind: "tidemill.x" is not a kind (names that begin with tidemill. are reserved)`,
		`16:3: jobs.d: kind is missing (add kind:)`,
		`19:5: jobs.e.table: "App.Users" is not a table name (put a part with capitals, spaces or other characters in double quotes: '"My Schema"."T"')`,
		`20:5: jobs.e.on_conflict: "skp" is not one of skip, update, error (did you mean skip?)`,
		`21:5: jobs.e.match: "email" is not a list (write it as [email])`,
		`23:5: jobs.e.stall: "0s" is not from 1s to 30d`,
		`24:5: jobs.e.header: "yes" is not true or false`,
		`25:25: jobs.e.columns.b.feild: unknown field (did you mean field?)`,
		`25:36: jobs.e.columns.c: "null" is the empty value of YAML, not text (put it in quotes: "null")`,
		`26:11: jobs.e.set.x: "now on update" is not one of now on insert, now on change`,
		`27:20: jobs.e.reject_limit.rows: "-1" is not from 0 to 1000000000000000`,
		`27:30: jobs.e.reject_limit.ratio: "150%" is not a ratio (write it from 0% to 100%, or as a number below 1)`,
		`28:5: jobs.e.max_record: "8M" is not a size (write it with a unit: B, KB, MB, GB, KiB, MiB or GiB)`,
		`29:5: jobs.e.format: "json" is not one of csv, ndjson`,
		`30:5: jobs.e.on_conflict: defined twice; first at line 20 (remove one of them)`,
		`31:22: jobs.g.table: is a field of kinds import and export, and this job is of kind invoice`,
		`31:32: jobs.g.quue: unknown field (did you mean queue?)`,
	}
	if diff := cmp.Diff(want, messages(t, src, lookup(nil))); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// Rules of one import: fields of a job of kind import, in flow style.
func TestImportRules(t *testing.T) {
	t.Parallel()
	var manyColumns string
	for i := range 1601 {
		manyColumns += fmt.Sprintf("c%d: now on insert,", i)
	}
	tests := map[string]struct {
		fields string
		want   []string // after "jobs.a."; nil: accepted
	}{
		"plain insert, error":          {"on_conflict: error", nil},
		"plain insert, skip":           {"on_conflict: skip", nil},
		"update without match":         {"on_conflict: update", []string{"on_conflict: update needs match (add match: with the columns that make rows the same)"}},
		"update with match":            {"on_conflict: update, match: [x]", nil},
		"match among columns":          {"columns: {x, y}, match: [y, x]", nil},
		"match not among columns":      {"columns: {email, y}, match: [emial]", []string{`match[0]: "emial" is not among columns (did you mean email?)`}},
		"match twice":                  {"match: [x, x]", []string{`match[1]: "x" is there twice (remove one of them)`}},
		"match empty name":             {`match: [""]`, []string{`match[0]: "" is empty`}},
		"long match":                   {"match: [" + strings.Repeat("x,", 33) + "]", []string{"match: has more than the 32 columns that an index can have"}},
		"many columns":                 {"columns: {" + manyColumns + "}", []string{"columns: has more than the 1600 columns that a table can have"}},
		"many rules":                   {"set: {" + manyColumns + "}", []string{"set: has more than the 1600 columns that a table can have"}},
		"match on a stamp":             {"match: [x], set: {x: now on insert}", []string{`match[0]: "x" is set to the time, so no row would ever match (match columns that the file has)`}},
		"number in match":              {"match: [1]", []string{`match[0]: "1" is a number, not text (put it in quotes: "1")`}},
		"set and column":               {"columns: {x}, set: {x: now on change}", []string{"set.x: is filled from the file too (remove it here or from columns)"}},
		"no column":                    {"columns: {}", []string{"columns: no column is given (give at least one, or remove it)"}},
		"columns as list":              {"columns: [x]", []string{"columns: is a list, not a mapping from columns of the table to fields of the file"}},
		"no header, no columns":        {"header: false", []string{"header: without header the columns must be given (add columns: with a field number each, or in the order of the fields)"}},
		"no header, name":              {"header: false, columns: {x: y}", []string{`columns.x: field "y" is a name, and the file has no header (give the number of the field, from 1)`}},
		"no header, some numbers":      {"header: false, columns: {x: 1, y}", []string{"columns.y: has no field number, and other columns have (give all columns a number, or none)"}},
		"no header, zero":              {"header: false, columns: {x: 0}", []string{`columns.x: "0" is not from 1 to 10000`}},
		"header, number":               {"columns: {x: {field: 1}}", []string{"columns.x: field 1 is a number, and the file has a header (put it in quotes if the header has this name, or say header: false)"}},
		"empty field":                  {`columns: {x: ""}`, []string{"columns.x: an empty text names no field (give the name of a field)"}},
		"formats":                      {`columns: {a: {type: number, decimal: ",", grouping: "."}, b: {type: date, layout: [dd.MM.yyyy, excel]}, c: {type: array, separator: ";", element: {type: boolean, true_if: ja, false_if: nein}}, d: {type: text, default: ""}}`, nil},
		"format of no type":            {`columns: {x: {decimal: ","}}`, []string{"columns.x.decimal: has no meaning for type text (it is of type number; set the type, or remove it)"}},
		"format of another type":       {`columns: {x: {type: date, timezone: Asia/Tokyo}}`, []string{"columns.x.timezone: has no meaning for type date (it is of type timestamp; set the type, or remove it)"}},
		"unknown type":                 {`columns: {x: {type: int}}`, []string{`columns.x.type: "int" is not one of text, array, boolean, date, json, number, time, timestamp`}},
		"decimal of two":               {`columns: {x: {type: number, decimal: ",,"}}`, []string{`columns.x.decimal: ",," is not one character that is no digit, letter or sign`}},
		"decimal and grouping":         {`columns: {x: {type: number, grouping: "."}}`, []string{`columns.x.grouping: "." is decimal, too (choose two characters, or leave grouping out)`}},
		"layout of another program":    {`columns: {x: {type: date, layout: [iso, DD.MM.YYYY]}}`, []string{`columns.x.layout[1]: "DD.MM.YYYY" has "DD", which means nothing (write dates like yyyy-MM-dd HH:mm:ss, and enclose text in ')`}},
		"layout, minutes for months":   {`columns: {x: {type: date, layout: yyyy-mm-dd}}`, []string{`columns.x.layout: "yyyy-mm-dd" lacks a year, a month or a day (such as yyyy-MM-dd)`}},
		"place that is none":           {`columns: {x: {type: timestamp, timezone: Mars/Base}}`, []string{`columns.x.timezone: "Mars/Base" is not a time zone (write it like Asia/Tokyo, Europe/Berlin or UTC)`}},
		"one truth":                    {`columns: {x: {type: boolean, true_if: ja}}`, []string{"columns.x.false_if: is missing (give the words of both, or of none)"}},
		"word of both":                 {`columns: {x: {type: boolean, true_if: [a, b], false_if: [c, B]}}`, []string{`columns.x.false_if[1]: "B" is in true_if, too (remove it from one of them)`}},
		"array of arrays":              {`columns: {x: {type: array, element: {type: array}}}`, []string{`columns.x.element.type: "array" is not one of text, boolean, date, json, number, time, timestamp`}},
		"element":                      {`columns: {x: {type: array, element: {type: number, decimal: "5"}}}`, []string{`columns.x.element.decimal: "5" is not one character that is no digit, letter or sign`}},
		"element of separator":         {`columns: {x: {type: array, element: {separator: x}}}`, []string{"columns.x.element.separator: unknown field (known here: type, decimal, grouping, layout, timezone, true_if, false_if)"}},
		"defaults":                     {`columns: {a: {default: 0}, b: {default: no}, c: {type: number, default: -1.5}, d: {type: boolean, default: false}, e: {type: date, default: infinity}, f: {type: json, default: "[]"}}`, nil},
		"default that is none":         {`columns: {x: {type: number, decimal: ",", default: "0,5"}}`, []string{`columns.x.default: "0,5" is no number (write it as PostgreSQL reads it)`}},
		"default of nothing":           {`columns: {x: {default: }}`, []string{"columns.x.default: has no value (give a value, or remove it)"}},
		"long column name":             {"columns: {" + strings.Repeat("x", 64) + ": y}", []string{"columns." + strings.Repeat("x", 64) + `: "` + strings.Repeat("x", 59) + `…" is longer than the 63 bytes of a PostgreSQL name`}},
		"delimiter is quote":           {`delimiter: '"', quote: '"'`, []string{"delimiter: delimiter and quote are the same character"}},
		"quote is delimiter":           {`delimiter: ",", quote: ","`, []string{"delimiter: delimiter and quote are the same character"}},
		"delimiter written as escape":  {`delimiter: '\t'`, nil},
		"delimiter tab":                {`delimiter: "\t"`, nil},
		"delimiter too long":           {`delimiter: "::"`, []string{`delimiter: "::" is not one ASCII character (for a tab write tab or "\t")`}},
		"delimiter not ASCII":          {`delimiter: "、"`, []string{`delimiter: "、" is not one ASCII character (for a tab write tab or "\t")`}},
		"delimiter line end":           {`delimiter: "\n"`, []string{`delimiter: "\n" is not one ASCII character (for a tab write tab or "\t")`}},
		"delimiter empty":              {`delimiter: ""`, []string{`delimiter: an empty text is not one ASCII character (for a tab write tab or "\t")`}},
		"delimiter number":             {`delimiter: 0`, []string{`delimiter: "0" is a number, not text (put it in quotes: "0")`}},
		"args":                         {"args: {}", []string{"args: is a field of a kind that your program registers, and this job is of kind import"}},
		"own delay above inherited":    {"retry: {delay: 2h}", []string{"retry.delay: delay 2h is longer than max_delay 1h (raise max_delay or lower delay)"}},
		"own max_delay below default":  {"retry: {max_delay: 1s}", []string{"retry.max_delay: delay 2s is longer than max_delay 1s (raise max_delay or lower delay)"}},
		"queue":                        {"queue: defualt", []string{`queue: "defualt" is not a configured queue (did you mean default?)`}},
		"queue, no idea":               {"queue: mail", []string{`queue: "mail" is not a configured queue (known here: critical, default, low)`}},
		"priority":                     {"priority: 5", []string{`priority: "5" is not from 1 to 4`}},
		"huge number":                  {"priority: 99999999999999999999", []string{`priority: "99999999999999999999" is not from 1 to 4`}},
		"fraction":                     {"priority: 1.0", []string{`priority: "1.0" is not a whole number`}},
		"mapping for a number":         {"priority: {a: 1}", []string{"priority: is a mapping, not a whole number"}},
		"list for text":                {"queue: [low]", []string{"queue: is a list, not text"}},
		"text for a section":           {"retry: never", []string{`retry: "never" is not a mapping`}},
		"size out of bounds":           {"max_record: 1GiB", []string{`max_record: "1GiB" is not from 1KiB to 64MiB`}},
		"size without unit":            {"max_record: 1000", []string{`max_record: "1000" is not a size (write it with a unit: B, KB, MB, GB, KiB, MiB or GiB)`}},
		"ratio as fraction":            {"reject_limit: {ratio: 0.5}", nil},
		"column with NUL":              {`columns: {"a\0": x}`, []string{`columns.a` + "\x00" + `: "a\x00" holds a NUL character`}},
		"field with NUL":               {`columns: {a: "x\0"}`, []string{"columns.a: holds a NUL character"}},
		"unknown field of reject":      {"reject_limit: {row: 1}", []string{"reject_limit.row: unknown field (did you mean rows?)"}},
		"camel case":                   {"onConflict: skip", []string{"onConflict: unknown field (did you mean on_conflict?)"}},
		"a source that is not any URL": {"source: x", []string{`source: "x" is not a URL (write it like file:///srv/drop/*.csv)`}},
		"source of a unique job":       {`source: "file:///srv/drop/*.csv", unique: true`, []string{"unique: lets one run live at a time, and each file of the source is a run (remove it; a queue with one worker imports one file after the other)"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, line := range messages(t, "jobs: {a: {kind: import, table: t, "+tt.fields+"}}", lookup(nil)) {
				_, after, _ := strings.Cut(line, "jobs.a.")
				got = append(got, after)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValueRules(t *testing.T) {
	t.Parallel()
	const kindForm = ` is not a kind (at most 127 characters: letters, digits and _ - [ ] < > / . : +)`
	tests := map[string]string{ // source to error; empty: accepted
		`database: {url: "host=db user=x"}`:           ``,
		`database: {url: ""}`:                         ``,
		`database: {url: "mysql://root:secret@db/x"}`: `1:12: database.url: is not a URL of scheme postgres (write it like postgres://user@host:5432/name)`,
		`database: {url: secret}`:                     `1:12: database.url: is not a PostgreSQL URL (write it like postgres://user@host:5432/name)`,
		`database: {schema: pg_x}`:                    `1:12: database.schema: "pg_x" is reserved by PostgreSQL (choose a name that does not begin with pg_)`,
		`database: {river_schema: a-b}`:               `1:12: database.river_schema: "a-b" is not a schema name that River takes (letters, digits and _, at most 46)`,
		`storage: {url: "file://data"}`:               `1:11: storage.url: "file://data" is not the URL of an absolute directory (three slashes: write it like file:///var/lib/tidemill)`,
		`storage: {url: /data}`:                       `1:11: storage.url: "/data" is not a URL (write it like file:///var/lib/tidemill)`,
		`metrics: {listen: ""}`:                       ``,
		`metrics: {listen: ":0"}`:                     ``,
		`metrics: {listen: "localhost"}`:              `1:11: metrics.listen: "localhost" is not host:port (write it like 127.0.0.1:9394)`,
		`metrics: {listen: "localhost:http"}`:         `1:11: metrics.listen: "localhost:http" has no port from 0 to 65535 (write it like 127.0.0.1:9394)`,
		`queues: {}`:                                  `1:1: queues: no queue is given (give at least one, such as default: 10)`,
		`queues: [a]`:                                 `1:1: queues: is a list, not a mapping`,
		`queues: {a: }`:                               `1:10: queues.a: has no value (give a whole number, or remove it)`,
		"queues: {a: 1}\njobs: {x: {kind: own}}":      `2:8: jobs.x.queue: "default" is not a configured queue (known here: a)`,
		`jobs: {a: {kind: own, args: [1]}}`:           `1:23: jobs.a.args: is a list, not a mapping`,
		`jobs: {a: {kind: "has space"}}`:              `1:12: jobs.a.kind: "has space"` + kindForm,
		`jobs: {a: {kind: x}}`:                        `1:12: jobs.a.kind: "x"` + kindForm,
		`jobs: {a: {kind: true}}`:                     `1:12: jobs.a.kind: "true" is a truth value, not text (put it in quotes: "true")`,
		`jobs: {a: {kind: }}`:                         `1:12: jobs.a.kind: has no value (give a text, or remove it)`,
		`jobs: {a: import}`:                           `1:8: jobs.a: "import" is not a mapping with the fields of a job`,
		`jobs: {a: }`:                                 `1:8: jobs.a: is empty, not a mapping with the fields of a job`,
		`jobs: {a: {kind: import, table: a.b.c}}`:     `1:26: jobs.a.table: "a.b.c" has more than two parts (write schema.table; the database is that of database.url)`,
		`jobs: {a: {kind: import, table: a..b}}`:      `1:26: jobs.a.table: "a..b" has a part that is empty (write schema.table or table)`,
		`jobs: {a: {kind: import, table: '"a'}}`:      `1:26: jobs.a.table: "\"a" has a quote that is not closed (write schema.table or table)`,
		`jobs: {a: {kind: import, table: '"a"b'}}`:    `1:26: jobs.a.table: "\"a\"b" is not a table name (write schema.table or table)`,
		`jobs: {a: {kind: import, table: my table}}`:  `1:26: jobs.a.table: "my table" is not a table name (put a part with capitals, spaces or other characters in double quotes: '"My Schema"."T"')`,
		`jobs: {a: {kind: import}}`:                   `1:8: jobs.a: table is missing (add table:)`,
		`jobs: {"a.b": {kind: own}}`:                  `1:8: jobs."a.b": "a.b" is not a job name (lower-case letters, digits, - and _, a letter or digit first, at most 64)`,
		`retry: {delay: 2h}`:                          `1:9: retry.delay: delay 2h is longer than max_delay 1h (raise max_delay or lower delay)`,
		`drain_timeout: -1s`:                          `1:1: drain_timeout: "-1s" is not a duration (write it like 30s, 10m, 1h30m or 1d12h)`,
		`max_args: 1B`:                                `1:1: max_args: "1B" is not from 1KiB to 64MiB`,
		`drain_timeout: 25h`:                          `1:1: drain_timeout: "25h" is not from 0s to 1d`,
		`alerts: [{on: [health]}]`:                    `1:1: alerts: unknown field (known here: database, storage, mail, server, metrics, queues, retry, retention, drain_timeout, max_args, reload, timezone, jobs, schedules)`,
	}
	for src, want := range tests {
		if got := strings.Join(messages(t, src, lookup(nil)), "\n"); got != want {
			t.Errorf("%s\n got %s\nwant %s", src, got, want)
		}
	}
}

func TestReservedKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"health", "report", "sync"} {
		want := []string{"1:12: jobs.a.kind: kind " + kind + " is not built yet (built in: " + "import, http, command, email, sql, export, cleanup, each" + ")"}
		if diff := cmp.Diff(want, messages(t, "jobs: {a: {kind: "+kind+", url: x}}", lookup(nil))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	known := []string{"max_attempts", "max_delay", "delay", "jitter"}
	for got, want := range map[string]string{
		"max_attempt": "max_attempts", "maxAttempts": "max_attempts", "Max-Delay": "max_delay", "dealy": "delay",
		"jiter": "jitter", "foo": "", "": "", strings.Repeat("delay", 100): "",
	} {
		if s := field.Suggest(got, known); s != want {
			t.Errorf("suggest(%q) = %q, want %q", field.Shorten(got), s, want)
		}
	}
}
