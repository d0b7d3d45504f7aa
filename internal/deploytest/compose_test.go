package deploytest

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/tidemill/tidemill/config"
)

// compose is compose.yaml. Fields that are not here are refused: among them version, which is of another age, and
// container_name, which keeps a second copy from running.
type compose struct {
	Name     string             `yaml:"name"`
	Shared   any                `yaml:"x-tidemill"`
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
}

type service struct {
	Build           string                `yaml:"build"`
	CapDrop         []string              `yaml:"cap_drop"`
	Command         []string              `yaml:"command"`
	DependsOn       map[string]dependency `yaml:"depends_on"`
	Environment     map[string]string     `yaml:"environment"`
	Healthcheck     healthcheck           `yaml:"healthcheck"`
	Image           string                `yaml:"image"`
	Ports           []string              `yaml:"ports"`
	Profiles        []string              `yaml:"profiles"`
	ReadOnly        bool                  `yaml:"read_only"`
	Restart         string                `yaml:"restart"`
	SecurityOpt     []string              `yaml:"security_opt"`
	ShmSize         string                `yaml:"shm_size"`
	StopGracePeriod string                `yaml:"stop_grace_period"`
	Tmpfs           []string              `yaml:"tmpfs"`
	Volumes         []string              `yaml:"volumes"`
}

type dependency struct {
	Condition string `yaml:"condition"`
}

type healthcheck struct {
	Disable     bool     `yaml:"disable"`
	Interval    string   `yaml:"interval"`
	Retries     int      `yaml:"retries"`
	StartPeriod string   `yaml:"start_period"`
	Test        []string `yaml:"test"`
	Timeout     string   `yaml:"timeout"`
}

// mount is one entry of volumes: source:target[:ro].
type mount struct {
	source, target string
	readOnly       bool
}

func (m mount) ofRepository() bool { return strings.HasPrefix(m.source, "./") }

func (s service) mounts() []mount {
	var all []mount
	for _, text := range s.Volumes {
		parts := append(strings.Split(text, ":"), "", "")
		all = append(all, mount{source: parts[0], target: parts[1], readOnly: parts[2] == "ro"})
	}
	return all
}

func parseCompose(text string) (*compose, error) {
	c := &compose{}
	if err := yaml.UnmarshalWithOptions([]byte(text), c, yaml.Strict()); err != nil {
		return nil, err
	}
	return c, nil
}

