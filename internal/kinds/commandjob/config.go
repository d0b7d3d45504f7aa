package commandjob

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

const kindName = "command"

// configKind runs a program on the worker's machine.
func configKind() config.Kind {
	return config.NewKind[Config](config.Kind{
		Name: kindName, Doc: "Runs a program on the worker's machine, without a shell. Exit status 0 is success.",
	}, fields())
}

// Config is what a job of kind command does.
type Config struct {
	Argv      []string // the program and its arguments; there is no shell
	Dir       string   // empty: the worker's own
	Env       map[string]string
	Timeout   time.Duration
	MaxOutput int // bytes of the output that are kept
}

// commandFields are the further fields of a job of kind command.
func fields() field.Table[Config] {
	return field.Table[Config]{
		field.Row("argv", argv{}, "", "The program and its arguments: `[bin/rails, runner, Report.nightly]`. There is no shell.",
			func(c *Config) *[]string { return &c.Argv }).Require(),
		field.Row("dir", field.Text{Words: "directory"}, "", "Where the program runs.",
			func(c *Config) *string { return &c.Dir }).Inherit("that of the worker"),
		field.Row("env", field.NamedTexts{Words: "mapping from name to text", Name: envName}, "", "Environment of the program, beside that of the worker. Names that begin with `TIDEMILL_` are not yours to set.",
			func(c *Config) *map[string]string { return &c.Env }),
		field.Row("timeout", field.Duration{Min: time.Second, Max: 30 * field.Day}, "1h", "Longest time of one attempt.",
			func(c *Config) *time.Duration { return &c.Timeout }),
		field.Row("max_output", field.Size{Min: 1 << 10, Max: 1 << 20}, "64KiB", "As much of the output is kept, its beginning and its end, and as much of it is logged in a minute.",
			func(c *Config) *int { return &c.MaxOutput }),
	}
}

type commandDefinition struct {
	Argv []string
	Dir  string
	Env  []string // names: a value may be a password that changes every month
}

// Check has nothing to add to the checks of the fields.
func (*Config) Check(*config.Checker, *config.Job, field.Path) {}

// Identity is the program, where it runs, and the names in its environment.
func (c *Config) Identity() (string, any) {
	return "Command", commandDefinition{Argv: c.Argv, Dir: c.Dir, Env: slices.Sorted(maps.Keys(c.Env))}
}

// Limits are the other fields that are no secret.
func (c *Config) Limits() []any { return []any{c.Timeout, c.MaxOutput} }

func envName(key string) (name, problem, hint string) {
	switch {
	case !field.IsEnvName(key):
		return "", "is not the name of an environment variable", "letters, digits and _, no digit first"
	case strings.HasPrefix(key, "TIDEMILL_"):
		return "", "is set by Tidemill", "choose a name that does not begin with TIDEMILL_"
	}
	return key, "", ""
}

// argv is a program with its arguments.
type argv struct{}

func (argv) Read(d *field.Checker, v field.Value, into *[]string) {
	if v.Node.Kind == field.TextNode {
		d.InvalidValue(v, "there is no shell; write it as "+argvHint(v.Node.Source), "is not a list")
		return
	}
	if !d.Is(v, field.ListNode, "a list of the program and its arguments") {
		return
	}
	if len(v.Node.Items) == 0 {
		d.ProblemAt(v, "write it like [bin/rails, runner, Report.nightly]", "names no program")
		return
	}
	out := make([]string, 0, len(v.Node.Items))
	for i := range v.Node.Items {
		item := v.Item(i)
		s, known, ok := d.Text(item)
		if !ok {
			continue
		}
		if known && s == "" && i == 0 {
			d.InvalidValue(item, "begin with the name or path of a program", "names no program")
		}
		out = append(out, s)
	}
	*into = out
}

// argvHint is the list that a command line stands for: what needs a shell is given to one.
func argvHint(line string) string {
	if len(line) > 200 { // an error is one line to read
		return "[sh, -c, …]"
	}
	words := strings.Fields(line)
	if strings.ContainsAny(line, "|&;<>()$`\\\"'*?[]~\n") {
		words = []string{"sh", "-c", line}
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(words); err != nil { // no list of texts fails
		return "[program, argument]"
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), `","`, `", "`)
}

func (argv) Meta() field.Meta {
	return field.Meta{
		Words:  "list of texts",
		Schema: map[string]any{"type": "array", "minItems": 1, "items": map[string]any{"type": "string"}},
	}
}
