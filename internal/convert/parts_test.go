package convert

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/workers"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/kinds/commandjob"
)

func TestThreadsAreSplit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		total   int
		weights []int
		want    []int
	}{
		{10, []int{6, 3, 1}, []int{6, 3, 1}},
		{10, []int{0, 0, 0}, []int{4, 3, 3}},
		{5, []int{5, 3, 2}, []int{3, 1, 1}},
		{10, []int{100, 1, 1}, []int{8, 1, 1}},
		{2, []int{3, 2, 1}, []int{1, 1, 1}},
		{25, []int{7, 5, 3, 1}, []int{11, 8, 5, 1}},
		{7, []int{1}, []int{7}},
	} {
		var queues []*queue
		for _, weight := range test.weights {
			queues = append(queues, &queue{weight: weight})
		}
		split(queues, test.total)
		var got []int
		sum := 0
		for _, q := range queues {
			got = append(got, q.workers)
			sum += q.workers
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%d by %v (-want +got):\n%s", test.total, test.weights, diff)
		}
		if want := max(test.total, len(queues)); sum != want {
			t.Errorf("%d by %v: together %d, want %d", test.total, test.weights, sum, want)
		}
	}
}

// A variable decides over the only queue as it did over the process.
func TestVariables(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ tag, want string }{
		{`ENV["N"]`, "${N}"},
		{`ENV['N']`, "${N}"},
		{`ENV.fetch("N")`, "${N}"},
		{`ENV.fetch("N", 5)`, "${N:-5}"},
		{`ENV.fetch('N', "5").to_i`, "${N:-5}"},
		{`ENV.fetch("N") { 5 }`, "${N:-5}"},
		{`ENV["N"] || 5`, "${N:-5}"},
		{`(ENV["N"] || 5).to_i`, "${N:-5}"},
	} {
		result, cfg := convertText(t, "sidekiq.yml", ":concurrency: <%= "+test.tag+" %>\n", Opts{Kinds: workers.Configs()})
		if !strings.Contains(string(result.YAML), "  default: \""+test.want+"\"\n") || len(result.Problems) > 0 || len(cfg.Queues) != 1 {
			t.Errorf("%s: %v\n%s", test.tag, result.Problems, result.YAML)
		}
	}
	for _, tag := range []string{"", "5", "ENV", `ENV["a b"]`, `ENV["N"] + 1`, `ENV.fetch("N", foo)`, `ENV.fetch("N", "a}b")`, `ENV.fetch("N", "a#{b}")`, "ENV['N'].presence"} {
		result, _ := convertText(t, "sidekiq.yml", "---\n:concurrency: <%= "+tag+" %>\n", Opts{Kinds: workers.Configs()})
		if len(result.Problems) != 1 || result.Problems[0].Line != 2 {
			t.Errorf("%s: %v\n%s", tag, result.Problems, result.YAML)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	const text = ":concurrency: 5\nproduction:\n  :concurrency: 20\nstaging:\n  :concurrency: 2\n"
	for environment, want := range map[string]int{"": 20, "production": 20, "staging": 2, "test": 5} {
		_, cfg := convertText(t, "f", text, Opts{Environment: environment})
		if got := cfg.Queues["default"].Workers; got != want {
			t.Errorf("%q: %d workers, want %d", environment, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"HardWorker": "hard-worker", "Reports::NightlyJob": "reports-nightly-job", "HTMLSweeper": "html-sweeper", "a b  c": "a-b-c", "--": "",
		"daily_report": "daily_report", "日本": "", "V2Job": "v2-job", "_x_": "x", strings.Repeat("ab-", 40): strings.Repeat("ab-", 21) + "a",
	} {
		if got := plainName(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	long := strings.Repeat("x", 70)
	taken := names{}
	got := []string{taken.take([]string{"", "a"}), taken.take([]string{"a"}), taken.take([]string{"a-2"}), taken.take([]string{"a"}), taken.take(nil), taken.take([]string{long}), taken.take([]string{long})}
	want := []string{"a", "a-2", "a-2-2", "a-3", "job", long[:64], long[:62] + "-2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNamesOfCommands(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"/usr/local/bin/backup.sh --all":                                              "backup",
		"cd /srv/app && RAILS_ENV=production bundle exec rake reports:daily --silent": "reports:daily",
		"/bin/bash -l -c 'cd /a && bundle exec rake b:c >> log/cron.log 2>&1'":        "b:c",
		"cd /srv/app && bin/rails runner -e production 'User.cleanup(1)'":             "User.cleanup",
		"/bin/bash -l -c 'cd /a && bin/rails runner -e test '\\''A::B.run'\\'' >> x'": "A::B.run",
		"flock -n /tmp/x.lock nice -n 10 /opt/sync":                                   "sync",
		"timeout 10m python3 /opt/report.py":                                          "report",
		"curl -fsS https://example.com/ping":                                          "curl",
		"# ?":                                                                         "fallback",
	} {
		if got := commandNames(command, []string{"fallback"})[0]; strings.TrimPrefix(got, "#") != want {
			t.Errorf("%q is %q, want %q", command, got, want)
		}
	}
}

// The words are what the shell of the machine makes of them.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		command string
		want    []string // nil: needs a shell
	}{
		{"/bin/a b  c", []string{"/bin/a", "b", "c"}},
		{`/bin/a 'b c' "d e" f\ g ''`, []string{"/bin/a", "b c", "d e", "f g", ""}},
		{`/bin/a 'it'\''s'x"y"`, []string{"/bin/a", "it'sxy"}},
		{`/bin/a -x=$`, nil}, {"/bin/a $b", nil}, {"/bin/a | b", nil}, {"/bin/a > b", nil}, {"/bin/a *", nil}, {"/bin/a ~", nil},
		{"/bin/a 'b", nil}, {`/bin/a "b`, nil}, {`/bin/a "$b"`, nil}, {"/bin/a \\", nil}, {"/bin/a `b`", nil}, {"/bin/a # b", nil}, {"", nil},
	} {
		words, simple := splitWords(test.command)
		if simple != (test.want != nil) {
			t.Errorf("%s: simple is %t", test.command, simple)
			continue
		}
		if !simple {
			continue
		}
		if diff := cmp.Diff(test.want, words); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.command, diff)
		}
		out, err := exec.Command("/bin/sh", "-c", "for word in "+test.command+`; do printf '%s\n' "$word"; done`).Output()
		if got := strings.Join(words, "\n") + "\n"; err != nil || got != string(out) {
			t.Errorf("%s: got %q, the shell says %q, %v", test.command, got, out, err)
		}
	}
}

func TestSystemCrontab(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	const text = "0 0 * * * alice /bin/a b\n"
	for _, test := range []struct {
		name string
		text string
		opts Opts
		want []string // argv
	}{
		{"crontab", text, Opts{System: &no}, []string{"/bin/sh", "-c", "alice /bin/a b"}},
		{"copy/etc/crontab", text, Opts{}, []string{"/bin/a", "b"}},
		{"crontab", "# m h dom mon dow user\tcommand\n" + text, Opts{}, []string{"/bin/a", "b"}},
		{"crontab", "# *  *  *  *  * user-name command to be executed\n" + text, Opts{}, []string{"/bin/a", "b"}},
		{"crontab", "# m h  dom mon dow   command\n" + text, Opts{}, []string{"/bin/sh", "-c", "alice /bin/a b"}},
		{"crontab", "0 0 * * * root cd / && a\n" + "0 1 * * * root test -x /b\n" + text, Opts{}, []string{"/bin/a", "b"}},
		{"crontab", "0 0 * * * php /srv/a b\n" + text, Opts{}, []string{"/bin/sh", "-c", "php /srv/a b"}},
		{"crontab", "0 0 * * * backup --all\n", Opts{}, []string{"/bin/sh", "-c", "backup --all"}},
		{"crontab", text, Opts{System: &yes}, []string{"/bin/a", "b"}},
		{"/etc/crontab", text, Opts{}, []string{"/bin/a", "b"}},
		{"/etc/cron.d/a", text, Opts{}, []string{"/bin/a", "b"}},
		{"/etc/cron.d/a", text, Opts{System: &no}, []string{"/bin/sh", "-c", "alice /bin/a b"}},
		{"crontab", "0 0 * * *\troot\t/bin/a\tb\n", Opts{}, []string{"/bin/a", "b"}},
	} {
		_, cfg := convertText(t, test.name, test.text, test.opts)
		found := false
		for _, j := range cfg.Jobs {
			found = found || cmp.Equal(j.Spec.(*commandjob.Config).Argv, test.want)
		}
		if !found {
			t.Errorf("%s: %q: no job with %q", test.name, test.text, test.want)
		}
	}
}
