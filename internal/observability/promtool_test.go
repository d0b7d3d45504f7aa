package observability

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// program is the path of a program of Debian's package prometheus.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed; run: apt-get install prometheus", name)
	}
	return path
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program(t, "promtool"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func ruleTests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "metrics/rules/tests/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("tests of rules: %q, %v", files, err)
	}
	return files
}

func TestPromtoolTakesTheRules(t *testing.T) {
	t.Parallel()

	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", filepath.Join(root, "metrics/rules/tidemill.yaml"))
	promtool(t, append([]string{"test", "rules"}, ruleTests(t)...)...)
}

// Each alert and each recording must be shown to fire and to keep silent, which promtool does not ask for.
func TestEveryRuleIsTested(t *testing.T) {
	t.Parallel()

	type check struct {
		Expr      string `yaml:"expr"`
		Alertname string `yaml:"alertname"`
		Samples   []any  `yaml:"exp_samples"`
		Alerts    []any  `yaml:"exp_alerts"`
	}
	var checks []check
	for _, file := range ruleTests(t) {
		var tests struct {
			Tests []struct {
				Alerts []check `yaml:"alert_rule_test"`
				Exprs  []check `yaml:"promql_expr_test"`
			} `yaml:"tests"`
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, &tests); err != nil {
			t.Fatal(err)
		}
		for _, test := range tests.Tests {
			checks = append(checks, slices.Concat(test.Alerts, test.Exprs)...)
		}
	}
	tested := func(name string, expected bool) bool {
		return slices.ContainsFunc(checks, func(c check) bool {
			return (c.Alertname == name || strings.Contains(c.Expr, name)) && expected == (len(c.Samples)+len(c.Alerts) > 0)
		})
	}
	for _, a := range Alerts() {
		if !tested(a.Name, true) || !tested(a.Name, false) {
			t.Errorf("no test in metrics/rules/tests shows alert %s both firing and silent", a.Name)
		}
	}
	for _, r := range Recordings() {
		if !tested(r.Name, true) && !usedByAlert(r.Name) {
			t.Errorf("no test in metrics/rules/tests shows recording %s", r.Name)
		}
	}
}

func usedByAlert(recording string) bool {
	return slices.ContainsFunc(Alerts(), func(a Alert) bool { return strings.Contains(a.Expr, recording) })
}

// substituted is an expression as Grafana sends it.
func substituted(expr, window string) string {
	return strings.NewReplacer("$__rate_interval", window, "$__range", "1m", "$job", ".+", "$kind", ".*", "$configured", ".*", "$schedule", ".*").Replace(expr)
}

// promtool checks rules only, so every expression of a dashboard becomes one.
func TestPromtoolTakesTheDashboards(t *testing.T) {
	t.Parallel()

	var all []rule
	for file, d := range Dashboards() {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all = append(all, rule{Record: fmt.Sprintf("panel:%s_%d:%s", strings.TrimSuffix(file, ".json"), p.ID, target.RefID), Expr: substituted(target.Expr, "5m")})
			}
		}
		for _, a := range d.Annotations.List {
			all = append(all, rule{Record: "annotation:" + strings.TrimSuffix(file, ".json"), Expr: substituted(a.Expr, "5m")})
		}
	}
	for _, r := range all {
		if strings.Contains(r.Expr, "$") {
			t.Errorf("%s: a variable is unknown: %s", r.Record, r.Expr)
		}
	}
	text, err := yaml.Marshal(ruleFile{Groups: []group{{Name: "panels", Rules: all}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "panels.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", "--lint=all", path)
}
