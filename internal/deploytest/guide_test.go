package deploytest

import (
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/tidemill/tidemill/config"
)

const guide = "docs/DEPLOY.md"

// fences are the blocks of a Markdown text in that language.
func fences(text, language string) []string {
	var all []string
	for _, block := range strings.Split(text, "\n```"+language+"\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```")
		all = append(all, block+"\n")
	}
	return all
}

func TestGuideNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	text := read(t, repository(), guide)
	if n := strings.Count(text, "\n"); n > 150 {
		t.Errorf("%s has %d lines; what needs more than 150 belongs elsewhere", guide, n)
	}
	files := regexp.MustCompile(`\bdeploy/[\w./-]*\w`).FindAllString(text, -1)
	if len(files) == 0 {
		t.Error("no file of deploy is named")
	}
	for _, name := range files {
		if _, err := fs.Stat(repository(), name); err != nil {
			t.Errorf("%s names %s, which is not there", guide, name)
		}
	}
}

// Command lines of the guide: those of the program, and those that compose runs in a service.
func TestGuideCommands(t *testing.T) {
	t.Parallel()
	c := setupCompose(t)
	seen := 0
	for _, block := range fences(read(t, repository(), guide), "console") {
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "$ "), " #")
			line, _, _ = strings.Cut(line, " <")
			words := slices.DeleteFunc(strings.Fields(line), func(w string) bool { return w == "sudo" || w == "-T" || w == "--rm" })
			switch {
			case len(words) > 1 && words[0] == "tidemill":
				words = words[1:]
			case len(words) > 5 && slices.Contains([]string{"exec", "run"}, words[2]) && words[1] == "compose":
				if _, ok := c.own()[words[3]]; !ok {
					t.Errorf("%s: %s: %s is no service of the program", guide, line, words[3])
				}
				words = words[4:]
				if words[0] == "/tidemill" {
					words = words[1:]
				}
			default:
				continue
			}
			seen++
			report(t, checkCommand(t, guide, words))
		}
	}
	if seen == 0 {
		t.Errorf("%s shows no command", guide)
	}
}

// manifest is what we look at in a Kubernetes object.
type manifest struct {
	Kind string `yaml:"kind"`
	Spec struct {
		Template struct {
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Args  []string `yaml:"args"`
					Ports []struct {
						Name string `yaml:"name"`
						Port int    `yaml:"containerPort"`
					} `yaml:"ports"`
					Live  probe `yaml:"livenessProbe"`
					Ready probe `yaml:"readinessProbe"`
				} `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type probe struct {
	HTTP struct {
		Path string `yaml:"path"`
		Port string `yaml:"port"`
	} `yaml:"httpGet"`
}

func TestGuideKubernetes(t *testing.T) {
	t.Parallel()
	kinds := map[string]int{}
	for _, block := range fences(read(t, repository(), guide), "yaml") {
		decoder := yaml.NewDecoder(strings.NewReader(block))
		for {
			var m manifest
			err := decoder.Decode(&m)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v\n%s", guide, err, block)
			}
			kinds[m.Kind]++
			for _, container := range m.Spec.Template.Spec.Containers {
				report(t, checkCommand(t, guide+": "+m.Kind, container.Args))
			}
			if m.Kind == "Deployment" {
				checkDeployment(t, &m)
			}
		}
	}
	if kinds["Deployment"] != 1 || kinds["Job"] != 1 {
		t.Errorf("%s has the manifests %v, want a Deployment and a Job", guide, kinds)
	}
}

func checkDeployment(t *testing.T, m *manifest) {
	t.Helper()
	spec := m.Spec.Template.Spec
	if least := config.Default().DrainTimeout + 15*time.Second; time.Duration(spec.Grace)*time.Second < least {
		t.Errorf("terminationGracePeriodSeconds is %d, want at least %s: drain_timeout and 15 s", spec.Grace, least)
	}
	if len(spec.Containers) != 1 || len(spec.Containers[0].Ports) != 1 {
		t.Fatalf("containers: %+v, want one with one port", spec.Containers)
	}
	container := spec.Containers[0]
	if got := portOf(config.Default().Metrics.Listen); got != "9394" || container.Ports[0].Port != 9394 {
		t.Errorf("the port is %d, but metrics.listen is at %s by default", container.Ports[0].Port, got)
	}
	for want, p := range map[string]probe{"/livez": container.Live, "/readyz": container.Ready} {
		if p.HTTP.Path != want || p.HTTP.Port != container.Ports[0].Name {
			t.Errorf("probe %+v, want %s at port %s", p.HTTP, want, container.Ports[0].Name)
		}
	}
}
