package golden

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// step is a command that is called with --json, or without if it is plain: then only for what comes after it.
type step struct {
	args string // {job} is the last run of that job, {kind NAME} the last River job of that kind, {probe} a ready worker's URL
	exit int
	do   string // something that is no command: see world.do
}

// steps are in an order: one uses what those before have made.
func steps() []step {
	return []step{
		{args: "migrate status", exit: 1},
		{args: "migrate up"},
		{args: "migrate status"},
		{args: "config apply"},
		{args: "config check"},
		{args: "config check broken.yaml", exit: 1},
		{args: "config show load"},
		{args: "version"},
		{args: "healthcheck --url {probe}"},
		{args: "mail preview welcome --param email=jo@example.com"},

		{args: "start later --in 1h"},
		{args: "runs show {later}"},
		{args: "runs pause {later}"},
		{args: "runs resume {later}"},
		{args: "runs retry {later}"},
		{args: "runs cancel {later}"},
		{args: "import load people.csv --detach"},
		{args: "runs cancel {load}"},

		{do: "due"},
		{do: "work"},
		{args: "import load people.csv --dry-run", exit: 3},
		{args: "import load people.csv", exit: 3},
		{args: "import drop"},
		{args: "export dump -o dump.csv"},
		{args: "runs download {dump} -o again.csv"},
		{args: "start stats --wait"},
		{args: "start children --wait"},
		{args: "start fails --wait", exit: 1},
		{args: "cleanup old --dry-run"},
		{args: "cleanup old"},
		{args: "exec nightly -- echo done"},
		{args: "runs list -n 100"},
		{args: "runs show {load}"},
		{args: "runs show {dump}"},
		{args: "runs show {children}"},
		{args: "runs show {fails}"},
		{args: "runs watch {load}", exit: 3},
		{args: "runs rejects {load}"},

		{args: "start holds"},
		{do: "held"},
		{args: "processes"},
		{args: "processes --jobs"},
		{do: "release"},

		{do: "ticked"},
		{args: "schedules trigger later --wait"},
		{args: "schedules list"},
		{args: "schedules next -n 2"},
		{args: "schedules history"},
		{args: "schedules pause later"},
		{args: "schedules list"},
		{args: "schedules resume later"},

		{args: "queues pause low"},
		{args: "queues list"},
		{args: "queues resume low"},

		{do: "know"},
		{args: "enqueue other --in 1h --tag mail"},
		{args: "jobs list"},
		{args: "jobs show {kind other}"},
		{args: "jobs show {load}"},
		{args: "jobs errors"},
		{args: "jobs cancel --kind other --dry-run"},
		{args: "jobs cancel {kind other}"},
		{args: "jobs cancel {kind other}", exit: 1},
		{args: "jobs delete {kind other}"},
		{args: "jobs retry {fails}"},

		{do: "end"},
		{args: "migrate down"},
	}
}

// without are the commands whose JSON is not held, and why.
func without() map[string]string {
	return map[string]string{
		"config schema":    "prints the same with and without; see schema.json",
		"config reference": "it is Markdown",
		"convert":          "prints YAML, and refuses --json",
		"demo":             "prints sentences",
		"mail send-test":   "needs a mail server; cmd/tidemill/testdata/mail.txtar has it",
		"server":           "serves; its log is JSON anyway",
		"up":               "serves; its log is JSON anyway",
		"worker":           "serves; its log is JSON anyway",
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	missing := uncovered(t)
	if len(missing) > 0 {
		t.Errorf("no step of internal/house/golden/json_test.go calls these commands: %s; add one to steps, or to without with the reason", strings.Join(missing, ", "))
	}
	w := newWorld(t)
	var out strings.Builder
	for _, s := range steps() {
		if s.do != "" {
			w.do(s.do)
			continue
		}
		shape, err := shapeOf(w.run(s))
		if err != nil {
			t.Fatalf("tidemill %s: %v", s.args, err)
		}
		fmt.Fprintf(&out, "$ tidemill %s --json\n%s\n", s.args, shape)
	}
	check(t, "json.txt", out.String())
}

// uncovered are the commands that do something and are in neither list. It fails the test for what is in without and is no
// command, or has a step.
func uncovered(t *testing.T) []string {
	t.Helper()
	excused := without()
	var missing []string
	for _, command := range commands(t, nil) {
		name := strings.TrimPrefix(command, "tidemill ")
		if len(subcommands(help(t, strings.Fields(command)[1:]))) > 0 {
			continue
		}
		called := slices.ContainsFunc(steps(), func(s step) bool { return s.args == name || strings.HasPrefix(s.args, name+" ") })
		_, excusable := excused[name]
		if called == excusable {
			missing = append(missing, name)
		}
		delete(excused, name)
	}
	for _, name := range slices.Sorted(maps.Keys(excused)) {
		t.Errorf("%s is no command; take it out of without", name)
	}
	return missing
}
