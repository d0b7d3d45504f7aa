package config_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
)

// lookup gives Parse the names of vars and no others.
func lookup(vars map[string]string) *config.Opts {
	return &config.Opts{Kinds: allKinds(), Lookup: func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}}
}

func mustParse(t *testing.T, src string) *config.Config {
	t.Helper()
	c, err := config.Parse("tidemill.yaml", []byte(src), lookup(nil))
	if err != nil {
		t.Fatalf("Parse:\n%v\nof:\n%s", err, src)
	}
	return c
}

// messages are the lines of the error for src without the name of the file.
func messages(t *testing.T, src string, opts *config.Opts) []string {
	t.Helper()
	if opts == nil {
		opts = &config.Opts{Kinds: allKinds()}
	}
	c, err := config.Parse("", []byte(src), opts)
	if err == nil {
		return nil
	}
	if c != nil {
		t.Error("Parse returned a config with an error")
	}
	var all field.Errors
	if !errors.As(err, &all) {
		t.Fatalf("error of type %T, want Errors", err)
	}
	var out []string
	for _, e := range all {
		out = append(out, e.Error())
	}
	return out
}

var ignoreTree = cmpopts.IgnoreUnexported(config.Config{})

func TestParseEveryField(t *testing.T) {
	t.Parallel()
	got, err := config.Parse("all.yaml", []byte(`
database: {url: "${DATABASE_URL}", schema: batch, river_schema: App, notify: false}
storage: {url: "file:///srv/files", file_mode: "0640", folder_mode: "0750"}
mail: {url: "smtps://u:${PASSWORD}@h:465?tls=none", from: "Tidemill <jobs@example.com>", templates: ./mail}
timezone: Asia/Tokyo
metrics: {listen: "[::1]:80"}
server:
  listen: ":8080"
  cron_secret: ["${SECRET}", another-secret-of-vercel]
  tokens: [{name: ops, role: admin, token: "${TOKEN}"}, {name: eye_1, role: viewer, token: abcdefghijklmnop}]
queues: {one: 3, two: {workers: 10000}}
retry: {max_attempts: 4, backoff: linear, delay: 1500ms, max_delay: 1d12h, jitter: 0.25}
retention: {succeeded: 1h, failed: 30d, cancelled: forever, runs: 60d, rejects: 1d12h}
drain_timeout: 1m30s
max_args: 2MiB
reload: auto
jobs:
  load:
    kind: import
    queue: two
    priority: 4
    retry: {delay: 1s, backoff: constant}
    retention: {failed: forever, runs: 1d}
    unique: true
    stall: 1d
    table: '"My Schema".people'
    format: csv
    header: false
    delimiter: tab
    quote: "'"
    columns: {id: 2, name: {field: 1, trim: true, null_if: ["", "null"]}}
    set: {made: now on insert, seen: now on change}
    match: [id]
    on_conflict: update
    reject_limit: {rows: 0, ratio: 2.5%}
    max_record: 1.5KiB
  invoice:
    kind: billing.invoice
    queue: one
    args: {since: 2026-01-01, n: [1, -2.50, 1e400, true, null, ~], s: "<é>", sub: {}}
    schedule:
      cron: "0 9 * * mon-fri"
      timezone: Europe/Berlin
      catch_up: all
      catch_up_window: 7d
      overlap: queue
      jitter: 1m30s
      params: {n: 1, b: [x], a: }
schedules:
  more: {job: invoice, every: 1d12h}
`), lookup(map[string]string{"SECRET": "0123456789abcdef", "TOKEN": "fedcba9876543210", "DATABASE_URL": "postgres://u:p@h/db", "PASSWORD": "p%40"}))
	if err != nil {
		t.Fatal(err)
	}
	top := config.Retry{MaxAttempts: 4, Backoff: config.Linear, Delay: 1500 * time.Millisecond, MaxDelay: 36 * time.Hour, Jitter: 0.25}
	own := top
	own.Delay, own.Backoff = time.Second, config.Constant
	kept := config.Retention{Succeeded: time.Hour, Failed: 30 * field.Day, Cancelled: config.Forever, Runs: 60 * field.Day, Rejects: 36 * time.Hour}
	ownKept := kept
	ownKept.Failed, ownKept.Runs, ownKept.Rejects = config.Forever, field.Day, field.Day
	weekdays := &config.Schedule{
		Name: "invoice", Job: "invoice", Cron: "0 9 * * mon-fri", Timezone: "Europe/Berlin", CatchUp: config.CatchUpAll, CatchUpWindow: 7 * field.Day,
		Overlap: config.OverlapQueue, Jitter: 90 * time.Second, Params: []byte(`{"n":1,"b":["x"],"a":null}`),
	}
	want := &config.Config{
		File:     "all.yaml",
		Database: config.Database{URL: "postgres://u:p@h/db", Schema: "batch", RiverSchema: "App"},
		Storage:  config.Storage{URL: "file:///srv/files", FileMode: "0640", FolderMode: "0750"},
		Mail:     config.Mail{URL: "smtps://u:p%40@h:465?tls=none", From: "Tidemill <jobs@example.com>", Templates: "./mail"},
		Server: config.Server{
			Listen:      ":8080",
			CronSecrets: []string{"0123456789abcdef", "another-secret-of-vercel"},
			Tokens: []config.Token{
				{Name: "ops", Role: config.RoleAdmin, Token: "fedcba9876543210"}, {Name: "eye_1", Role: config.RoleViewer, Token: "abcdefghijklmnop"},
			},
		},
		Metrics:      config.Metrics{Listen: "[::1]:80"},
		Queues:       map[string]config.Queue{"one": {Workers: 3}, "two": {Workers: 10000}},
		Retry:        top,
		Retention:    kept,
		DrainTimeout: 90 * time.Second,
		Reload:       config.ReloadAuto,
		MaxArgs:      2 << 20,
		Timezone:     "Asia/Tokyo",
		Jobs: map[string]*config.Job{
			"load": {
				Name: "load", Kind: "import", Queue: "two", Priority: 4, Retry: own, OwnDelays: true, Retention: ownKept, Unique: true, Stall: 24 * time.Hour, Params: []config.Param{},
				Spec: &importjob.Config{
					Table: config.Table{Schema: "My Schema", Name: "people"}, Format: "csv", Delimiter: '\t', Quote: '\'', Ragged: importjob.RaggedReject,
					Columns: []importjob.Column{
						{Target: "id", Number: 2},
						{Target: "name", Number: 1, Trim: true, NullIf: []string{"", "null"}},
					},
					Set:        []importjob.SetRule{{Column: "made", Value: "now", When: importjob.OnInsert}, {Column: "seen", Value: "now", When: importjob.OnChange}},
					Match:      []string{"id"},
					OnConflict: importjob.Update, RejectLimit: importjob.RejectLimit{Rows: 0, Ratio: 0.025}, MaxRecord: 1536, Mode: importjob.Chunked, Writers: 1, Again: importjob.AgainChanged,
				},
			},
			"invoice": {
				Name: "invoice", Kind: "billing.invoice", Queue: "one", Priority: 1, Retry: top, Retention: kept, Stall: 10 * time.Minute,
				Args: []byte(`{"since":"2026-01-01","n":[1,-2.50,1e400,true,null,null],"s":"<é>","sub":{}}`), Schedule: weekdays,
			},
		},
		Schedules: map[string]*config.Schedule{
			"invoice": weekdays,
			"more": {
				Name: "more", Job: "invoice", Every: 36 * time.Hour, Timezone: "Asia/Tokyo", CatchUp: config.CatchUpLatest, CatchUpWindow: field.Day,
				Overlap: config.OverlapSkip,
			},
		},
	}
	if diff := cmp.Diff(want, got, ignoreTree); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	want := &config.Config{
		Database:     config.Database{Schema: "tidemill", RiverSchema: "tidemill", Notify: true},
		Storage:      config.Storage{FileMode: "0600", FolderMode: "0700"},
		Server:       config.Server{Listen: "127.0.0.1:8080"},
		Metrics:      config.Metrics{Listen: "127.0.0.1:9394"},
		Queues:       map[string]config.Queue{"critical": {10}, "default": {20}, "low": {5}},
		Retry:        config.Retry{MaxAttempts: 10, Backoff: config.Exponential, Delay: 2 * time.Second, MaxDelay: time.Hour, Jitter: 0.1},
		Retention:    config.Retention{Succeeded: field.Day, Failed: config.Forever, Cancelled: 7 * field.Day, Runs: 90 * field.Day, Rejects: 90 * field.Day},
		DrainTimeout: 30 * time.Second,
		Reload:       config.ReloadManual,
		MaxArgs:      1 << 20,
		Timezone:     "UTC",
		Jobs:         map[string]*config.Job{},
		Schedules:    map[string]*config.Schedule{},
	}
	if diff := cmp.Diff(want, config.Default(), ignoreTree); diff != "" {
		t.Errorf("Default (-want +got):\n%s", diff)
	}
	want.File = "tidemill.yaml"
	empty := mustParse(t, "jobs:\nqueues:\nretry:\ndatabase: {}\nschedules:\nserver: {tokens: }\n")
	if diff := cmp.Diff(want, empty, ignoreTree); diff != "" {
		t.Errorf("empty sections (-want +got):\n%s", diff)
	}

	job := mustParse(t, "jobs: {a: {kind: import, table: t, match: }, b: {kind: own}}").Jobs
	wantJob := map[string]*config.Job{
		"a": {Name: "a", Kind: "import", Queue: "default", Priority: 1, Retry: want.Retry, Retention: want.Retention, Stall: 10 * time.Minute, Params: []config.Param{}, Spec: &importjob.Config{
			Table: config.Table{Name: "t"}, Format: "csv", Header: true, Ragged: importjob.RaggedReject, OnConflict: importjob.Reject,
			RejectLimit: importjob.RejectLimit{Rows: 1000, Ratio: 1}, MaxRecord: 8 << 20, Mode: importjob.Chunked, Writers: 1, Again: importjob.AgainChanged,
		}},
		"b": {Name: "b", Kind: "own", Queue: "default", Priority: 1, Retry: want.Retry, Retention: want.Retention, Stall: 10 * time.Minute, Args: []byte(`{}`)},
	}
	if diff := cmp.Diff(wantJob, job); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

func TestRetryIsInheritedWhereverItStands(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "jobs: {a: {kind: own, retry: {max_attempts: 3}}}\nretry: {delay: 7s}\n")
	want := config.Retry{MaxAttempts: 3, Backoff: config.Exponential, Delay: 7 * time.Second, MaxDelay: time.Hour, Jitter: 0.1}
	if diff := cmp.Diff(want, c.Jobs["a"].Retry); diff != "" {
		t.Errorf("retry (-want +got):\n%s", diff)
	}
}

