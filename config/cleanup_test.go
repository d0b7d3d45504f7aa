package config_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/kinds/cleanupjob"
)

func TestParseCleanup(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
jobs:
  short: {kind: cleanup, rules: [{table: logs, column: at, older_than: 30d}]}
  long:
    kind: cleanup
    rules:
      - {table: '"My S"."T"', column: The Time, expired: true, where: "status = 'done'", timezone: Asia/Tokyo}
      - {table: app.logs, column: at, older_than: 1d12h}
    batch: 100
    max_batch: 2000
    target: 100ms
    statement_timeout: 1s
    lock_timeout: 50ms
    pause: 50%
    allow_seq_scan: true
    archive: csv
    stall: 1m
`)
	want := &cleanupjob.Config{
		Rules: []cleanupjob.Rule{{Table: config.Table{Name: "logs"}, Column: "at", OlderThan: 30 * field.Day}},
		Batch: 500, MaxBatch: 500, Target: 200 * time.Millisecond, StatementTimeout: 500 * time.Millisecond,
		LockTimeout: 200 * time.Millisecond, Pause: 1, Archive: cleanupjob.ArchiveNone,
	}
	if diff := cmp.Diff(want, c.Jobs["short"].Spec.(*cleanupjob.Config)); diff != "" {
		t.Errorf("short (-want +got):\n%s", diff)
	}
	want = &cleanupjob.Config{
		Rules: []cleanupjob.Rule{
			{Table: config.Table{Schema: "My S", Name: "T"}, Column: "The Time", Expired: true, Where: "status = 'done'", Timezone: "Asia/Tokyo"},
			{Table: config.Table{Schema: "app", Name: "logs"}, Column: "at", OlderThan: 36 * time.Hour},
		},
		Batch: 100, MaxBatch: 2000, Target: 100 * time.Millisecond, StatementTimeout: time.Second, LockTimeout: 50 * time.Millisecond,
		Pause: 0.5, AllowSeqScan: true, Archive: config.CSV,
	}
	long := c.Jobs["long"]
	if diff := cmp.Diff(want, long.Spec.(*cleanupjob.Config)); diff != "" {
		t.Errorf("long (-want +got):\n%s", diff)
	}
	if long.Params == nil || len(long.Params) > 0 || long.Stall != time.Minute {
		t.Errorf("params %v, stall %s", long.Params, long.Stall)
	}
}

func TestCleanupMaxBatch(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]int{
		"pause: 50%": 500, "batch: 100": 500, "batch: 2000": 2000, "archive: csv": 10_000, "archive: csv, batch: 20000": 20_000, "batch: 50, max_batch: 60": 60,
	} {
		c, err := config.Parse("test.yaml", []byte("jobs: {j: {kind: cleanup, rules: [{table: t, column: a, expired: true}], "+fields+"}}"), &config.Opts{Kinds: allKinds()})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Jobs["j"].Spec.(*cleanupjob.Config).MaxBatch; got != want {
			t.Errorf("%s: %d, want %d", fields, got, want)
		}
	}
}

func TestCleanupRules(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		"":                                    "1:8: jobs.j: rules is missing (add rules:)",
		"rules: []":                           "1:27: jobs.j.rules: is an empty list (write it like [{table: app.logs, column: created_at, older_than: 30d}])",
		"rules: {table: t}":                   "1:27: jobs.j.rules: is a mapping, not a list of rules, such as [{table: app.logs, column: created_at, older_than: 30d}]",
		"rules: [{column: a, expired: true}]": "1:36: jobs.j.rules[0]: table is missing (add table:)",
		"rules: [{table: t, expired: true}]":  "1:36: jobs.j.rules[0]: column is missing (add column:)",
		"rules: [{table: t, column: a}]":      "1:36: jobs.j.rules[0]: does not say which rows are due (add older_than: 30d, or expired: true)",
		"rules: [{table: t, column: a, expired: false}]":                                      "1:36: jobs.j.rules[0]: does not say which rows are due (add older_than: 30d, or expired: true)",
		"rules: [{table: t, column: a, older_than: 1d, expired: true}]":                       "1:73: jobs.j.rules[0].expired: is given beside older_than (remove it, or older_than)",
		"rules: [{table: t, column: a, older_than: 0s}]":                                      `1:57: jobs.j.rules[0].older_than: "0s" is not from 1s to 36500d`,
		"rules: [{table: t, column: a, expired: true, where: ' '}]":                           `1:72: jobs.j.rules[0].where: " " is no condition (write it like "status = 'done'", or remove it)`,
		"rules: [{table: t, column: a, expired: true, timezone: x}]":                          `1:72: jobs.j.rules[0].timezone: "x" is not a time zone (write it like Asia/Tokyo, Europe/Berlin or UTC)`,
		"rules: [{table: t, column: a, expired: true}, {table: t, column: a, expired: true}]": "1:74: jobs.j.rules[1]: is the same as rule 1 (remove it)",
		"rules: [{table: t, column: a, expired: true}], batch: 2000, max_batch: 1000":         "1:87: jobs.j.max_batch: max_batch 1000 is less than batch 2000",
		"rules: [{table: t, column: a, expired: true}], target: 1s":                           "1:8: jobs.j.statement_timeout: statement_timeout 500ms is less than target 1s",
		"rules: [{table: t, column: a, expired: true}], archive: xml":                         `1:74: jobs.j.archive: "xml" is not one of none, csv`,
		"rules: [{table: t, column: a, expired: true}], params: {}":                           "1:74: jobs.j.params: is a field of",
	} {
		got := messages(t, "jobs: {j: {kind: cleanup, "+fields+"}}", nil)
		if len(got) != 1 || len(got[0]) < len(want) || got[0][:len(want)] != want {
			t.Errorf("%s\n got %q\nwant %q", fields, got, want)
		}
	}
}
