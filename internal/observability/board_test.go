package observability

import (
	"fmt"
	"regexp"
	"strings"
)

// repository is where people find what a link names.
const repository = "https://github.com/tidemill/tidemill/blob/main/"

// operations is the runbook; alerts and panels link to its sections.
const operations = repository + "docs/OPERATIONS.md"

// gridWidth is Grafana's number of columns.
const gridWidth = 24

// tag is on all our dashboards, and is how they link to each other.
const tag = "tidemill"

// board lays panels out from left to right and from top to bottom, so that none can lie over another.
type board struct {
	dashboard *Dashboard
	y         int
}

func newBoard(uid, title, description string, variables ...variable) *board {
	return &board{dashboard: &Dashboard{
		Annotations: annotations{List: []annotation{{
			Datasource: prometheus(), Enable: true, IconColor: "blue", Name: "New versions", Step: "60s", TitleFormat: "{{version}}",
			Expr: scoped(`count by (version) (tidemill_build_info) unless count by (version) (tidemill_build_info offset 5m)`),
		}}},
		Description: description, GraphTooltip: 1,
		Links: []dashboardLink{
			{AsDropdown: true, Icon: "external link", IncludeVars: true, KeepTime: true, Tags: []string{tag}, Title: "Tidemill", Type: "dashboards"},
			{Icon: "doc", Tags: []string{}, TargetBlank: true, Title: "Runbooks", Type: "link", URL: operations},
		},
		Refresh: "30s", SchemaVersion: 39, Tags: []string{tag},
		Templating: templating{List: append([]variable{
			{Label: "Data source", Name: "datasource", Query: "prometheus", Refresh: 1, Type: "datasource"},
			choice("job", "Prometheus job", "tidemill_build_info", "job"),
		}, variables...)},
		Time: timeRange{From: "now-3h", To: "now"}, Timezone: "browser", Title: title, UID: uid, Version: 1,
	}}
}

// choice is a variable with the values of a label.
func choice(name, label, metric, of string) variable {
	if name != "job" {
		metric = scoped(metric)
	}
	query := fmt.Sprintf("label_values(%s, %s)", metric, of)
	from := prometheus()
	return variable{
		AllValue: ".*", Current: map[string]any{"text": []string{"All"}, "value": []string{"$__all"}}, Datasource: &from, Definition: query,
		IncludeAll: true, Label: label, Multi: true, Name: name, Query: map[string]any{"qryType": 1, "query": query, "refId": name},
		Refresh: 2, Sort: 1, Type: "query",
	}
}

func prometheus() source { return source{Type: "prometheus", UID: "${datasource}"} }

// row begins a part with a heading.
func (b *board) row(title string) {
	open := false
	b.add(&Panel{Type: "row", Title: title, Collapsed: &open, GridPos: gridPos{H: 1, W: gridWidth, Y: b.y}})
	b.y++
}

// line puts panels side by side, as wide as each other.
func (b *board) line(height int, panels ...*Panel) {
	width := gridWidth / len(panels)
	for i, p := range panels {
		p.GridPos = gridPos{H: height, W: width, X: i * width, Y: b.y}
		b.add(p)
	}
	b.y += height
}

func (b *board) add(p *Panel) {
	p.ID = len(b.dashboard.Panels) + 1
	b.dashboard.Panels = append(b.dashboard.Panels, p)
}

// selected are the metrics of one of our processes, with the brace of their selector, if they have one.
var selected = regexp.MustCompile(`\b(?:tidemill_\w+|process_(?:resident|cpu|open)_\w+)\b\{?`)

// scoped limits an expression to the Prometheus jobs that are chosen on the dashboard.
func scoped(expr string) string {
	return selected.ReplaceAllStringFunc(expr, func(found string) string {
		if name, ok := strings.CutSuffix(found, "{"); ok {
			return name + `{job=~"$job", `
		}
		return found + `{job=~"$job"}`
	})
}
