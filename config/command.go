package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

const kindCommand = "command"

// CommandKind runs a program on the worker's machine.
func CommandKind() Kind {
	return NewKind[Command](Kind{
		Name: kindCommand, Doc: "Runs a program on the worker's machine, without a shell. Exit status 0 is success.",
	}, commandFields())
}

// Command is what a job of kind command does.
type Command struct {
	Argv      []string // the program and its arguments; there is no shell
	Dir       string   // empty: the worker's own
	Env       map[string]string
	Timeout   time.Duration
	MaxOutput int // bytes of the output that are kept
}

// commandFields are the further fields of a job of kind command.
func commandFields() object[Command] {
	return object[Command]{
		row("argv", argv{}, "", "The program and its arguments: `[bin/rails, runner, Report.nightly]`. There is no shell.",
			func(c *Command) *[]string { return &c.Argv }).needed(),
		row("dir", text{words: "directory"}, "", "Where the program runs.",
			func(c *Command) *string { return &c.Dir }).from("that of the worker"),
		row("env", namedTexts{words: "mapping from name to text", name: envName}, "", "Environment of the program, beside that of the worker. Names that begin with `TIDEMILL_` are not yours to set.",
			func(c *Command) *map[string]string { return &c.Env }),
		row("timeout", duration{time.Second, 30 * day}, "1h", "Longest time of one attempt.",
			func(c *Command) *time.Duration { return &c.Timeout }),
		row("max_output", size{1 << 10, 1 << 20}, "64KiB", "As much of the output is kept, its beginning and its end, and as much of it is logged in a minute.",
			func(c *Command) *int { return &c.MaxOutput }),
	}
}

type commandDefinition struct {
	Argv []string
	Dir  string
	Env  []string // names: a value may be a password that changes every month
}

// Check has nothing to add to the checks of the fields.
func (*Command) Check(*Checker, *Job, path) {}

// Identity is the program, where it runs, and the names in its environment.
func (c *Command) Identity() (string, any) {
	return "Command", commandDefinition{Argv: c.Argv, Dir: c.Dir, Env: slices.Sorted(maps.Keys(c.Env))}
}

// Limits are the other fields that are no secret.
func (c *Command) Limits() []any { return []any{c.Timeout, c.MaxOutput} }

func envName(key string) (name, problem, hint string) {
	switch {
	case !isEnvName(key):
		return "", "is not the name of an environment variable", "letters, digits and _, no digit first"
	case strings.HasPrefix(key, "TIDEMILL_"):
		return "", "is set by Tidemill", "choose a name that does not begin with TIDEMILL_"
	}
	return key, "", ""
}

// argv is a program with its arguments.
type argv struct{}

func (argv) read(d *decoder, v value, into *[]string) {
	if v.node.kind == textNode {
		d.refuse(v, "there is no shell; write it as "+argvHint(v.node.source), "is not a list")
		return
	}
	if !d.is(v, listNode, "a list of the program and its arguments") {
		return
	}
	if len(v.node.items) == 0 {
		d.fail(v, "write it like [bin/rails, runner, Report.nightly]", "names no program")
		return
	}
	out := make([]string, 0, len(v.node.items))
	for i := range v.node.items {
		item := v.item(i)
		s, known, ok := d.text(item)
		if !ok {
			continue
		}
		if known && s == "" && i == 0 {
			d.refuse(item, "begin with the name or path of a program", "names no program")
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

func (argv) shape() shape {
	return shape{
		words:  "list of texts",
		schema: map[string]any{"type": "array", "minItems": 1, "items": map[string]any{"type": "string"}},
	}
}
