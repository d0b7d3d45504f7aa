package observability

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// metric is a line of docs/METRICS.md, which a test of package metrics holds to the code.
type metric struct {
	kind   string // counter, gauge or histogram
	labels []string
}

var metricLine = regexp.MustCompile("(?m)^\\| `(tidemill_\\w+)` \\| (\\w+) \\| [^|]* \\| ([^|]*) \\|")

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func allMetrics(t *testing.T) map[string]metric {
	t.Helper()
	all := map[string]metric{}
	for _, m := range metricLine.FindAllStringSubmatch(read(t, "docs/METRICS.md"), -1) {
		all[m[1]] = metric{kind: m[2], labels: regexp.MustCompile(`\w+`).FindAllString(m[3], -1)}
	}
	if len(all) < 20 {
		t.Fatalf("docs/METRICS.md names %d metrics; has its form changed?", len(all))
	}
	return all
}

// foreign are series that are used and not ours: those of Prometheus and of the client library.
var foreign = []string{"ALERTS", "up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"}

// words of PromQL that look like names of metrics.
var words = []string{
	"abs", "absent", "and", "avg", "avg_over_time", "by", "count", "group_right", "histogram_quantile", "ignoring", "increase", "max", "min", "offset", "on", "or", "rate",
	"sum", "time", "unless", "vector", "without", "label_values",
}

var (
	quoted    = regexp.MustCompile(`"[^"]*"`)
	selectors = regexp.MustCompile(`\{[^}]*\}`)
	grouping  = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
	ranges    = regexp.MustCompile(`\[[^\]]*\]|\boffset \w+`)
	name      = regexp.MustCompile(`[a-zA-Z_:][\w:]*`)
	matcher   = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
)

// used are the metrics that an expression names, without the suffixes of a histogram, and its labels.
func used(expr string) (metrics, labels []string) {
	expr = quoted.ReplaceAllString(expr, `""`)
	for _, s := range selectors.FindAllString(expr, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s, -1) {
			labels = append(labels, m[1])
		}
	}
	expr = selectors.ReplaceAllString(expr, "")
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		labels = append(labels, name.FindAllString(m[1], -1)...)
	}
	expr = ranges.ReplaceAllString(grouping.ReplaceAllString(expr, ""), "")
	for _, n := range name.FindAllString(expr, -1) {
		if !slices.Contains(words, n) && !strings.Contains(expr, "$"+n) && !regexp.MustCompile(`^[\d.e]+$`).MatchString(n) {
			metrics = append(metrics, n)
		}
	}
	return metrics, labels
}

// series are the names that a metric has in Prometheus.
func series(all map[string]metric) map[string]string {
	names := map[string]string{}
	for name, m := range all {
		if m.kind != "histogram" {
			names[name] = name
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			names[name+suffix] = name
		}
	}
	return names
}

// expressions are all of dashboards and rules, by where they stand.
func expressions() map[string]string {
	all := map[string]string{}
	for file, d := range Dashboards() {
		for _, p := range d.Panels {
			for _, t := range p.Targets {
				all[file+": "+p.Title+": "+t.RefID] = t.Expr
			}
		}
		for _, v := range d.Templating.List {
			if metric, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
				all[file+": variable "+v.Name] = metric[:strings.LastIndex(metric, ",")]
			}
		}
		for _, a := range d.Annotations.List {
			all[file+": annotation "+a.Name] = a.Expr
		}
	}
	for _, r := range Recordings() {
		all["recording "+r.Name] = r.Expr
	}
	for _, a := range Alerts() {
		all["alert "+a.Name] = a.Expr
	}
	return all
}

func TestEveryMetricExistsAndIsUsed(t *testing.T) {
	t.Parallel()

	all := allMetrics(t)
	names := series(all)
	var recorded []string
	for _, r := range Recordings() {
		recorded = append(recorded, r.Name)
	}
	labels := map[string]bool{"job": true, "instance": true, "le": true, "alertname": true, "alertstate": true}
	for _, m := range all {
		for _, l := range m.labels {
			if l == "job" {
				l = jobLabel
			}
			labels[l] = true
		}
	}

	seen := map[string]bool{}
	texts := expressions()
	for _, where := range slices.Sorted(maps.Keys(texts)) {
		metrics, of := used(texts[where])
		if len(metrics) == 0 {
			t.Errorf("%s names no metric: %s", where, texts[where])
		}
		for _, m := range metrics {
			if ours, ok := names[m]; ok {
				seen[ours] = true
			} else if !slices.Contains(foreign, m) && !slices.Contains(recorded, m) {
				t.Errorf("%s: there is no metric %s; see docs/METRICS.md", where, m)
			}
		}
		for _, l := range of {
			if !labels[l] {
				t.Errorf("%s: no metric has a label %s", where, l)
			}
		}
	}
	for _, doc := range documents(t) {
		for _, m := range regexp.MustCompile(`\btidemill_\w+`).FindAllString(read(t, doc), -1) {
			ours, ok := names[m]
			if _, plain := all[m]; plain { // a histogram is named without a suffix, too
				ours, ok = m, true
			}
			if !ok && looksLikeMetric(m) {
				t.Errorf("%s names the metric %s, which is not there", doc, m)
			}
			if doc == "docs/OPERATIONS.md" {
				seen[ours] = true
			}
		}
	}
	for _, m := range slices.Sorted(maps.Keys(all)) {
		if !seen[m] {
			t.Errorf("no dashboard, no rule and not docs/OPERATIONS.md uses %s", m)
		}
	}
}

// documents are the texts for people, but for the list of the metrics itself.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("documents: %q, %v", files, err)
	}
	all := []string{"README.md", "CHANGELOG.md"}
	for _, path := range files {
		if name := "docs/" + filepath.Base(path); name != "docs/METRICS.md" {
			all = append(all, name)
		}
	}
	return all
}

// looksLikeMetric leaves out the names of databases, roles and variables that begin like metrics.
func looksLikeMetric(name string) bool {
	return regexp.MustCompile(`_(total|seconds|bytes|info|bucket|sum|count|slots|busy|paused|overdue)$`).MatchString(name)
}

func TestUsed(t *testing.T) {
	t.Parallel()

	metrics, labels := used(`histogram_quantile(0.5, sum by (le) (rate(a_bucket{job=~"$job", x!="b_total{"}[$__rate_interval]))) / on (y) (c:d offset 5m > 1e3)`)
	if got, want := strings.Join(metrics, " "), "a_bucket c:d"; got != want {
		t.Errorf("metrics %s, want %s", got, want)
	}
	if got, want := strings.Join(labels, " "), "job x le y"; got != want {
		t.Errorf("labels %s, want %s", got, want)
	}
}
