package deploytest

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/cli"
	"github.com/tidemill/tidemill/workers"
)

const root = "../.."

// repository is the one that this package is part of.
func repository() fs.FS { return os.DirFS(root) }

func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

func read(t *testing.T, files fs.FS, name string) string {
	t.Helper()
	text, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkCommand reports what keeps argv, which begins after the program's name, from being understood: with --help the
// program parses a command line and does nothing.
func checkCommand(t *testing.T, where string, argv []string) []string {
	t.Helper()
	var words []string
	for _, arg := range argv {
		if strings.HasPrefix(arg, "-") {
			break
		}
		words = append(words, arg)
	}
	var stdout, stderr bytes.Buffer
	m := cli.Main{Args: append(slices.Clone(argv), "--help"), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}
	if code := m.Run(t.Context()); code != 0 {
		return []string{fmt.Sprintf("%s: tidemill %s: %s", where, strings.Join(argv, " "), strings.TrimSpace(stderr.String()))}
	}
	// A group that is called with a name it does not hold shows its own help.
	_, usage, _ := strings.Cut(stdout.String(), "Usage:\n")
	usage, _, _ = strings.Cut(usage, "\n")
	named := []string{"tidemill"}
	for i, field := range strings.Fields(usage) {
		if i > 0 && i <= len(words) && field == words[i-1] {
			named = append(named, field)
		}
	}
	if takes := strings.Fields(usage); len(named) < 2 || len(named) <= len(words) && !takesArguments(takes[len(named):]) {
		return []string{fmt.Sprintf("%s: tidemill %s is no command; the nearest is: %s", where, strings.Join(words, " "), strings.TrimSpace(usage))}
	}
	return nil
}

func takesArguments(rest []string) bool {
	return slices.ContainsFunc(rest, func(s string) bool { return s == strings.ToUpper(s) })
}

func TestCommandsAreSeen(t *testing.T) {
	t.Parallel()
	for argv, ok := range map[string]bool{
		"worker":                       true,
		"worker --config x.yaml":       true,
		"migrate up":                   true,
		"healthcheck --server":         true,
		"start hello":                  true,
		"import people f.csv --detach": true,
		"wroker":                       false,
		"worker all":                   false,
		"migrate":                      true,
		"migrate sideways":             false,
		"worker --confg x.yaml":        false,
		"server --wait 3s":             false,
	} {
		if problems := checkCommand(t, "test", strings.Fields(argv)); (len(problems) == 0) != ok {
			t.Errorf("tidemill %s: problems %q, want ok %v", argv, problems, ok)
		}
	}
}

var reference = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:?[-?][^}]*)?\}`)

// variables are the names that a text asks for as ${NAME}, with what follows the name.
func variables(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "# ")
		for _, m := range reference.FindAllStringSubmatch(line, -1) {
			all[m[1]] = m[2]
		}
	}
	return all
}

// envFile are the names of a file of assignments; those that are commented out are there to be filled in as well. The second
// result are those with a value.
func envFile(text string) (names, given []string) {
	assignment := regexp.MustCompile(`^#?([A-Z][A-Z0-9_]*)=(.*)$`)
	for line := range strings.Lines(text) {
		m := assignment.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		names = append(names, m[1])
		if m[2] != "" {
			given = append(given, m[1])
		}
	}
	return names, given
}

// composeConfig is the configuration of compose.yaml, with something for every name that it asks for.
func composeConfig(files fs.FS) (*config.Config, error) {
	const name = "deploy/compose/config/tidemill.yaml"
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	values := map[string]string{
		"DATABASE_URL": "postgres://tidemill@postgres:5432/tidemill",
		"CRON_SECRET":  strings.Repeat("s", 32),
		"MAIL_URL":     "",
	}
	return config.Parse(name, text, &config.Opts{Kinds: workers.Configs(), Lookup: func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}})
}

func portOf(listen string) string {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return ""
	}
	return port
}

// below reports whether name is dir or in it.
func below(dir, name string) bool {
	dir, name = path.Clean(dir), path.Clean(name)
	return name == dir || strings.HasPrefix(name, dir+"/")
}
