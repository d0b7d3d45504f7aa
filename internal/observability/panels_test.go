package observability

import "strings"

// Units, by Grafana's names.
const (
	count        = "short"
	perSecond    = "ops"
	rowsPerSec   = "suffix: rows/s"
	seconds      = "s"
	share        = "percentunit"
	ofMemory     = "bytes"
	milliseconds = "dateTimeFromNow" // of a point in time in milliseconds: how long ago, or in how long
)

// query is one line, or several, of a panel.
type query struct {
	expr   string
	legend string
}

func newPanel(kind, title, description, unit string, queries ...query) *Panel {
	from := prometheus()
	p := &Panel{
		Type: kind, Title: title, Description: description, Datasource: &from,
		FieldConfig: &fieldConfig{Defaults: fieldDefaults{Unit: unit}, Overrides: []override{}},
	}
	for i, q := range queries {
		p.Targets = append(p.Targets, Target{
			Datasource: prometheus(), EditorMode: "code", Expr: scoped(strings.TrimSpace(q.expr)), Format: "time_series",
			LegendFormat: q.legend, Range: true, RefID: string(rune('A' + i)),
		})
	}
	return p
}

// graph draws lines over time.
func graph(title, description, unit string, queries ...query) *Panel {
	p := newPanel("timeseries", title, description, unit, queries...)
	p.FieldConfig.Defaults.Color = map[string]any{"mode": "palette-classic"}
	p.FieldConfig.Defaults.Custom = map[string]any{
		"drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": false, "stacking": map[string]any{"mode": "none"},
	}
	p.FieldConfig.Defaults.Min = number(0)
	p.Options = map[string]any{
		"legend":  map[string]any{"calcs": []string{"lastNotNull", "max"}, "displayMode": "table", "placement": "bottom", "showLegend": true},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

// stacked draws parts of a whole.
func stacked(title, description, unit string, queries ...query) *Panel {
	p := graph(title, description, unit, queries...)
	p.FieldConfig.Defaults.Custom["stacking"] = map[string]any{"group": "A", "mode": "normal"}
	p.FieldConfig.Defaults.Custom["fillOpacity"] = 40
	return p
}

// heat shows how the observations of a histogram are spread, over time.
func heat(title, description, expr string) *Panel {
	p := newPanel("heatmap", title, description, seconds, query{expr, "{{le}}"})
	p.Targets[0].Format = "heatmap"
	p.Options = map[string]any{
		"calculate": false,
		"cellGap":   1,
		"color":     map[string]any{"exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "scale": "exponential", "scheme": "Oranges", "steps": 64},
		"legend":    map[string]any{"show": true},
		"tooltip":   map[string]any{"mode": "single", "showColorScale": false, "yHistogram": false},
		"yAxis":     map[string]any{"axisPlacement": "left", "reverse": false, "unit": seconds},
	}
	return p
}

// stat is one number; it turns yellow and red where it is at least so much.
func stat(title, description, unit, expr string, yellow, red float64) *Panel {
	p := newPanel("stat", title, description, unit, query{expr, ""})
	p.FieldConfig.Defaults.Color = map[string]any{"mode": "thresholds"}
	p.FieldConfig.Defaults.Thresholds = &thresholds{Mode: "absolute", Steps: []step{{"green", nil}, {"yellow", &yellow}, {"red", &red}}}
	p.statOptions()
	return p
}

// plainStat is a number that is neither good nor bad.
func plainStat(title, description, unit, expr string) *Panel {
	p := newPanel("stat", title, description, unit, query{expr, ""})
	p.FieldConfig.Defaults.Color = map[string]any{"fixedColor": "blue", "mode": "fixed"}
	p.statOptions()
	return p
}

// statOptions asks for the present value alone: the last one of a series that has ended would be shown as if it were true.
func (p *Panel) statOptions() {
	p.Targets[0].Instant, p.Targets[0].Range = true, false
	p.Options = map[string]any{
		"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}, "textMode": "auto",
	}
}

// table shows the present value of each series, by its labels; value heads the column of the number.
func table(title, description, unit, value, expr string) *Panel {
	p := newPanel("table", title, description, unit, query{expr, ""})
	p.Targets[0].Format, p.Targets[0].Instant, p.Targets[0].Range = "table", true, false
	p.Options = map[string]any{
		"cellHeight": "sm", "showHeader": true, "sortBy": []map[string]any{{"desc": true, "displayName": value}},
	}
	p.Transformations = []transformation{{ID: "organize", Options: map[string]any{
		"excludeByName": map[string]any{"Time": true, "__name__": true, "alertstate": true},
		"renameByName":  map[string]any{"Value": value, jobLabel: "configured job"},
	}}}
	return p
}

// runbook links the panel to the section of an alert.
func (p *Panel) runbook(alert string) *Panel {
	p.Links = append(p.Links, panelLink{TargetBlank: true, Title: "Runbook: " + alert, URL: runbookURL(alert)})
	return p
}

// upTo sets the end of the axis.
func (p *Panel) upTo(limit float64) *Panel {
	p.FieldConfig.Defaults.Max = &limit
	return p
}

func number(f float64) *float64 { return &f }

// quantiles are the lines of a histogram that people ask for. The selector is that of its buckets.
func quantiles(buckets string) []query {
	var all []query
	for _, q := range []struct{ of, name string }{{"0.5", "half"}, {"0.95", "95 %"}, {"0.99", "99 %"}} {
		all = append(all, query{`histogram_quantile(` + q.of + `, sum by (le) (rate(` + buckets + `[$__rate_interval])))`, q.name + " within"})
	}
	return all
}
