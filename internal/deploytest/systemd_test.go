package deploytest

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/config"
)

// unit is a file of systemd: the values of each key of each section, in order.
type unit map[string]map[string][]string

func parseUnit(text string) (unit, error) {
	u := unit{}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			u[section] = map[string][]string{}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section == "" {
			return nil, fmt.Errorf("%q is no setting of a section", line)
		}
		u[section][key] = append(u[section][key], value)
	}
	return u, nil
}

// get is the one value of a setting of [Service], "" if there is none.
func (u unit) get(key string) string {
	values := u["Service"][key]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

const (
	unitProgram = "/usr/local/bin/tidemill"
	unitConfig  = "/etc/tidemill/tidemill.yaml"
	unitState   = "/var/lib/tidemill"
)

func setupUnits(t *testing.T) map[string]unit {
	t.Helper()
	names, err := fs.Glob(repository(), "deploy/systemd/*.service")
	if err != nil {
		t.Fatal(err)
	}
	units := map[string]unit{}
	for _, name := range names {
		u, err := parseUnit(read(t, repository(), name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		units[path.Base(name)] = u
	}
	return units
}

func TestUnits(t *testing.T) {
	t.Parallel()
	units := setupUnits(t)
	for name, u := range units {
		for _, p := range checkUnit(t, u) {
			t.Errorf("%s: %s", name, p)
		}
	}
	worker := units["tidemill-worker.service"]
	if worker == nil || units["tidemill-server.service"] == nil || units["tidemill-migrate.service"] == nil {
		t.Fatalf("deploy/systemd has %d units; want those of the worker, the server and the migrations", len(units))
	}
	// The commands that a worker runs must not be told to end with it: it drains them.
	for key, want := range map[string]string{"ExecReload": "/bin/kill -HUP $MAINPID", "KillMode": "mixed", "KillSignal": "SIGTERM", "Restart": "on-failure"} {
		if got := worker.get(key); got != want {
			t.Errorf("worker: %s=%s, want %s", key, got, want)
		}
	}
	if got, want := units["tidemill-server.service"].get("ExecReload"), "/bin/kill -HUP $MAINPID"; got != want {
		t.Errorf("server: ExecReload=%s, want %s", got, want)
	}
	stop, err := strconv.Atoi(worker.get("TimeoutStopSec"))
	if least := config.Default().DrainTimeout + 15*time.Second; err != nil || time.Duration(stop)*time.Second < least {
		t.Errorf("worker: TimeoutStopSec=%s, want at least %s: drain_timeout and 15 s", worker.get("TimeoutStopSec"), least)
	}
	if got := units["tidemill-migrate.service"].get("Type"); got != "oneshot" {
		t.Errorf("migrate: Type=%s, want oneshot", got)
	}
}

// checkUnit holds a unit to what all of ours have in common.
func checkUnit(t *testing.T, u unit) []string {
	t.Helper()
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, key := range []string{"ExecStart", "ExecStartPost"} {
		for _, line := range u["Service"][key] {
			argv := strings.Fields(line)
			if argv[0] != unitProgram {
				bad("%s runs %s, want %s", key, argv[0], unitProgram)
			}
			if i := slices.Index(argv, "--config"); i < 0 || i+1 == len(argv) || argv[i+1] != unitConfig {
				bad("%s has no --config %s", key, unitConfig)
			}
			problems = append(problems, checkCommand(t, key, argv[1:])...)
		}
	}
	if user := u.get("User"); user == "" || user == "root" {
		bad("User=%s is not a user of its own", user)
	}
	for key, want := range map[string]string{
		"CapabilityBoundingSet": "", "EnvironmentFile": path.Join(path.Dir(unitConfig), "tidemill.env"), "NoNewPrivileges": "yes",
		"PrivateTmp": "yes", "ProtectHome": "yes", "ProtectSystem": "strict", "ReadWritePaths": unitState,
		"StateDirectory": path.Base(unitState), "WorkingDirectory": unitState,
	} {
		if values := u["Service"][key]; len(values) != 1 || values[0] != want {
			bad("%s=%s, want %q once", key, strings.Join(values, " "), want)
		}
	}
	if len(u["Service"]["ExecStart"]) != 1 {
		bad("%d ExecStart, want one", len(u["Service"]["ExecStart"]))
	}
	if len(u["Service"]["Environment"]) > 0 {
		bad("Environment= is shown to everybody; write it into EnvironmentFile")
	}
	return problems
}

func TestUnitMistakesAreSeen(t *testing.T) {
	t.Parallel()
	good := read(t, repository(), "deploy/systemd/tidemill-worker.service")
	for _, c := range []struct{ from, to, want string }{
		{"tidemill worker", "tidemill wroker", "wroker is no command"},
		{"--wait 30s", "--wiat 30s", "unknown flag: --wiat"},
		{"User=tidemill", "User=root", "User=root is not a user of its own"},
		{"ProtectSystem=strict\n", "", "ProtectSystem=, want"},
		{"/etc/tidemill/tidemill.env", "/etc/default/tidemill", "EnvironmentFile=/etc/default/tidemill, want"},
		{"worker --config /etc/tidemill/tidemill.yaml", "worker", "ExecStart has no --config"},
		{"Type=exec", "Environment=A=b", "Environment= is shown"},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if text == good {
			t.Fatalf("the unit has no %q", c.from)
		}
		u, err := parseUnit(text)
		if err != nil {
			t.Fatal(err)
		}
		if problems := strings.Join(checkUnit(t, u), "\n"); !strings.Contains(problems, c.want) {
			t.Errorf("%s: problems %q, want %q", c.to, problems, c.want)
		}
	}
	if _, err := parseUnit("A=b\n"); err == nil {
		t.Error("a setting outside sections is taken")
	}
}

// The names in the example are names that a configuration asks for, and none has a value.
func TestUnitEnvironment(t *testing.T) {
	t.Parallel()
	names, given := envFile(read(t, repository(), "deploy/systemd/tidemill.env.example"))
	if len(given) > 0 || len(names) == 0 {
		t.Errorf("tidemill.env.example has %q, values for %q", names, given)
	}
	asked := variables(read(t, repository(), "config/example.yaml"))
	for _, name := range names {
		if _, ok := asked[name]; !ok {
			t.Errorf("tidemill.env.example has %s, which config/example.yaml does not ask for", name)
		}
	}
}
