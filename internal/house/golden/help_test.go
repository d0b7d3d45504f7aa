package golden

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/cli"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	for _, command := range commands(t, nil) {
		fmt.Fprintf(&out, "$ %s --help\n%s\n", command, help(t, strings.Fields(command)[1:]))
	}
	check(t, "help.txt", out.String())
}

// commands are all commands of tidemill, groups too, as they are called, in the order of the help that names them.
func commands(t *testing.T, below []string) []string {
	t.Helper()
	all := []string{strings.Join(append([]string{"tidemill"}, below...), " ")}
	for _, name := range subcommands(help(t, below)) {
		if name != "help" && name != "completion" { // cobra's own
			all = append(all, commands(t, append(below[:len(below):len(below)], name))...)
		}
	}
	return all
}

var commandLine = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) `)

func subcommands(help string) []string {
	_, list, found := strings.Cut(help, "\nAvailable Commands:\n")
	if !found {
		return nil
	}
	list, _, _ = strings.Cut(list, "\n\n")
	var names []string
	for _, m := range commandLine.FindAllStringSubmatch(list, -1) {
		names = append(names, m[1])
	}
	return names
}

// help is what the command prints for --help.
func help(t *testing.T, args []string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	m := cli.Main{Args: append(args[:len(args):len(args)], "--help"), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &stderr}
	if code := m.Run(t.Context()); code != 0 {
		t.Fatalf("tidemill %s --help: exit %d: %s", strings.Join(args, " "), code, stderr.String())
	}
	return out.String()
}