func TestOwnDelays(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]bool{
		"":                                    false,
		"retry: ":                             false,
		"retry: {}":                           false,
		"retry: {max_attempts: 3}":            false,
		"retry: {delay: 2s}":                  true, // the same as the default, and yet said
		"retry: {max_delay: 2h}":              true,
		"retry: {backoff: linear}":            true,
		"retry: {jitter: 0%}":                 true,
		"retry: {max_attempts: 3, delay: 1s}": true,
		"retry: {<<: {jitter: 1%}}":           true,
	} {
		c := mustParse(t, "retry: {delay: 5s}\njobs: {a: {kind: own, "+fields+"}}")
		if got := c.Jobs["a"].OwnDelays; got != want {
			t.Errorf("%s: own delays %t, want %t", fields, got, want)
		}
	}
}

func TestRejectsFollowRuns(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		top, job string
		want     time.Duration
	}{
		"nothing said":             {"", "", 90 * field.Day},
		"runs of the top":          {"runs: 30d", "", 30 * field.Day},
		"own runs, longer":         {"runs: 30d", "runs: 60d", 60 * field.Day},
		"own runs, shorter":        {"runs: 30d", "runs: 1d", field.Day},
		"rejects of the top":       {"runs: 30d, rejects: 5d", "runs: 60d", 5 * field.Day},
		"cut by own runs":          {"runs: 30d, rejects: 5d", "runs: 1d", field.Day},
		"own rejects":              {"runs: 30d, rejects: 5d", "rejects: 6d", 6 * field.Day},
		"forever with their runs":  {"runs: forever", "", config.Forever},
		"forever, of a job's runs": {"", "runs: forever, rejects: forever", config.Forever},
		"none":                     {"", "rejects: 0s", 0},
	} {
		c := mustParse(t, "jobs: {a: {kind: own, retention: {"+tt.job+"}}}\nretention: {"+tt.top+"}\n")
		if got := c.Jobs["a"].Retention.Rejects; got != tt.want {
			t.Errorf("%s: rejects are kept %s, want %s", name, got, tt.want)
		}
	}
}

