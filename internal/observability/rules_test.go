package observability

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// jobLabel is what Prometheus makes of our label job; see the package's documentation.
const jobLabel = "exported_job"

// Severities: critical is worth waking somebody, warning a look on the next working day.
const (
	critical = "critical"
	warning  = "warning"
	info     = "info"
)

// Alert is an alerting rule.
type Alert struct {
	Name     string
	Severity string
	// Expr is PromQL; $limit in it and in Description stands for Limit in seconds, and $window for Window.
	Expr  string
	Limit time.Duration
	// Window is how far back the expression looks.
	Window time.Duration
	// Floor is what Limit may be scaled down to: what the limit is compared with changes only so often.
	Floor time.Duration
	// For is how long the expression must hold.
	For         time.Duration
	Summary     string
	Description string
	Dashboard   string // its uid
}

// Recording is a recording rule, named level:metric:operations.
type Recording struct {
	Name string
	Expr string
}

// Scale divides all times of the rules, for a test that cannot wait for hours. 1 is the rules as they are.
type Scale int

const (
	// minWindow holds enough scrapes of a second apart for a rate.
	minWindow = 5 * time.Second
	minFor    = time.Second
)

type (
	ruleFile struct {
		Groups []group `yaml:"groups"`
	}
	group struct {
		Name     string `yaml:"name"`
		Interval string `yaml:"interval,omitempty"`
		Rules    []rule `yaml:"rules"`
	}
	rule struct {
		Record      string            `yaml:"record,omitempty"`
		Alert       string            `yaml:"alert,omitempty"`
		Expr        string            `yaml:"expr"`
		For         string            `yaml:"for,omitempty"`
		Labels      map[string]string `yaml:"labels,omitempty"`
		Annotations *annotated        `yaml:"annotations,omitempty"`
	}
	annotated struct {
		Summary      string `yaml:"summary"`
		Description  string `yaml:"description"`
		RunbookURL   string `yaml:"runbook_url"`
		DashboardURL string `yaml:"dashboard_url"`
	}
)

// Rules is the text of a rule file.
func Rules(scale Scale) (string, error) {
	// One group, for its rules are evaluated in their order: alerts then see what was recorded in the same moment.
	all := group{Name: "tidemill"}
	for _, r := range Recordings() {
		all.Rules = append(all.Rules, rule{Record: r.Name, Expr: scale.expr(r.Expr)})
	}
	for _, a := range Alerts() {
		all.Rules = append(all.Rules, a.rule(scale))
	}
	text, err := yaml.MarshalWithOptions(ruleFile{Groups: []group{all}}, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	if err != nil {
		return "", fmt.Errorf("rules: %w", err)
	}
	return string(text), nil
}

func (a Alert) rule(scale Scale) rule {
	limit := scale.of(a.Limit, max(a.Floor, time.Second))
	window := scale.of(a.Window, minWindow)
	numbers := strings.NewReplacer("$limit", inSeconds(limit), "$window", inSeconds(window))
	r := rule{
		Alert: a.Name, Expr: scale.expr(numbers.Replace(a.Expr)), Labels: map[string]string{"severity": a.Severity},
		Annotations: &annotated{
			Summary: a.Summary, Description: numbers.Replace(a.Description), RunbookURL: runbookURL(a.Name),
			// Grafana's own address is not known here; an alert template puts it in front.
			DashboardURL: "/d/" + a.Dashboard,
		},
	}
	if a.For > 0 {
		r.For = duration(scale.of(a.For, minFor))
	}
	return r
}

func runbookURL(alert string) string { return operations + "#" + strings.ToLower(alert) }

func (s Scale) of(d, least time.Duration) time.Duration {
	if s <= 1 {
		return d
	}
	return max(d/time.Duration(s), least).Round(time.Second)
}

// windows are the ranges and offsets of an expression.
var windows = regexp.MustCompile(`(\[|offset )(\d+[smhd])`)

func (s Scale) expr(text string) string {
	text = strings.TrimSpace(text)
	if s <= 1 {
		return text
	}
	return windows.ReplaceAllStringFunc(text, func(found string) string {
		m := windows.FindStringSubmatch(found)
		d, err := time.ParseDuration(m[2])
		if err != nil { // days
			return found
		}
		return m[1] + duration(s.of(d, minWindow))
	})
}

func inSeconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// duration is d as Prometheus writes it.
func duration(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	case d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	default:
		return strconv.Itoa(int(d/time.Second)) + "s"
	}
}
