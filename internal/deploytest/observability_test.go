package deploytest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestPrometheusConfig lays the files of the service prometheus out as its mounts do, and asks promtool.
func TestPrometheusConfig(t *testing.T) {
	t.Parallel()
	c := setupCompose(t)
	const etc = "/etc/prometheus"
	dir := t.TempDir()
	for _, m := range c.Services["prometheus"].mounts() {
		if m.ofRepository() {
			copyInto(t, filepath.Join(root, m.source), filepath.Join(dir, strings.TrimPrefix(m.target, etc)))
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("promtool is missing: apt-get install prometheus (%v)", err)
	}
	out, err := exec.CommandContext(t.Context(), promtool, "check", "config", filepath.Join(dir, "prometheus.yml")).CombinedOutput()
	if err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	rules, err := fs.Glob(repository(), "metrics/rules/*.y*ml")
	if err != nil || len(rules) == 0 {
		t.Fatalf("no rules (%v)", err)
	}
	for _, rule := range rules {
		if !strings.Contains(string(out), path.Base(rule)) {
			t.Errorf("prometheus.yaml does not load %s:\n%s", rule, out)
		}
	}
}

func copyInto(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(from)
	if err := errors.Join(err, os.WriteFile(to, text, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestPrometheusScrapesTheWorkers(t *testing.T) {
	t.Parallel()
	c := setupCompose(t)
	cfg, err := composeConfig(repository())
	if err != nil {
		t.Fatal(err)
	}
	var prometheus struct {
		ScrapeConfigs []struct {
			DNS []struct {
				Names []string `yaml:"names"`
				Port  int      `yaml:"port"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	decode(t, "deploy/compose/prometheus.yaml", &prometheus)
	if len(prometheus.ScrapeConfigs) != 1 || len(prometheus.ScrapeConfigs[0].DNS) != 1 {
		t.Fatalf("scrape_configs: %+v", prometheus.ScrapeConfigs)
	}
	target := prometheus.ScrapeConfigs[0].DNS[0]
	if want := portOf(cfg.Metrics.Listen); strconv.Itoa(target.Port) != want {
		t.Errorf("scrapes port %d, but metrics.listen is %s", target.Port, cfg.Metrics.Listen)
	}
	for _, name := range target.Names {
		if !slices.Equal(c.Services[name].Command, []string{"worker"}) {
			t.Errorf("scrapes %s, which is no worker", name)
		}
	}
}

func TestGrafanaProvisioning(t *testing.T) {
	t.Parallel()
	c := setupCompose(t)
	var sources struct {
		Datasources []struct {
			UID  string `yaml:"uid"`
			Type string `yaml:"type"`
			URL  string `yaml:"url"`
		} `yaml:"datasources"`
	}
	decode(t, "deploy/compose/grafana/datasources/prometheus.yaml", &sources)
	if len(sources.Datasources) != 1 {
		t.Fatalf("datasources: %+v", sources.Datasources)
	}
	if s := sources.Datasources[0]; s.UID == "" || s.Type != "prometheus" {
		t.Errorf("datasource: %+v, want a fixed uid and type prometheus", s)
	}
	host, port, _ := strings.Cut(strings.TrimPrefix(sources.Datasources[0].URL, "http://"), ":")
	if ports := c.Services[host].Ports; len(ports) != 1 || !strings.HasSuffix(ports[0], ":"+port) {
		t.Errorf("datasource: %s is no service with that port (%q)", sources.Datasources[0].URL, ports)
	}
	var boards struct {
		Providers []struct {
			Options struct {
				Path string `yaml:"path"`
			} `yaml:"options"`
		} `yaml:"providers"`
	}
	decode(t, "deploy/compose/grafana/dashboards/tidemill.yaml", &boards)
	for _, p := range boards.Providers {
		mounts := c.Services["grafana"].mounts()
		i := slices.IndexFunc(mounts, func(m mount) bool { return m.target == p.Options.Path })
		if i < 0 {
			t.Fatalf("dashboards are read from %s, where nothing is mounted", p.Options.Path)
		}
		if found, err := fs.Glob(repository(), path.Join(path.Clean(mounts[i].source), "*.json")); err != nil || len(found) == 0 {
			t.Errorf("%s has no dashboards (%v)", mounts[i].source, err)
		}
	}
	if len(boards.Providers) == 0 {
		t.Error("no provider of dashboards")
	}
}

func decode(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, repository(), name)), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