func TestRetentionIsChecked(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"retention: {failed: never}":                                   {`1:13: retention.failed: "never" is not a duration (write it like 12h or 90d, or forever)`},
		"retention: {failed: Forever}":                                 {`1:13: retention.failed: "Forever" is not a duration (write it like 12h or 90d, or forever)`},
		"retention: {failed: 30}":                                      {`1:13: retention.failed: "30" is not a duration (write it like 12h or 90d, or forever)`},
		"retention: {failed: -1h}":                                     {`1:13: retention.failed: "-1h" is not a duration (write it like 12h or 90d, or forever)`},
		"retention: {failed: }":                                        {`1:13: retention.failed: has no value (give a duration, or remove it)`},
		"retention: {failed: 90000d}":                                  {`1:13: retention.failed: "90000d" is not from 0s to 36500d`},
		"retention: {runs: 5d, rejects: 6d}":                           {`1:23: retention.rejects: rejects 6d are longer than runs 5d (raise runs or lower rejects)`},
		"retention: {rejects: forever}":                                {`1:13: retention.rejects: rejects forever are longer than runs 90d (raise runs or lower rejects)`},
		"jobs: {a: {kind: own, retention: {rejects: 91d}}}":            {`1:35: jobs.a.retention.rejects: rejects 91d are longer than runs 90d (raise runs or lower rejects)`},
		"jobs: {a: {kind: own, retention: {run: 1d}}}":                 {`1:35: jobs.a.retention.run: unknown field (did you mean runs?)`},
		"retry: {delay: 0s}":                                           {`1:9: retry.delay: "0s" is not from 1ms to 365d`},
		"retention: {runs: bad, rejects: 99d}\njobs: {a: {kind: own}}": {`1:13: retention.runs: "bad" is not a duration (write it like 12h or 90d, or forever)`},
	}
	for src, want := range tests {
		if diff := cmp.Diff(want, messages(t, src, lookup(nil))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", src, diff)
		}
	}
}

