package convert

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
)

var update = flag.Bool("update", false, "write the golden files again")

// convertFile converts a file of testdata and has package config read what it becomes.
func convertFile(t *testing.T, name string, opts Opts) (*Result, *config.Config) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return convertText(t, name, string(data), opts)
}

func convertText(t *testing.T, name, text string, opts Opts) (*Result, *config.Config) {
	t.Helper()
	opts.Kinds = workers.Configs()
	result, err := Convert(name, []byte(text), opts)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("tidemill.yaml", result.YAML, &config.Opts{Kinds: workers.Configs(), Offline: true, Lookup: noVariables})
	if err != nil {
		t.Fatalf("%v in\n%s", err, result.YAML)
	}
	return result, cfg
}

// The golden files are what people see: what is printed on standard error, then the configuration.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, file := range files {
		if filepath.Ext(file) == ".golden" || filepath.Base(file) == "fuzz" {
			continue
		}
		tested++
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			result, _ := convertFile(t, filepath.Base(file), Opts{Kinds: workers.Configs()})
			got := printed(result)
			if *update {
				if err := os.WriteFile(file+".golden", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got); go test ./internal/convert -update writes it again:\n%s", diff)
			}
		})
	}
	if tested < 10 {
		t.Errorf("%d files, want all of testdata", tested)
	}
}

func printed(r *Result) string {
	var b strings.Builder
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	for _, p := range r.Problems {
		fmt.Fprintln(&b, p)
	}
	return fmt.Sprintf("%s----------\n%s", b.String(), r.YAML)
}

// What a file of a typical app becomes has no problem: the exit code would tell people to look.
func TestTypicalFilesAreCarriedOverWhole(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sidekiq.yml", "schedule.yml", "capsules.yml", "vercel.json", "whenever.crontab"} {
		result, _ := convertFile(t, name, Opts{Kinds: workers.Configs()})
		if len(result.Problems) > 0 {
			t.Errorf("%s: %v", name, result.Problems)
		}
	}
}

