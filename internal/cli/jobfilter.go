package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/operate"
)

// addJobFilter gives a command, for which jobs can be in these states, the filter's flags.
func addJobFilter(cmd *cobra.Command, f *operate.JobFilter, states []string) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.Kinds, "kind", nil, "only of this `kind`; can be repeated, as --state and --queue can")
	flags.StringSliceVar(&f.States, "state", nil, "only in this `state`: "+strings.Join(states, ", "))
	flags.StringSliceVar(&f.Queues, "queue", nil, "only of this `queue`")
	flags.Int64Var(&f.Parent, "parent", 0, "only those that this `run` has enqueued")
	flags.StringVar(&f.ErrorText, "error", "", "only with this `text` in the last error, upper or lower case")
	flags.Var((*duration)(&f.OlderThan), "older-than", "only made longer ago than this, for example 12h or 30d")
}

// checkJobFilter refuses what cannot be meant. A flag that is given but empty comes from a variable that is not set: without
// it, the command would take more jobs than it was meant to.
func checkJobFilter(cmd *cobra.Command, f *operate.JobFilter) error {
	for _, flag := range []struct {
		name  string
		empty bool
	}{{"kind", anyEmpty(f.Kinds)}, {"state", anyEmpty(f.States)}, {"queue", anyEmpty(f.Queues)}, {"error", f.ErrorText == ""}, {"parent", f.Parent <= 0}} {
		if flag.empty && cmd.Flags().Changed(flag.name) {
			return &usageError{err: fmt.Errorf("--%s is empty", flag.name), hint: "leave it out, or give it a value"}
		}
	}
	for _, state := range f.States {
		if !slices.Contains(operate.JobStates(), state) {
			return &usageError{err: fmt.Errorf("%q is not a state of a job", state), hint: "one of " + strings.Join(operate.JobStates(), ", ")}
		}
	}
	return nil
}

func anyEmpty(values []string) bool { return len(values) == 0 || slices.Contains(values, "") }

// duration is a flag in the notation of the configuration.
type duration time.Duration

func (d *duration) Set(text string) error {
	parsed, err := field.ParseDuration(text)
	if err != nil {
		return err
	}
	if parsed == 0 {
		return errors.New("it must be more than nothing")
	}
	*d = duration(parsed)
	return nil
}

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

func (d *duration) Type() string { return "duration" }
