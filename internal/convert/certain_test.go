package convert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/workers"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/cron"
	"github.com/tidemill/tidemill/internal/kinds/httpjob"
)

// fugitDays is which days fugit 1.14 takes of the two day fields; nil stands for its own nil, any. It was asked itself.
type fugitDays struct {
	text     string
	dom, dow []int
}

func odd(from int) []int {
	var days []int
	for n := from; n <= 31; n += 2 {
		days = append(days, n)
	}
	return days
}

// An expression is due on the days on which fugit has it, whatever the two rules for a * are.
func TestDaysOfFugit(t *testing.T) {
	t.Parallel()
	for _, test := range []fugitDays{
		{"0 6 */2 * 1-5", odd(1), []int{1, 2, 3, 4, 5}},
		{"0 6 */2 * */2", odd(1), []int{0, 2, 4, 6}},
		{"0 6 1,*/10 * 5", []int{1, 11, 21, 31}, []int{5}},
		{"0 6 13 * */7", []int{13}, []int{0}},
		{"0 6 */10,2 * 5", []int{1, 2, 11, 21, 31}, []int{5}},
		{"0 6 */1 * 1", nil, []int{1}},
		{"0 6 1-31/2 * 1", odd(1), []int{1}},
		{"0 6 1 * 0-6", []int{1}, []int{0, 1, 2, 3, 4, 5, 6}},
		{"0 6 * * 5-7", nil, []int{0, 5, 6}},
		{"0 6 3-31/2 * *", odd(3), nil},
		{"0 0 6 */2 * 1-5", odd(1), []int{1, 2, 3, 4, 5}}, // with seconds
	} {
		w, refused := readFugit(test.text)
		if refused != nil {
			t.Errorf("%s: %s", test.text, refused.why)
			continue
		}
		s, err := cron.Parse(cron.Spec{Cron: w.cron})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		from := time.Date(2026, 1, 1, 6, 0, 0, 0, time.UTC)
		for day := from; day.Year() == 2026; day = day.AddDate(0, 0, 1) {
			dom, dow := slices.Contains(test.dom, day.Day()), slices.Contains(test.dow, int(day.Weekday()))
			if test.dom == nil && dow || test.dow == nil && dom || dom || dow {
				want = append(want, day.Format(time.RFC3339))
			}
		}
		var got []string
		for _, tick := range s.Between(from.Add(-1), from.AddDate(1, 0, -1), 400) {
			got = append(got, tick.Format(time.RFC3339))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s became %s (-fugit +here):\n%s", test.text, w.cron, diff)
		}
	}
}

// What the versions of fugit read differently is nobody's to guess.
func TestDoubtfulExpressionsOfFugit(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"0 12 1-31 * 1", "0 12 1-15,16-31 * 1", "0 12 3/2 * *", "3/2 * * * *", "0 3/2 * * *", "0 0 * * 3/2", "0 0 * 3/2 *", "0 12 */5,* * 2",
		"0 12 1 * *,5", "0 0 * * fri-sun", "0 0 3/2 * * *",
	} {
		if w, refused := readFugit(text); refused == nil {
			t.Errorf("%s became %s", text, w.cron)
		} else if refused.hint == "" {
			t.Errorf("%s is refused without a word on what to write: %s", text, refused.why)
		}
	}
}

// Arguments keep the value that Ruby gives them, or are refused: a note of what Psych says of each was taken.
func TestScalarsOfRuby(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{ // empty: refused
		{"1_000", "1000"}, {"010", "8"}, {"-010", "-8"}, {"0x1F", "31"}, {"0b11", "3"}, {"+5", "5"}, {"0_1", "1"}, {"00", "0"},
		{"20240101", "20240101"}, {"-5", "-5"}, {"1.5", "1.5"}, {"9007199254740992", "9007199254740992"},
		{"08", `"08"`}, {"0o17", `"0o17"`}, {"1e3", `"1e3"`}, {"1.5e3", `"1.5e3"`}, {"1__0", `"1__0"`}, {"1.2.3", `"1.2.3"`}, {"5m", `"5m"`}, {"1:60", `"1:60"`},
		{"y", `"y"`}, {"n", `"n"`}, {"yes", "true"}, {"On", "true"}, {"no", "false"}, {"~", "null"}, {"'010'", `"010"`}, {"'12:30'", `"12:30"`}, {":sym", `"sym"`},
		{"12:30", ""}, {"1:2:3", ""}, {"1.5e+3", ""}, {".inf", ""}, {"-.inf", ""}, {".nan", ""}, {"2024-01-01", ""}, {"2024-01-01T00:00:00Z", ""}, {"1_0.5", ""}, {"5.", ""},
		{"99999999999999999999", ""}, {"9007199254740993", ""},
		{"{010: 1}", ""}, {"{on: 1}", ""}, {"{12: 1}", `{"12": 1}`},
	} {
		result, err := Convert("s.yml", []byte("a:\n  cron: '@daily'\n  class: A\n  args: ["+test.text+"]\n"), Opts{Kinds: workers.Configs()})
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		got := ""
		if _, after, found := strings.Cut(string(result.YAML), "params: {args: ["); found {
			got, _, _ = strings.Cut(after, "]}")
		}
		if got != test.want || (got == "") != (len(result.Problems) > 0) {
			t.Errorf("args: [%s] became %q, want %q; problems are %v", test.text, got, test.want, result.Problems)
		}
	}
	for _, text := range []string{`'{"a": 1}'`, `'[1, 2]'`, `"5"`, `'"x"'`} {
		result, _ := convertText(t, "s.yml", "a:\n  cron: '@daily'\n  class: A\n  args: "+text+"\n", Opts{Kinds: workers.Configs()})
		if len(result.Problems) == 0 {
			t.Errorf("args: %s, JSON in a text, is carried over:\n%s", text, result.YAML)
		}
	}
	for text, want := range map[string]string{"010": "default: 8", "1_0": "default: 10", "'10'": "default: 10", "'010'": "default: 5", "12:30": "default: 5"} {
		result, _ := convertText(t, "sidekiq.yml", "concurrency: "+text+"\n", Opts{Kinds: workers.Configs()})
		if !strings.Contains(string(result.YAML), want) {
			t.Errorf("concurrency: %s: no %s in\n%s", text, want, result.YAML)
		}
	}
}

