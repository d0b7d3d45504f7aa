package config_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/commandjob"
	"github.com/tidemill/tidemill/internal/kinds/emailjob"
	"github.com/tidemill/tidemill/internal/kinds/httpjob"
)

// What is shown, read as a file, is the same configuration.
func TestShowIsTheConfiguration(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env := lookup(map[string]string{
		"DATABASE_URL": "postgres://u:secret@h/db", "MAIL_URL": "smtp://u:secret@h:25", "CRON_SECRET": strings.Repeat("secret", 3),
		"TIDEMILL_TOKEN": strings.Repeat("secret", 4), "WEBHOOK_SECRET": strings.Repeat("secret", 5),
	})
	cfg, err := config.Parse("", data, env)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(cfg.Show().YAML())
	if strings.Contains(shown, "secret\"") || strings.Contains(shown, "secretsecret") {
		t.Errorf("a secret is shown:\n%s", shown)
	}
	const address = "https://app.example.com/jobs/user" // the only secret that has a form
	again, err := config.Parse("", []byte(strings.ReplaceAll(shown, `"***"`, `"`+address+`"`)), env)
	if err != nil {
		t.Fatalf("%s\n%v", shown, err)
	}
	diff := cmp.Diff(cfg, again, cmpopts.IgnoreUnexported(config.Config{}), cmpopts.IgnoreFields(config.Job{}, "OwnDelays"),
		cmpopts.IgnoreFields(httpjob.Config{}, "Headers"), cmpopts.IgnoreFields(commandjob.Config{}, "Env"), cmpopts.IgnoreFields(emailjob.Config{}, "From"))
	if diff != "" {
		t.Errorf("what is shown means something else (-file +shown):\n%s\n%s", diff, shown)
	}
	if text, err := json.Marshal(cfg.Show()); err != nil || !json.Valid(text) {
		t.Errorf("%s: %v", text, err)
	}
}

func TestShowJob(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("", []byte(`
retry: {delay: 5s}
retention: {runs: 10d}
jobs:
  a: {kind: import, table: app.t, columns: {id: 1, "full name": {field: 2, null_if: ["", "$$x"]}}, queue: "${Q:-low}", header: false}
  n: {kind: import, table: t, columns: {id, b: {field: B}}}
  b: {kind: http, url: "https://h/?token=hidden", headers: {Authorization: "Bearer ${TOKEN}", X: hidden}, secret: ["${KEY}", "hidden-hidden-hidden"], params: {n: integer}}
  c: {kind: own, args: {list: [1, {x: "y: z"}], none: null, "on": true}, retry: {max_attempts: "${N}"}}
`), lookup(map[string]string{"TOKEN": "hidden", "KEY": "hidden-hidden-hidden-2", "N": "7"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"a": `kind: import
queue: "${Q:-low}"
priority: 1
retry:
  max_attempts: 10 # from retry.max_attempts
  backoff: exponential # from retry.backoff
  delay: 5s # from retry.delay
  max_delay: 1h # from retry.max_delay
  jitter: 10% # from retry.jitter
retention:
  succeeded: 24h # from retention.succeeded
  failed: forever # from retention.failed
  cancelled: 7d # from retention.cancelled
  runs: 10d # from retention.runs
  # rejects: retention.rejects, if that is given; otherwise as runs
unique: false
stall: 10m
table: app.t
format: csv
# encoding: found out: by a byte order mark, or by what its bytes make most likely; a file that leaves it too uncertain is refused
# compression: found out
header: false
# delimiter: found out: comma, semicolon, tab or |
# quote: found out: " or '
ragged: reject
columns:
  id: 1
  full name:
    field: 2
    trim: false
    null_if: ["", "$$x"]
    optional: false
`,
		"n": `columns:
  id:
  b:
    field: B
    trim: false
    optional: false
on_conflict: error
reject_limit:
  rows: 1000
  ratio: 100%
max_record: 8MiB
`,
		"b": `url: "***"
method: POST
headers:
  Authorization: "***"
  X: "***"
secret: ["${KEY}", "***"]
timeout: 30s
max_response: 16KiB
`,
		"c": `args:
  list:
    - 1
    - x: "y: z"
  none: null
  on: true
`,
	} {
		shown, ok := cfg.ShowJob(name)
		if !ok {
			t.Fatal(name)
		}
		// Kinds get further fields; these come before or after.
		got := string(shown.YAML())
		got = got[max(0, strings.Index(got, strings.SplitAfter(want, "\n")[0])):]
		if diff := cmp.Diff(want, got[:min(len(want), len(got))]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, ok := cfg.ShowJob("d"); ok {
		t.Error("there is no job d")
	}
	shown, _ := cfg.ShowJob("c")
	text, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"args":{"list":[1,{"x":"y: z"}],"none":null,"on":true}`; !strings.Contains(string(text), want) || !strings.Contains(string(text), `"max_attempts":"${N}"`) {
		t.Errorf("%s", text)
	}
}

// Without a file there are the defaults.
func TestShowDefault(t *testing.T) {
	t.Parallel()
	shown := config.Default().Show().YAML()
	cfg, err := config.Parse("", shown, &config.Opts{Kinds: allKinds()})
	if err != nil {
		t.Fatalf("%s\n%v", shown, err)
	}
	if diff := cmp.Diff(config.Default(), cfg, cmpopts.IgnoreUnexported(config.Config{})); diff != "" {
		t.Error(diff)
	}
}
