package operate

import (
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"
)

// JobFilter narrows which River jobs an operation takes. The zero value matches all.
type JobFilter struct {
	IDs       []int64
	Kinds     []string
	States    []string // of JobStates
	Queues    []string
	Parent    int64         // run that enqueued them
	ErrorText string        // part of the last error, whatever its case
	OlderThan time.Duration // since the job was made
}

// Empty reports whether the filter matches every job.
func (f *JobFilter) Empty() bool {
	return len(f.IDs) == 0 && len(f.Kinds) == 0 && len(f.States) == 0 && len(f.Queues) == 0 && f.Parent == 0 && f.ErrorText == "" && f.OlderThan == 0
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

func (f *JobFilter) conditions() []condition {
	var all []condition
	if f.Parent > 0 {
		all = append(all, condition{`metadata @> jsonb_build_object('tidemill', jsonb_build_object('parent', @f_parent::bigint))`, pgx.NamedArgs{"f_parent": f.Parent}})
	}
	if len(f.IDs) > 0 {
		all = append(all, condition{`id = ANY(@f_ids::bigint[])`, pgx.NamedArgs{"f_ids": f.IDs}})
	}
	if len(f.Kinds) > 0 {
		all = append(all, condition{`kind = ANY(@f_kinds::text[])`, pgx.NamedArgs{"f_kinds": f.Kinds}})
	}
	if len(f.States) > 0 {
		all = append(all, condition{`state = ANY(@f_states::text[]::{river}.river_job_state[])`, pgx.NamedArgs{"f_states": f.States}})
	}
	if len(f.Queues) > 0 {
		all = append(all, condition{`queue = ANY(@f_queues::text[])`, pgx.NamedArgs{"f_queues": f.Queues}})
	}
	if f.ErrorText != "" {
		all = append(all, condition{`position(lower(@f_error) IN lower(` + lastError + `)) > 0`, pgx.NamedArgs{"f_error": f.ErrorText}})
	}
	if f.OlderThan > 0 {
		all = append(all, condition{`created_at < now() - make_interval(secs => @f_older)`, pgx.NamedArgs{"f_older": f.OlderThan.Seconds()}})
	}
	return all
}

// where joins the conditions and collects their arguments, to which more may be added.
func (f *JobFilter) where() (string, pgx.NamedArgs) {
	parts, args := []string{"true"}, pgx.NamedArgs{}
	for _, c := range f.conditions() {
		parts = append(parts, c.sql)
		for name, value := range c.args {
			args[name] = value
		}
	}
	return strings.Join(parts, " AND "), args
}

// JobStates are the states in which a River job can be.
func JobStates() []string { return stateNames(rivertype.JobStates()) }

func stateNames(states []rivertype.JobState) []string {
	names := make([]string, len(states))
	for i, state := range states {
		names[i] = string(state)
	}
	return names
}
