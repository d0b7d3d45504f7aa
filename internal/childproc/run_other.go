//go:build !unix

package childproc

import (
	"context"
)

// Run returns a *StartError: a command is not let go without process groups, which would end all of it.
func Run(context.Context, *Command) (*Result, error) {
	return nil, startError("commands run on Unix systems only")
}
