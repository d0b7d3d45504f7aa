package convert

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/commandjob"
	"github.com/tidemill/tidemill/workers"
)

func texts() []string {
	return []string{
		"", " ", "a", "$", "$$", "$$$", "${HOME}", "$${HOME}", "$HOME", "a$", "100%", `"`, `\`, `'\''`, "a\tb", "a\nb\n", "é 日本", "\u2028\u0085\ufeff",
		"null", "true", "- a", "a: b", "#", "{}", "*a", "&a", "!a", "\U0001f600", "~", "1e3", "0x10", ".5", "=", "<<",
	}
}

// Whatever text goes into a command comes out of the configuration as it was.
func FuzzTextsSurvive(f *testing.F) {
	for _, text := range texts() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 1000 || strings.Contains(text, "\x00") { // no command takes NUL
			return
		}
		yaml := "jobs: {a: {kind: command, argv: [x, " + quote(string(literal(text))) + "], env: {A: " + literal(text).scalar() + "}}}"
		cfg, err := config.Parse("", []byte(yaml), &config.Opts{Kinds: workers.Configs(), Lookup: noVariables})
		if err != nil {
			t.Fatalf("%v in %s", err, yaml)
		}
		got := []string{cfg.Jobs["a"].Spec.(*commandjob.Config).Argv[1], cfg.Jobs["a"].Spec.(*commandjob.Config).Env["A"]}
		if diff := cmp.Diff([]string{text, text}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", yaml, diff)
		}
	})
}

// Nothing in a file makes a panic or a configuration that is refused, but for its size.
func FuzzConvert(f *testing.F) {
	for _, text := range []string{
		":queues:\n  - [a, 2]\n  - b\n:concurrency: <%= ENV.fetch('A', 3) %>\n:schedule:\n  a: {cron: '0 0 * * *', class: A, args: [1, {a: $x}]}\n",
		"a: &a {cron: 'every 5 minutes', class: A::B}\nb:\n  <<: *a\n  queue: <%= x %>\n",
		"- name: $\n  cron: '@daily Asia/Tokyo'\n  class: \"\\u0001\"\n",
		`{"functions": {"a/{b,c}/**": {"maxDuration": 3}}, "crons": [{"path": "/a?b=${c}", "schedule": "0 0 * * *"}]}`,
		"A='b' \n# c\n*/5 * * * * /bin/bash -l -c 'a '\\''b'\\'' $c' # d\n@hourly root a\\%b\n",
	} {
		for _, format := range Formats() {
			f.Add(string(format), text, false)
		}
		f.Add("", text, true)
	}
	f.Fuzz(func(t *testing.T, format, text string, system bool) {
		if len(text) > 10_000 {
			return
		}
		result, err := Convert("f", []byte(text), Opts{Kinds: workers.Configs(), Format: Format(format), System: &system})
		switch {
		case err != nil && strings.Contains(err.Error(), "would be refused"):
			t.Fatal(err)
		case err != nil:
			return
		}
		for _, p := range result.Problems {
			if p.Line < 1 || p.What == "" || p.Why == "" || strings.ContainsAny(p.String(), "\n\r") {
				t.Errorf("problem %+v", p)
			}
		}
	})
}