func TestFormatIsFound(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       Format
	}{
		{"x", "concurrency: 5\n", Sidekiq},
		{"x", "<%\n x = 1\n%>\n---\n:queues:\n  - default\n", Sidekiq},
		{"x", "production:\n  :concurrency: 5\n", Sidekiq},
		{"config/sidekiq.yml", ":timeout: 5\n", Sidekiq},
		{"x", "a:\n  cron: '@daily'\n  class: A\n", SidekiqCron},
		{"x", "\"1st job\": {cron: '@daily', class: A}\n", SidekiqCron},
		{"x", "- name: a\n  every: 5m\n  class: A\n", SidekiqCron},
		{"x", "\n {\"crons\": [{\"path\": \"/\", \"schedule\": \"@daily\"}]}", Vercel},
		{"x", "\ufeff# hi\r\n*/5 * * * * a\r\n", Crontab},
		{"x", "@daily a\n", Crontab},
		{"x", "-0 0 * * mon-fri a\n", Crontab},
		{"x", "SHELL=/bin/sh\n0 0 * * * a\n", Crontab},
	} {
		result, err := Convert(test.name, []byte(test.text), Opts{Kinds: workers.Configs()})
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if result.Format != test.want {
			t.Errorf("%q is %s, want %s", test.text, result.Format, test.want)
		}
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		opts       Opts
		want       string
	}{
		{"f", "", Opts{}, "f: the file is empty"},
		{"f", " \n", Opts{}, "f: the file is empty"},
		{"f", "# nothing\n", Opts{}, "f: only comments; say what it is with --from"},
		{"crontab", "# nothing\n", Opts{}, "crontab: a crontab without a line that runs something"},
		{"f", "\n0 9 * * * caf\xe9\n", Opts{}, "f:2: byte 0xe9 is not UTF-8; save the file as UTF-8"},
		{"f", "a\x00b", Opts{}, "f:1: control character U+0000; remove it"},
		{"f", strings.Repeat("# x\n", MaxBytes/4+1), Opts{}, "f: the file is larger than 1 MiB"},
		{"f", "hello there\n", Opts{}, "f: neither a sidekiq.yml"},
		{"f", "a: b\n", Opts{}, "f: YAML, but neither settings of Sidekiq"},
		{"schedule.rb", "set :output, 'x'\nevery 1.day do\n rake 'x'\nend\n", Opts{}, "schedule.rb: this is Whenever's schedule in Ruby"},
		{"vercel.ts", "export const config = {}\n", Opts{}, "vercel.ts: this is a program"},
		{"f", `{"a": 1}`, Opts{}, "f: there are no crons in it"},
		{"f", `{"crons": {}}`, Opts{}, "f:1: crons is not a list"},
		{"f", "{\n\"crons\": [\n,]}", Opts{}, "f:3: not JSON: "},
		{"f", "{\n\"crons\": [\n", Opts{}, "f:2: not JSON: the file ends too early"},
		{"f", "{\"crons\": []}\n}", Opts{}, "f:1: not JSON: something follows the object"},
		{"f", "[1]", Opts{Format: Vercel}, "f:1: a vercel.json is an object"},
		{"f", strings.Repeat("[", 5000), Opts{Format: Vercel}, "f:1: more than 100 levels"},
		{"f", strings.Repeat("[", 5000), Opts{Format: Sidekiq}, "f:1: nested deeper than 100 levels"},
		{"f", "- a\n", Opts{Format: Sidekiq}, "f:1: a sidekiq.yml is a mapping of settings"},
		{"f", "queues:\n  - *b\n", Opts{}, "f:2: not YAML: alias *b has no anchor"},
		{"f", "queues: [\n", Opts{}, "f:1: not YAML: "},
		{"f", "TZ=UTC\n", Opts{}, "f: no line runs something"},
		{"f", "0 0 * * * a\n", Opts{Timezone: "Mars/Base"}, `timezone: "Mars/Base" is not a time zone`},
		{"f", "0 0 * * * a\n", Opts{Format: "x"}, `"x" is not a format that is known`},
	} {
		test.opts.Kinds = workers.Configs()
		_, err := Convert(test.name, []byte(test.text), test.opts)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%.60q: got %v, want %s", test.text, err, test.want)
		}
	}
}

func repeatNumbered(format string, times int) string {
	var b strings.Builder
	for i := range times {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// What repeats itself by aliases stays small, and what is too large for a configuration is refused as a whole.
func TestBounds(t *testing.T) {
	t.Parallel()
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 8 {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	result, _ := convertText(t, "f", bomb+"job: {cron: '@daily', class: A, args: *a8}\n", Opts{Kinds: workers.Configs()})
	last := result.Problems[len(result.Problems)-1].String()
	if want := "f:10: job; its arguments are not in the file, so it is left out; write them as values"; last != want {
		t.Errorf("got %s, want %s", last, want)
	}
	_, err := Convert("crontab", []byte(strings.Repeat("@daily /a\n", MaxBytes/10)), Opts{Kinds: workers.Configs()})
	if err == nil || !strings.HasPrefix(err.Error(), "crontab: what it becomes is larger than 1 MiB") {
		t.Errorf("got %v", err)
	}
	long := strings.Repeat("x", MaxBytes/2)
	for name, text := range map[string]string{
		"crontab":     "SHELL=" + long + "\n" + strings.Repeat("@daily a | b\n", 10_000),
		"environment": strings.Repeat("A=b\n@daily a\n", 10_000) + "B=" + long + "\n" + strings.Repeat("@daily a | b\n", 10_000),
		"schedule":    "a: &a {cron: '@daily', class: A, description: " + long + "}\n" + repeatNumbered("b%d: *a\n", 10_000),
	} {
		if _, err := Convert(name, []byte(text), Opts{Kinds: workers.Configs()}); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
			t.Errorf("%s: %v", name, err)
		}
	}
	result, _ = convertText(t, "f", "a: &a {cron: '@daily', class: A, args: "+long+"}\n"+repeatNumbered("b%d: *a\n", 1000), Opts{Kinds: workers.Configs()})
	if got := len(result.Problems); got < 998 {
		t.Errorf("%d problems, want one for each repetition", got)
	}
}
