package childproc

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// runnerVariable makes this test binary a process that runs the shell script in it.
const runnerVariable = "CHILDPROC_TEST_RUNNER"

func TestMain(m *testing.M) {
	if script := os.Getenv(runnerVariable); script != "" {
		_, err := Run(context.Background(), &Command{
			Argv: []string{"/bin/sh", "-c", script}, OnLine: func(line string) { fmt.Println(line) },
		})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
