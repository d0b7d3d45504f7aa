package cli_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/cli"
)

// What is wrong with the options of a command is said without a connection, which would cost a deploy its time-out.
func TestWrongOptionsNeedNoDatabase(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"runs list --status odd":                      `"odd" is not a status`,
		"runs show x":                                 `"x" is not a run's id`,
		"runs watch x":                                `"x" is not a run's id`,
		"runs retry x":                                `"x" is not a run's id`,
		"runs cancel x":                               `"x" is not a run's id`,
		"runs pause x":                                `"x" is not a run's id`,
		"runs resume x":                               `"x" is not a run's id`,
		"runs rejects x":                              `"x" is not a run's id`,
		"runs download 1":                             "-o FILE is missing",
		"runs download x -o f":                        `"x" is not a run's id`,
		"jobs list --limit 0":                         "--limit 0",
		"jobs list --state odd":                       "odd",
		"jobs show x":                                 `"x" is not a job's id`,
		"jobs errors --limit 0":                       "--limit 0",
		"jobs errors --kind=":                         "--kind is empty",
		"jobs retry":                                  "which jobs?",
		"jobs cancel x":                               `"x" is not a job's id`,
		"jobs delete 1 --all":                         "ids or a filter, not both",
		"queues pause":                                "which queue?",
		"queues resume low --all":                     "exclude each other",
		"schedules next -n 0":                         "-n 0",
		"schedules history -n 0":                      "-n 0",
		"schedules trigger":                           "too few arguments",
		"start job --param day":                       "is not name=value",
		"start job --params []":                       "not a JSON object",
		"start job --at noon":                         "is not a time",
		"start job --in -1s":                          "--in is negative",
		"start job --at 2026-01-31T09:00:00Z --in 1s": "exclude each other",
		"enqueue kind --args []":                      "not a JSON object",
		"enqueue kind --at noon":                      "is not a time",
		"export job --param day":                      "is not name=value",
		"export job --json -o -":                      "both want standard output",
		"import job --force":                          "need a FILE",
		"cleanup job --dry-run --detach":              "exclude each other",
		"exec name true":                              "put -- between",
		"processes a b":                               "unexpected argument",
		"migrate up now":                              "unexpected argument",
		"migrate down --steps x":                      "invalid argument",
		"config apply now":                            "unexpected argument",
		"worker --log-level odd":                      "odd",
	}
	for line, want := range tests {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			m := cli.Main{
				Args: strings.Fields(line), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
				Open: func(context.Context, *config.Config, *tidemill.Opts) (*tidemill.App, error) {
					t.Error("connects")
					return nil, errors.New("no database")
				},
			}
			if code := m.Run(t.Context()); code != 2 || !strings.Contains(out.String(), want) {
				t.Errorf("exit code %d, want 2; it says:\n%s\nand not %q", code, &out, want)
			}
		})
	}
}