func TestClassesHaveURLsOfTheirOwn(t *testing.T) {
	t.Parallel()
	text := ""
	classes := []string{"Reports::NightlyJob", "ReportsNightlyJob", "Reports::Nightly::Job", "reports-nightly-job", "日報", "日次", "A"}
	for i, class := range classes {
		for j, queue := range []string{"default", "low"} {
			text += fmt.Sprintf("s%d%d: {cron: '@daily', class: '%s', queue: %s}\n", i, j, class, queue)
		}
	}
	result, cfg := convertText(t, "s.yml", text, Opts{Kinds: workers.Configs()})
	urls := map[string]int{}
	for _, j := range cfg.Jobs {
		urls[string(j.Spec.(*httpjob.Config).URL)]++
	}
	if len(urls) != len(classes) {
		t.Errorf("%d classes have %d URLs: %v", len(classes), len(urls), urls)
	}
	for url, times := range urls {
		if times != 2 {
			t.Errorf("%s is of %d jobs, want those of one class in two queues", url, times)
		}
	}
	if !strings.Contains(strings.Join(result.Notes, "\n"), "ReportsNightlyJob: its URL is /jobs/reports-nightly-job-2") {
		t.Errorf("nobody says so: %q", result.Notes)
	}
}

// A file that is taken for another's, or of which it is not certain how to read it, is refused as a whole.
func TestFilesThatAreNotTaken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"crontab", "0 0 * * * alice /bin/a b\n", `crontab:1: "alice" may be a user or a command; say --system if`},
		{"crontab", "0 0 * * * backup all\n", `crontab:1: "backup" may be`},
		{"crontab", "0 0 * * * root cd / && a\n1 0 * * * /bin/b\n", `crontab:1: "root" may be`},
		{"crontab", "0 * * * * reports\n*/5 * * * * sync ?id=x&fill=1d {\"a\": 1}\n", "crontab:2: a task of graphile-worker"},
		{"crontab", "0 4 * * * task {\"a\": 1}\n", "crontab:1: a task of graphile-worker"},
		{"crontab", "0 4 * * * task ?max=3\n", "crontab:1: a task of graphile-worker"},
		{"job.yaml", "apiVersion: batch/v1\nkind: CronJob\nspec:\n  schedule: '0 9 * * *'\n", "job.yaml: this is of Kubernetes"},
		{"ci.yml", "on:\n  schedule:\n    - cron: '0 9 * * *'\njobs:\n  a: {}\n", "ci.yml: this is a workflow of GitHub"},
		{"recurring.yml", "production:\n  report:\n    class: ReportJob\n    schedule: every day at 9am\n", "recurring.yml: this is of Solid Queue"},
		{"queue.yml", "default:\n  dispatchers:\n    - polling_interval: 1\n  workers:\n    - queues: '*'\n", "queue.yml: this is of Solid Queue"},
		{"sidekiq.rb", "Sidekiq.configure_server do |config|\n  config.queues = %w[a]\nend\n", "sidekiq.rb: this is a program in Ruby"},
		{"cron.rb", "Sidekiq::Cron::Job.create(name: 'a', cron: '@daily')\n", "cron.rb: this is a program in Ruby"},
	} {
		result, err := Convert(test.name, []byte(test.text), Opts{Kinds: workers.Configs()})
		if err == nil {
			t.Errorf("%s: %q became\n%s", test.name, test.text, result.YAML)
			continue
		}
		if !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %q, want %q", test.name, err, test.want)
		}
	}
}

// In a file that names users, a line without one is a problem, not a command less its first word.
func TestLinesWithoutUser(t *testing.T) {
	t.Parallel()
	result, cfg := convertText(t, "/etc/crontab", "0 0 * * * root /bin/a\n1 0 * * * /bin/b c\n2 0 * * * php /srv/d\n", Opts{Kinds: workers.Configs()})
	if len(cfg.Jobs) != 1 || len(result.Problems) != 3 {
		t.Errorf("%d jobs, problems %v, want 1 and 3", len(cfg.Jobs), result.Problems)
	}
}