func TestColumnsOfAnImport(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fields string
		want   []importjob.Column
	}{
		"own names":        {"columns: {a, b: }", []importjob.Column{{Target: "a", Field: "a"}, {Target: "b", Field: "b"}}},
		"order of file":    {"columns: {z: Z, a: A}", []importjob.Column{{Target: "z", Field: "Z"}, {Target: "a", Field: "A"}}},
		"long, own name":   {"columns: {a: {trim: true}}", []importjob.Column{{Target: "a", Field: "a", Trim: true}}},
		"quoted number":    {`columns: {a: "2024"}`, []importjob.Column{{Target: "a", Field: "2024"}}},
		"numbered":         {"header: false, columns: {a: 3, b: 3}", []importjob.Column{{Target: "a", Number: 3}, {Target: "b", Number: 3}}},
		"in order":         {"header: false, columns: {b, a: {trim: true}}", []importjob.Column{{Target: "b", Number: 1}, {Target: "a", Number: 2, Trim: true}}},
		"odd column names": {`columns: {"a.b": x, 日本: y}`, []importjob.Column{{Target: "a.b", Field: "x"}, {Target: "日本", Field: "y"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, "jobs: {a: {kind: import, table: t, "+tt.fields+"}}")
			if diff := cmp.Diff(tt.want, c.Jobs["a"].Spec.(*importjob.Config).Columns); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAtAndErrorf(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
jobs:
  load:
    kind: import
    table: t
    columns:
      email: mail
      日本: {field: x, trim: true}
    match: [email,
      日本]
`)
	for _, tt := range []struct {
		path []string
		want field.Position
	}{
		{nil, field.Position{Line: 2, Column: 1}},
		{[]string{"jobs"}, field.Position{Line: 2, Column: 1}},
		{[]string{"jobs", "load", "table"}, field.Position{Line: 5, Column: 5}},
		{[]string{"jobs", "load", "columns", "email"}, field.Position{Line: 7, Column: 7}},
		{[]string{"jobs", "load", "columns", "email", "field"}, field.Position{Line: 7, Column: 7}},
		{[]string{"jobs", "load", "columns", "日本", "trim"}, field.Position{Line: 8, Column: 22}},
		{[]string{"jobs", "load", "columns", "gone", "field"}, field.Position{Line: 6, Column: 5}},
		{[]string{"jobs", "load", "match", "[0]"}, field.Position{Line: 9, Column: 13}},
		{[]string{"jobs", "load", "match", "[1]"}, field.Position{Line: 10, Column: 7}},
		{[]string{"jobs", "load", "match", "[2]"}, field.Position{Line: 9, Column: 5}},
		{[]string{"jobs", "load", "match", "[-1]"}, field.Position{Line: 9, Column: 5}},
		{[]string{"gone"}, field.Position{Line: 2, Column: 1}},
	} {
		if got := c.At(tt.path...); got != tt.want {
			t.Errorf("At(%q) = %v, want %v", tt.path, got, tt.want)
		}
	}
	e := c.Errorf([]string{"jobs", "load", "match", "[1]"}, "create one", "no unique index on %s", "日本")
	if got, want := e.Error(), "tidemill.yaml:10:7: jobs.load.match[1]: no unique index on 日本 (create one)"; got != want {
		t.Errorf("Errorf = %s, want %s", got, want)
	}
	if got, want := config.Default().Errorf([]string{"database", "url"}, "", "is not set").Error(), "database.url: is not set"; got != want {
		t.Errorf("Errorf without file = %s, want %s", got, want)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "t.yaml")
	if _, err := config.Load(file, &config.Opts{Kinds: allKinds()}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of an absent file: %v, want ErrNotExist", err)
	}
	if err := os.WriteFile(file, []byte("queues: {a: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, &config.Opts{Kinds: allKinds()})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]config.Queue{"a": {1}}; !maps.Equal(c.Queues, want) || c.File != file {
		t.Errorf("Load: queues %v of %s, want %v of %s", c.Queues, c.File, want, file)
	}
	if err := os.WriteFile(file, []byte("\nqueue: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = config.Load(file, &config.Opts{Kinds: allKinds()})
	var one *field.Error
	if !errors.As(err, &one) {
		t.Fatalf("Load: %v, want an *Error within", err)
	}
	want := &field.Error{File: file, Line: 2, Column: 1, Path: "queue", Message: "unknown field", Hint: "did you mean queues?"}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}
