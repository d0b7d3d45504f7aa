package config_test

import (
	"math"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/config"
)

func TestHash(t *testing.T) {
	t.Parallel()
	const base = "kind: import, table: app.t, columns: {a: A, b: {field: B, null_if: [x, y]}}, set: {c: now on insert, d: now on change}, match: [a, b], on_conflict: skip"
	hash := func(fields string) string {
		return mustParse(t, withMail+"jobs: {k: {kind: own}, j: {"+fields+"}}").Jobs["j"].Hash()
	}
	// Runs that are stored in a database name the version: it must not change
	// by accident.
	if got, want := hash(base), "754b1b7aec115ceb57cc3b3872aa66ec483bc6ac6c90bb217e75b89b88d51213"; got != want {
		t.Errorf("hash of an import is %s, want %s", got, want)
	}
	if got, want := hash("kind: own, args: {a: 1}"), "e301f5b372e73da9bfecec5f8064173db161cf46aed070fc4608c91c9c23bae1"; got != want {
		t.Errorf("hash of an own kind is %s, want %s", got, want)
	}

	for fields, want := range map[string]string{
		`kind: http, url: "http://h", headers: {A: b}, params: {p: {type: json, default: {a: 1}}}`: "4634d8eaff708c366b600873283c6da0dec7a736d5b4bf3110b5b5ecbf353dce",
		"kind: command, argv: [a], dir: d, env: {A: b}":                                            "f284335375b0db6a4924709b5e7274bdb50e0cc79cb2769ef79336ce68c5587d",
		"kind: email, to: a@b.c, subject: s, text: t":                                              "f22fb6ef3e7f764c4892dc8b0b8f2e82a6359c6814fbd59962e0c872242ba222",
		"kind: sql, statement: SELECT 1":                                                           "7844a482a3e97a9b5941e6fa9cd7d91e1b1174cec47f515ec40f88af270bea82",
		"kind: export, table: app.t":                                                               "3594ce68a3b72661b3e4cb80539d51de3c942f88b83751ce5482d1a0edc3edf7",
		"kind: each, query: SELECT 1 AS id, order_by: [id], enqueue: {job: k}":                     "8cb7e16a73708263fe6d4aa6ede945bbcce38a4c56754cfb2c6554b2f31e60de",
		"kind: cleanup, rules: [{table: a.t, column: c, older_than: 1d}]":                          "c875f9cc9e685c0aa524b394da6daed13cc279bcb7bf241f62877bdc720f6d4b",
	} {
		if got := hash(fields); got != want {
			t.Errorf("hash of %s is %s, want %s", fields, got, want)
		}
	}

	for _, same := range []string{
		base + ", queue: low, priority: 3, retry: {delay: 1s}, stall: 1h, retention: {runs: 1d}, max_record: 1MiB, reject_limit: {rows: 1}",
		base + `, format: csv, header: true, ragged: reject`,
		strings.Replace(base, "a: A", "a: {field: A, type: text}", 1),
		`kind: import, table: '"app".t', on_conflict: skip, match: [b, a], set: {d: now on change, c: now on insert}, columns: {b: {null_if: [y, x], field: B, trim: false}, a: {field: A}}`,
	} {
		if hash(same) != hash(base) {
			t.Errorf("hash differs for the same meaning: %s", same)
		}
	}
	seen := map[string]string{}
	for _, other := range []string{
		base,
		base + `, delimiter: ";"`,
		base + `, quote: "'"`,
		base + `, delimiter: ",", quote: '"'`, // not found out
		base + ", encoding: utf-8", base + ", compression: none", base + ", comment: '#'", base + ", ragged: pad", base + ", format: ndjson",
		"kind: import, table: app.t",
		"kind: import, table: t",
		"kind: import, table: '\"app.t\"'",
		"kind: import, table: app.t, header: false, columns: {a, b}",
		"kind: import, table: app.t, header: false, columns: {b, a}",
		"kind: import, table: app.t, columns: {a, b}",
		"kind: import, table: app.t, columns: {a, b: {trim: true}}",
		"kind: import, table: app.t, columns: {a, b: {null_if: [x]}}",
		"kind: import, table: app.t, columns: {a, b: {null_if: [y]}}",
		"kind: import, table: app.t, columns: {a, b: a}",
		"kind: import, table: app.t, columns: {a, b: {default: x}}",
		"kind: import, table: app.t, columns: {a, b: {default: ''}}",
		"kind: import, table: app.t, columns: {a, b: {type: number}}",
		"kind: import, table: app.t, columns: {a, b: {type: number, decimal: ','}}",
		"kind: import, table: app.t, columns: {a, b: {type: date, layout: [iso, excel]}}",
		"kind: import, table: app.t, columns: {a, b: {type: date, layout: [excel, iso]}}",
		"kind: import, table: app.t, columns: {a, b: {type: timestamp}}",
		"kind: import, table: app.t, columns: {a, b: {type: timestamp, timezone: UTC}}",
		"kind: import, table: app.t, columns: {a, b: {type: boolean, true_if: a, false_if: b}}",
		"kind: import, table: app.t, columns: {a, b: {type: array, separator: a}}",
		"kind: import, table: app.t, columns: {a, b: {type: array, separator: a, element: {type: number}}}",
		"kind: cleanup, rules: [{table: a.t, column: c, older_than: 1d}]",
		"kind: cleanup, rules: [{table: a.t, column: c, older_than: 2d}]",
		"kind: cleanup, rules: [{table: a.t, column: c, expired: true}]",
		"kind: cleanup, rules: [{table: a.t, column: c, older_than: 1d, where: x}]",
		"kind: cleanup, rules: [{table: a.t, column: c, older_than: 1d, timezone: UTC}]",
		"kind: cleanup, rules: [{table: a.t, column: c, older_than: 1d}], archive: csv",
		"kind: cleanup, rules: [{table: a.t, column: c, older_than: 1d}, {table: a.u, column: c, older_than: 1d}]",
		"kind: cleanup, rules: [{table: a.u, column: c, older_than: 1d}, {table: a.t, column: c, older_than: 1d}]",
		"kind: import, table: app.t, match: [a]",
		"kind: import, table: app.t, match: [a], on_conflict: skip",
		"kind: import, table: app.t, match: [a], on_conflict: update",
		"kind: import, table: app.t, set: {c: now on insert}",
		"kind: import, table: app.t, set: {c: now on change}",
		"kind: own",
		"kind: own2",
		"kind: own, args: {a: 1}",
		"kind: own, args: {a: 1.0}",
		`kind: own, args: {a: "1"}`,
		"kind: own, args: {a: 123456789012345678901}",
		"kind: own, args: {a: 123456789012345678902}",
		"kind: own, params: {a: text}",
		"kind: own, params: {a: integer}",
		"kind: own, params: {b: text}",
		"kind: own, params: {a: {type: text, default: null}}",
		"kind: own, params: {a: {type: text, default: x}}",
		"kind: own, params: {a: text, b: text}",
		"kind: http, url: 'http://h'",
		"kind: http, url: 'http://h/x'",
		"kind: http, url: 'http://h', method: GET",
		"kind: http, url: 'http://h', headers: {A: b}",
		"kind: http, url: 'http://h', headers: {B: b}",
		"kind: http, url: 'http://h', params: {a: text}",
		"kind: command, argv: [a]",
		"kind: command, argv: [a, b]",
		"kind: command, argv: ['a b']",
		"kind: command, argv: [b, a]",
		"kind: command, argv: [a], dir: d",
		"kind: command, argv: [a], env: {A: b}",
		"kind: email, to: a@b.c, subject: s, text: t",
		"kind: email, to: a@b.d, subject: s, text: t",
		"kind: email, to: [a@b.c, d@e.f], subject: s, text: t",
		"kind: email, to: a@b.c, cc: d@e.f, subject: s, text: t",
		"kind: email, to: a@b.c, bcc: d@e.f, subject: s, text: t",
		"kind: email, to: a@b.c, from: d@e.f, subject: s, text: t",
		"kind: email, to: a@b.c, reply_to: d@e.f, subject: s, text: t",
		"kind: email, to: a@b.c, subject: t, text: t",
		"kind: email, to: a@b.c, subject: s, html: t",
		"kind: email, to: a@b.c, subject: s, template: t",
		"kind: email, to: a@b.c, subject: s, text: t, attach: [a]",
		"kind: sql, statement: SELECT 1",
		"kind: sql, statement: SELECT 2",
	} {
		h := hash(other)
		if first, dup := seen[h]; dup {
			t.Errorf("same hash for\n%s\n%s", first, other)
		}
		seen[h] = other
	}
	for a, b := range map[string]string{
		"kind: http, url: 'http://h', headers: {A: b, C: d}":      "kind: http, url: 'http://h', headers: {c: x, a: y}, secret: 0123456789abcdef, timeout: 1s, max_response: 1B",
		"kind: command, argv: [a], env: {A: b}":                   "kind: command, argv: [a], env: {A: c}, timeout: 1s, max_output: 1KiB, unique: true",
		"kind: email, to: a@b.c, subject: s, text: t":             "kind: email, to: [a@b.c], subject: s, text: t, timeout: 1s",
		"kind: sql, statement: SELECT 1":                          "kind: sql, statement: SELECT 1, params: {}, timeout: 1s, max_rows: 1",
		"kind: own, params: {a: text, b: {type: date, doc: one}}": "kind: own, params: {b: {type: date, doc: two}, a: {type: text}}",
	} {
		if hash(a) != hash(b) {
			t.Errorf("hash differs for the same meaning:\n%s\n%s", a, b)
		}
	}
	if hash("kind: own, args: {a: 1, b: {c: 2, d: 3}}") != hash("kind: own, args: {b: {d: 3, c: 2}, a: 1}") {
		t.Error("hash depends on the order of the arguments")
	}
	if (&config.Job{Kind: "own", Args: []byte("{")}).Hash() == (&config.Job{Kind: "own", Args: []byte("[")}).Hash() {
		t.Error("arguments that are not JSON have the same hash")
	}
}

