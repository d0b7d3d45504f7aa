package observability

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// stored is a dashboard as it is in its file, read without the types that wrote it.
type stored struct {
	Editable      *bool    `json:"editable"`
	Refresh       string   `json:"refresh"`
	SchemaVersion int      `json:"schemaVersion"`
	Tags          []string `json:"tags"`
	Title         string   `json:"title"`
	UID           string   `json:"uid"`
	Description   string   `json:"description"`
	Links         []struct {
		Type, URL string
		Tags      []string
	}
	Templating struct{ List []struct{ Name, Type string } }
	Panels     []storedPanel
}

type storedPanel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ Type, UID string }
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Links                    []struct{ URL string }
	Targets                  []struct {
		Datasource struct{ Type, UID string }
		Expr       string
	}
}

func dashboards(t *testing.T) map[string]stored {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "metrics/dashboards/*.json"))
	if err != nil || len(files) < 3 {
		t.Fatalf("dashboards: %q, %v", files, err)
	}
	all := map[string]stored{}
	for _, path := range files {
		var d stored
		if err := json.Unmarshal([]byte(read(t, "metrics/dashboards/"+filepath.Base(path))), &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[filepath.Base(path)] = d
	}
	return all
}

func TestDashboardsKeepTheRules(t *testing.T) {
	t.Parallel()

	uids := map[string]string{}
	for file, d := range dashboards(t) {
		for _, problem := range d.problems() {
			t.Errorf("%s: %s", file, problem)
		}
		if other := uids[d.UID]; other != "" {
			t.Errorf("%s and %s have the uid %s", file, other, d.UID)
		}
		uids[d.UID] = file
	}
	for _, a := range Alerts() {
		if uids[a.Dashboard] == "" {
			t.Errorf("alert %s links to dashboard %q, which is not there", a.Name, a.Dashboard)
		}
	}
}

func (d stored) problems() []string {
	var all []string
	bad := func(when bool, problem string) {
		if when {
			all = append(all, problem)
		}
	}
	bad(d.UID == "" || d.Title == "" || d.Description == "", "uid, title or description is empty")
	bad(d.Editable == nil || *d.Editable, "can be edited in place, where the next deployment would overwrite it")
	bad(d.SchemaVersion < 38, "has a schema from before Grafana 10")
	bad(d.Refresh == "", "does not refresh")
	bad(!slices.Contains(d.Tags, tag), "has no tag "+tag)
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name+":"+v.Type)
	}
	bad(!slices.Contains(names, "datasource:datasource") || !slices.Contains(names, "job:query"), "data source or job is no variable")
	var toOthers, toRunbooks bool
	for _, l := range d.Links {
		toOthers = toOthers || l.Type == "dashboards" && slices.Contains(l.Tags, tag)
		toRunbooks = toRunbooks || l.URL == operations
	}
	bad(!toOthers || !toRunbooks, "does not link to the other dashboards and to the runbooks")
	ids, titles := map[int]bool{}, map[string]bool{}
	for i, p := range d.Panels {
		if p.Type != "row" {
			bad(titles[p.Title], p.Title+": its title is used twice")
			titles[p.Title] = true
		}
		bad(ids[p.ID] || p.ID == 0, p.Title+": its id is used twice, or 0")
		ids[p.ID] = true
		bad(p.GridPos.X < 0 || p.GridPos.W < 1 || p.GridPos.H < 1 || p.GridPos.X+p.GridPos.W > gridWidth, p.Title+": lies outside the grid")
		for _, other := range d.Panels[:i] {
			bad(p.overlaps(other), p.Title+" lies over "+other.Title)
		}
		for _, problem := range p.problems() {
			all = append(all, p.Title+": "+problem)
		}
	}
	return all
}

func (p storedPanel) overlaps(o storedPanel) bool {
	a, b := p.GridPos, o.GridPos
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H
}

var (
	rateCall = regexp.MustCompile(`\b(rate|irate|increase)\(([a-z_]+)(?:\{[^}]*\})?\[([^\]]+)\]\)`)
	calls    = regexp.MustCompile(`\b(rate|irate|increase)\(`)
	counters = regexp.MustCompile(`\b[a-z_]+_total\b`)
	ofOurs   = regexp.MustCompile(`\b(?:tidemill|process)_\w+(\{[^}]*\})?`)
)