func setupCompose(t *testing.T) *compose {
	t.Helper()
	c, err := parseCompose(read(t, repository(), "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompose(t *testing.T) {
	t.Parallel()
	c := setupCompose(t)
	report(t, c.checkServices())
	report(t, c.checkMounts(repository()))
	for _, name := range []string{"grafana", "mailpit", "migrate", "postgres", "prometheus", "server", "worker"} {
		s, ok := c.Services[name]
		if !ok {
			t.Errorf("compose.yaml has no service %s", name)
		}
		if observes := name == "prometheus" || name == "grafana"; observes != slices.Equal(s.Profiles, []string{"observability"}) {
			t.Errorf("%s has the profiles %q", name, s.Profiles)
		}
	}
}

var (
	pinned   = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)*$`)
	loopback = regexp.MustCompile(`^127\.0\.0\.1:\d+:\d+$`)
)

func (c *compose) checkServices() []string {
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := c.Services[name]
		if s.Build == "" && !pinned.MatchString(s.Image) {
			bad("%s: image %q is not pinned to a version", name, s.Image)
		}
		for _, port := range s.Ports {
			if !loopback.MatchString(port) {
				bad("%s: port %s is open beyond loopback", name, port)
			}
		}
		if len(s.Healthcheck.Test) == 0 && !s.Healthcheck.Disable {
			bad("%s: no healthcheck", name)
		}
		if test := s.Healthcheck.Test; len(test) > 0 && test[0] != "CMD" {
			bad("%s: healthcheck %q needs a shell", name, test)
		}
		for _, on := range slices.Sorted(maps.Keys(s.DependsOn)) {
			other, ok := c.Services[on]
			switch condition := s.DependsOn[on].Condition; {
			case !ok:
				bad("%s: depends on %s, which is no service", name, on)
			case condition == "service_healthy" && len(other.Healthcheck.Test) > 0:
			case condition == "service_completed_successfully" && other.Restart == "no":
			default:
				bad("%s: depends on %s being %s, which it never is", name, on, condition)
			}
			if ok && len(s.Profiles) == 0 && len(other.Profiles) > 0 {
				bad("%s: depends on %s, which runs in a profile only", name, on)
			}
		}
	}
	return problems
}

func (c *compose) checkMounts(files fs.FS) []string {
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	used := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		for _, m := range c.Services[name].mounts() {
			_, declared := c.Volumes[m.source]
			switch _, err := fs.Stat(files, path.Clean(m.source)); {
			case !path.IsAbs(m.target):
				bad("%s: %s is mounted at %q, which is no absolute path", name, m.source, m.target)
			case m.ofRepository() && err != nil:
				bad("%s: %s is not in the repository", name, m.source)
			case m.ofRepository() && !m.readOnly:
				bad("%s: %s is mounted writable", name, m.source)
			case !m.ofRepository() && !declared:
				bad("%s: volume %s is not declared", name, m.source)
			}
			used[m.source] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Volumes)) {
		if !used[name] {
			bad("volume %s is not used", name)
		}
	}
	return problems
}

// own are the services that run our program.
func (c *compose) own() map[string]service {
	all := map[string]service{}
	for name, s := range c.Services {
		if s.Build != "" {
			all[name] = s
		}
	}
	return all
}

func TestComposeRunsTheProgram(t *testing.T) {
	t.Parallel()
	c := setupCompose(t)
	cfg, err := composeConfig(repository())
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range c.own() {
		report(t, checkCommand(t, name, s.Command))
		if test := s.Healthcheck.Test; len(test) > 0 {
			if len(test) < 2 || test[1] != "/tidemill" {
				t.Fatalf("%s: the healthcheck is %q, want /tidemill", name, test)
			}
			report(t, checkCommand(t, name, test[2:]))
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s has rights that it does not need", name)
		}
		problems := checkPaths(s, cfg)
		for _, p := range problems {
			t.Errorf("%s: %s", name, p)
		}
	}
	grace, err := time.ParseDuration(c.Services["worker"].StopGracePeriod)
	if least := cfg.DrainTimeout + 15*time.Second; err != nil || grace < least {
		t.Errorf("worker: stop_grace_period is %s (%v), want at least %s: drain_timeout and 15 s", grace, err, least)
	}
	if port := portOf(cfg.Server.Listen); !slices.Equal(c.Services["server"].Ports, []string{"127.0.0.1:" + port + ":" + port}) {
		t.Errorf("server: ports %q, but server.listen is %s", c.Services["server"].Ports, cfg.Server.Listen)
	}
	for field, listen := range map[string]string{"server.listen": cfg.Server.Listen, "metrics.listen": cfg.Metrics.Listen} {
		if !strings.HasPrefix(listen, "0.0.0.0:") {
			t.Errorf("%s is %s, which other containers do not reach", field, listen)
		}
	}
}

// checkPaths holds the mounts of a service against its environment and its configuration.
func checkPaths(s service, cfg *config.Config) []string {
	var problems []string
	var configured, stored bool
	for _, m := range s.mounts() {
		if m.ofRepository() && below(m.target, s.Environment["TIDEMILL_CONFIG"]) {
			rest := strings.TrimPrefix(s.Environment["TIDEMILL_CONFIG"], m.target)
			configured = path.Join(m.source, rest) == cfg.File
		}
		if !m.ofRepository() && below(m.target, strings.TrimPrefix(cfg.Storage.URL, "file://")) {
			stored = true
		}
	}
	if !configured {
		problems = append(problems, fmt.Sprintf("TIDEMILL_CONFIG is %q, which no mount makes %s", s.Environment["TIDEMILL_CONFIG"], cfg.File))
	}
	if !stored {
		problems = append(problems, fmt.Sprintf("storage.url is %s, which is in no volume", cfg.Storage.URL))
	}
	return problems
}

func TestComposeEnvironment(t *testing.T) {
	t.Parallel()
	c, files := setupCompose(t), repository()
	asked := variables(read(t, files, "deploy/compose/config/tidemill.yaml"))
	for name, s := range c.own() {
		for variable, fallback := range asked {
			if _, ok := s.Environment[variable]; !ok && fallback == "" {
				t.Errorf("%s: the configuration asks for ${%s}, which the service does not have", name, variable)
			}
		}
		for variable := range s.Environment {
			_, ok := asked[variable]
			if !ok && variable != "TIDEMILL_CONFIG" && variable != "PGPASSWORD" {
				t.Errorf("%s: nothing asks for %s", name, variable)
			}
		}
	}
	report(t, c.checkSecrets())

	text := read(t, files, "compose.yaml")
	names, given := envFile(read(t, files, "deploy/compose/env.example"))
	if len(given) > 0 {
		t.Errorf("env.example has values for %q", given)
	}
	needed := slices.Sorted(maps.Keys(variables(text)))
	if slices.Sort(names); !slices.Equal(names, needed) {
		t.Errorf("env.example has %q, compose.yaml asks for %q", names, needed)
	}
}

// checkSecrets requires that what is secret comes from outside, and that compose says so if it does not come.
func (c *compose) checkSecrets() []string {
	secret, outside := regexp.MustCompile(`PASSWORD|SECRET|TOKEN`), regexp.MustCompile(`^\$\{[A-Z_]+:\?[^}]+\}$`)
	inURL := regexp.MustCompile(`://[^/@]*:[^/@]*@`)
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		env := c.Services[name].Environment
		for _, variable := range slices.Sorted(maps.Keys(env)) {
			if secret.MatchString(variable) && !outside.MatchString(env[variable]) || inURL.MatchString(env[variable]) {
				problems = append(problems, fmt.Sprintf("%s: %s has its value in the file", name, variable))
			}
		}
	}
	return problems
}

