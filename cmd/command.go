// Package tidemillcmd is the tidemill command, for programs that bring workers and kinds of their own:
//
//	func main() { tidemillcmd.Main(register) }
package tidemillcmd

import (
	"context"
	"os"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/cli"
	"github.com/tidemill/tidemill/workers/kind"
)

// Main is the whole tidemill command with the workers that register adds, and with kinds beside those of package workers; register may be
// nil. It does not return.
//
// Every subcommand that connects calls register, so that it must only add workers and the like, not start work.
func Main(register func(*tidemill.App) error, kinds ...kind.Kind) {
	os.Exit(Run(context.Background(), os.Args[1:], register, kinds...))
}

// Run is [Main] for a program that has commands of its own, too: it takes the arguments after the program's name, and returns the exit
// status.
func Run(ctx context.Context, args []string, register func(*tidemill.App) error, kinds ...kind.Kind) int {
	m := cli.Main{
		Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Version: tidemill.Version(), Kinds: kinds,
		Open: func(ctx context.Context, cfg *config.Config, opts *tidemill.Opts) (*tidemill.App, error) {
			app, err := tidemill.New(ctx, cfg, opts)
			if err != nil || register == nil {
				return app, err
			}
			if err := register(app); err != nil {
				app.Close()
				return nil, err
			}
			return app, nil
		},
	}
	return m.Run(ctx)
}