func (p storedPanel) problems() []string {
	if p.Type == "row" {
		return nil
	}
	var all []string
	bad := func(when bool, problem string) {
		if when {
			all = append(all, problem)
		}
	}
	bad(p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "", "has no title, description or unit")
	bad(p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}", "its data source is not the variable")
	bad(len(p.Targets) == 0, "asks nothing")
	for _, l := range p.Links {
		bad(!strings.HasPrefix(l.URL, operations+"#"), "links to "+l.URL)
	}
	for _, t := range p.Targets {
		bad(t.Datasource.Type != "prometheus" || t.Datasource.UID != "${datasource}", "the data source of a query is not the variable")
		rates := rateCall.FindAllStringSubmatch(t.Expr, -1)
		bad(len(rates) != len(calls.FindAllString(t.Expr, -1)), "a rate is not of a plain selector: "+t.Expr)
		for _, r := range rates {
			bad(r[1] != "increase" && r[3] != "$__rate_interval", "the window of a rate is "+r[3])
			bad(r[1] == "increase" && r[3] != "$__range" && r[3] != "$__rate_interval", "the window of an increase is "+r[3])
			bad(!strings.HasSuffix(r[2], "_total") && !strings.HasSuffix(r[2], "_bucket") && !strings.HasSuffix(r[2], "_sum") && !strings.HasSuffix(r[2], "_count"),
				"the rate of "+r[2]+", which is no counter")
		}
		bad(counters.MatchString(rateCall.ReplaceAllString(t.Expr, "")), "a counter outside of rate and increase: "+t.Expr)
		for _, m := range ofOurs.FindAllStringSubmatch(grouping.ReplaceAllString(quoted.ReplaceAllStringFunc(t.Expr, func(s string) string {
			return strings.NewReplacer("tidemill_", "", "{", "", "}", "").Replace(s)
		}), ""), -1) {
			bad(!strings.Contains(m[1], `job=~"$job"`), "does not choose by $job: "+m[0])
		}
	}
	return all
}

func TestDashboardRulesAreSeen(t *testing.T) {
	t.Parallel()

	panel := func(change func(*storedPanel)) storedPanel {
		p := storedPanel{ID: 1, Type: "stat", Title: "t", Description: "d"}
		p.Datasource.Type, p.Datasource.UID = "prometheus", "${datasource}"
		p.FieldConfig.Defaults.Unit = "s"
		p.Targets = append(p.Targets, struct {
			Datasource struct{ Type, UID string }
			Expr       string
		}{p.Datasource, `sum(rate(tidemill_x_total{job=~"$job"}[$__rate_interval]))`})
		change(&p)
		return p
	}
	for want, change := range map[string]func(*storedPanel){
		"":                                  func(*storedPanel) {},
		"has no title":                      func(p *storedPanel) { p.FieldConfig.Defaults.Unit = "" },
		"its data source":                   func(p *storedPanel) { p.Datasource.UID = "fixed" },
		"the window of a rate is 5m":        func(p *storedPanel) { p.Targets[0].Expr = `rate(tidemill_x_total{job=~"$job"}[5m])` },
		"a counter outside":                 func(p *storedPanel) { p.Targets[0].Expr = `tidemill_x_total{job=~"$job"}` },
		"does not choose by $job":           func(p *storedPanel) { p.Targets[0].Expr = `tidemill_jobs{queue="x"}` },
		"which is no counter":               func(p *storedPanel) { p.Targets[0].Expr = `rate(tidemill_jobs{job=~"$job"}[$__rate_interval])` },
		"a rate is not of a plain selector": func(p *storedPanel) { p.Targets[0].Expr = `rate((x)[$__rate_interval])` },
		"asks nothing":                      func(p *storedPanel) { p.Targets = nil },
	} {
		got := strings.Join(panel(change).problems(), "\n")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("problems %q, want %q", got, want)
		}
	}
	a, b := panel(func(p *storedPanel) { p.GridPos.W, p.GridPos.H = 12, 8 }), panel(func(p *storedPanel) { p.GridPos.X, p.GridPos.W, p.GridPos.H = 12, 12, 8 })
	if a.overlaps(b) {
		t.Error("panels side by side overlap")
	}
	if b.GridPos.X = 11; !a.overlaps(b) {
		t.Error("panels that overlap are not seen")
	}
}