func TestConfigHash(t *testing.T) {
	t.Parallel()
	hash := func(src string) string {
		c, err := config.Parse("", []byte(src), lookup(map[string]string{"A": "whsec_VGlkZW1pbGxUaWRlbWlsbFRpZGVtaWxs", "B": "0123456789abcdef"}))
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		return c.Hash()
	}
	const jobs = "jobs: {h: {kind: http, url: 'http://h', headers: {A: '${A}'}, secret: '${A}'}, o: {kind: own}}\n"
	for _, same := range []string{
		"jobs: {o: {kind: own, args: {}}, h: {url: 'http://h', kind: http, secret: ['${B}'], headers: {a: '${B}'}, priority: 1, timeout: 30s}}\n",
		jobs + "database: {url: 'postgres://u:p@h'}\nstorage: {url: 'file:///x'}\nmetrics: {listen: ''}\nmail: {url: 'smtp://h', templates: ./x}\n",
		jobs + "retry: {delay: 2s}\nqueues: {low: 5, critical: {workers: 10}, default: 20}\n",
	} {
		if hash(same) != hash(jobs) {
			t.Errorf("hash differs for the same meaning: %s", same)
		}
	}
	seen := map[string]string{}
	if hash(jobs+"server: {listen: '', cron_secret: '${B}', tokens: [{name: a, role: admin, token: '${A}'}]}\n") != hash(jobs) {
		t.Error("hash depends on who may use the server")
	}
	const own, when = "{kind: own, schedule: {every: 1h, params: {a: 1, b: 2}}}", "schedules: {o: {job: o, every: 60m, timezone: UTC, overlap: skip, params: {b: 2, a: 1}}}\n"
	if hash(strings.Replace(jobs, "{kind: own}", own, 1)) != hash(jobs+when) {
		t.Error("hash depends on where the schedule is")
	}
	for _, other := range []string{
		"jobs:\n",
		jobs + when,
		jobs + strings.Replace(when, "{o:", "{p:", 1),
		jobs + strings.Replace(when, "job: o", "job: h", 1),
		jobs + strings.Replace(when, "60m", "61m", 1),
		jobs + strings.Replace(when, "every: 60m", "cron: 0 * * * *", 1),
		jobs + strings.Replace(when, "UTC", "Asia/Tokyo", 1),
		jobs + strings.Replace(when, "skip", "queue", 1),
		jobs + strings.Replace(when, "a: 1", "a: '1'", 1),
		jobs + strings.Replace(when, "overlap", "catch_up: all, overlap", 1),
		jobs + strings.Replace(when, "overlap", "catch_up_window: 1h, overlap", 1),
		jobs + strings.Replace(when, "overlap", "jitter: 1s, overlap", 1),
		jobs,
		strings.Replace(jobs, "o: {", "o2: {", 1),
		strings.Replace(jobs, "kind: own", "kind: own, queue: low", 1),
		strings.Replace(jobs, "kind: own", "kind: own, priority: 2", 1),
		strings.Replace(jobs, "kind: own", "kind: own, retry: {max_attempts: 3}", 1),
		strings.Replace(jobs, "kind: own", "kind: own, retry: {delay: 2s}", 1), // takes the place of what the program says
		strings.Replace(jobs, "kind: own", "kind: own, retention: {runs: 1d}", 1),
		strings.Replace(jobs, "kind: own", "kind: own, unique: true", 1),
		strings.Replace(jobs, "kind: own", "kind: own, stall: 1m", 1),
		strings.Replace(jobs, "kind: own", "kind: own, params: {}", 1),
		strings.Replace(jobs, "kind: own", "kind: own, params: {a: text}", 1),
		strings.Replace(jobs, "kind: own", "kind: own, args: {a: 1}", 1),
		strings.Replace(jobs, "kind: own", "kind: import, table: t", 1),
		strings.Replace(jobs, "kind: own", "kind: import, table: t, max_record: 1MiB", 1),
		strings.Replace(jobs, "kind: own", "kind: import, table: t, reject_limit: {rows: 1}", 1),
		strings.Replace(jobs, "kind: own", "kind: command, argv: [x]", 1),
		strings.Replace(jobs, "kind: own", "kind: command, argv: [x], timeout: 1m", 1),
		strings.Replace(jobs, "kind: own", "kind: command, argv: [x], max_output: 1KiB", 1),
		strings.Replace(jobs, "kind: own", "kind: cleanup, rules: [{table: t, column: a, expired: true}]", 1),
		strings.Replace(jobs, "kind: own", "kind: cleanup, rules: [{table: t, column: a, expired: true}], pause: 0%", 1),
		strings.Replace(jobs, "kind: own", "kind: cleanup, rules: [{table: t, column: a, expired: true}], allow_seq_scan: true", 1),
		strings.Replace(jobs, "kind: own", "kind: sql, statement: SELECT 1", 1),
		strings.Replace(jobs, "kind: own", "kind: sql, statement: SELECT 1, max_rows: 1", 1),
		strings.Replace(jobs, "kind: own", "kind: sql, statement: SELECT 1, timeout: 1m", 1),
		withMail + strings.Replace(jobs, "kind: own", "kind: email, to: a@b.c, subject: s, text: t", 1),
		withMail + strings.Replace(jobs, "kind: own", "kind: email, to: a@b.c, subject: s, text: t, timeout: 2m", 1),
		strings.Replace(jobs, "headers:", "max_response: 0B, headers:", 1),
		strings.Replace(jobs, "headers:", "timeout: 1s, headers:", 1),
		jobs + "timezone: Asia/Tokyo",
		jobs + "drain_timeout: 1m",
		jobs + "max_args: 2MiB",
		jobs + "queues: {default: 20, low: 5}",
		jobs + "retry: {delay: 1s}",
		jobs + "retention: {runs: 1d}",
		jobs + "mail: {from: x@y.z}",
		jobs + "database: {notify: false}",
		jobs + "database: {schema: x}",
		jobs + "database: {river_schema: x}",
	} {
		h := hash(other)
		if first, dup := seen[h]; dup {
			t.Errorf("same hash for\n%s\n%s", first, other)
		}
		seen[h] = other
	}
	odd := config.Default()
	odd.Retry.Jitter = math.NaN()
	if odd.Hash() == config.Default().Hash() {
		t.Error("same hash with a ratio that is no number")
	}
}
