package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"
	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/config"
)

// jobFilter narrows which River jobs a command looks at. The zero value matches all.
type jobFilter struct {
	ids       []int64
	kinds     []string
	states    []string
	queues    []string
	parent    int64    // run that enqueued them
	errorText string   // part of the last error, whatever its case
	olderThan duration // since the job was made
}

// add gives a command, for which jobs can be in these states, the filter's flags.
func (f *jobFilter) add(cmd *cobra.Command, states []string) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.kinds, "kind", nil, "only of this `kind`; can be repeated, as --state and --queue can")
	flags.StringSliceVar(&f.states, "state", nil, "only in this `state`: "+strings.Join(states, ", "))
	flags.StringSliceVar(&f.queues, "queue", nil, "only of this `queue`")
	flags.Int64Var(&f.parent, "parent", 0, "only those that this `run` has enqueued")
	flags.StringVar(&f.errorText, "error", "", "only with this `text` in the last error, upper or lower case")
	flags.Var(&f.olderThan, "older-than", "only made longer ago than this, for example 12h or 30d")
}

// check refuses what cannot be meant. A flag that is given but empty comes from a variable that is not set: without it, the
// command would take more jobs than it was meant to.
func (f *jobFilter) check(cmd *cobra.Command) error {
	for _, flag := range []struct {
		name  string
		empty bool
	}{{"kind", anyEmpty(f.kinds)}, {"state", anyEmpty(f.states)}, {"queue", anyEmpty(f.queues)}, {"error", f.errorText == ""}, {"parent", f.parent <= 0}} {
		if flag.empty && cmd.Flags().Changed(flag.name) {
			return &usageError{err: fmt.Errorf("--%s is empty", flag.name), hint: "leave it out, or give it a value"}
		}
	}
	for _, state := range f.states {
		if !slices.Contains(jobStates(), state) {
			return &usageError{err: fmt.Errorf("%q is not a state of a job", state), hint: "one of " + strings.Join(jobStates(), ", ")}
		}
	}
	return nil
}

func anyEmpty(values []string) bool { return len(values) == 0 || slices.Contains(values, "") }

// empty reports whether the filter matches every job.
func (f *jobFilter) empty() bool {
	return len(f.ids) == 0 && len(f.kinds) == 0 && len(f.states) == 0 && len(f.queues) == 0 && f.parent == 0 && f.errorText == "" && f.olderThan == 0
}

// condition is a part of a WHERE clause over river_job with the arguments it names.
type condition struct {
	sql  string
	args pgx.NamedArgs
}

// lastError is SQL for the text of a job's last error, NULL if it has none.
const lastError = `errors[array_upper(errors, 1)]->>'error'`

// isRun is SQL for whether a job has a run. Children of one have none, unless they work in chunks themselves.
const isRun = `(metadata ? 'tidemill' AND (NOT metadata->'tidemill' ? 'parent' OR metadata->'tidemill' ? 'run'))`

func (f *jobFilter) conditions() []condition {
	var all []condition
	if f.parent > 0 {
		all = append(all, condition{`metadata @> jsonb_build_object('tidemill', jsonb_build_object('parent', @f_parent::bigint))`, pgx.NamedArgs{"f_parent": f.parent}})
	}
	if len(f.ids) > 0 {
		all = append(all, condition{`id = ANY(@f_ids::bigint[])`, pgx.NamedArgs{"f_ids": f.ids}})
	}
	if len(f.kinds) > 0 {
		all = append(all, condition{`kind = ANY(@f_kinds::text[])`, pgx.NamedArgs{"f_kinds": f.kinds}})
	}
	if len(f.states) > 0 {
		all = append(all, condition{`state = ANY(@f_states::text[]::{river}.river_job_state[])`, pgx.NamedArgs{"f_states": f.states}})
	}
	if len(f.queues) > 0 {
		all = append(all, condition{`queue = ANY(@f_queues::text[])`, pgx.NamedArgs{"f_queues": f.queues}})
	}
	if f.errorText != "" {
		all = append(all, condition{`position(lower(@f_error) IN lower(` + lastError + `)) > 0`, pgx.NamedArgs{"f_error": f.errorText}})
	}
	if f.olderThan > 0 {
		seconds := time.Duration(f.olderThan).Seconds()
		all = append(all, condition{`created_at < now() - make_interval(secs => @f_older)`, pgx.NamedArgs{"f_older": seconds}})
	}
	return all
}

// where joins conditions and collects their arguments, to which more may be added.
func where(conditions []condition) (string, pgx.NamedArgs) {
	parts, args := []string{"true"}, pgx.NamedArgs{}
	for _, c := range conditions {
		parts = append(parts, c.sql)
		for name, value := range c.args {
			args[name] = value
		}
	}
	return strings.Join(parts, " AND "), args
}

func jobStates() []string { return stateNames(rivertype.JobStates()) }

func stateNames(states []rivertype.JobState) []string {
	names := make([]string, len(states))
	for i, state := range states {
		names[i] = string(state)
	}
	return names
}

// duration is a flag in the notation of the configuration.
type duration time.Duration

func (d *duration) Set(text string) error {
	parsed, err := config.ParseDuration(text)
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