func TestComposeMistakesAreSeen(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"version: '3'\nservices: {}":                                            "unknown field",
		"services: {a: {container_name: a}}":                                    "unknown field",
		"services: {a: {image: postgres}}":                                      "a: image \"postgres\" is not pinned",
		"services: {a: {image: 'postgres:latest'}}":                             "is not pinned",
		"services: {a: {image: 'a:1.2', ports: ['5432:5432']}}":                 "a: port 5432:5432 is open beyond loopback",
		"services: {a: {image: 'a:1.2'}}":                                       "a: no healthcheck",
		"services: {a: {build: ., depends_on: {b: {condition: x}}}}":            "a: depends on b, which is no service",
		"services: {a: {depends_on: {b: {condition: service_healthy}}}, b: {}}": "a: depends on b being service_healthy, which it never is",
		"services: {a: {volumes: ['./gone:/x:ro']}}":                            "a: ./gone is not in the repository",
		"services: {a: {volumes: ['./here:/x']}}":                               "a: ./here is mounted writable",
		"services: {a: {volumes: ['data:/x']}}":                                 "a: volume data is not declared",
		"volumes: {data: }":                                                     "volume data is not used",
		"services: {a: {environment: {A_PASSWORD: x}}}":                         "a: A_PASSWORD has its value in the file",
		"services: {a: {environment: {URL: 'postgres://a:b@c/d'}}}":             "a: URL has its value in the file",
	} {
		c, err := parseCompose(text)
		var problems []string
		if err != nil {
			problems = append(problems, err.Error())
		} else {
			problems = slices.Concat(c.checkServices(), c.checkMounts(fstest.MapFS{"here/a": {}}), c.checkSecrets())
		}
		if !strings.Contains(strings.Join(problems, "\n"), want) {
			t.Errorf("%s: problems %q, want %q", text, problems, want)
		}
	}
}
